"""What a VO owns, and every route asked about exactly this; bodies come from the examples of the document."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from uuid_utils import uuid7

from diracx_tasks.auth.tables import RefreshToken
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import Table, now, reading, session
from diracx_tasks.core.packed import packed
from diracx_tasks.core.settings import settings
from diracx_tasks.engine import dead_letters, schedules
from diracx_tasks.jobs import beats, bulk
from diracx_tasks.jobs.act import Action
from diracx_tasks.jobs.heartbeat import Beat
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Attempt, Heartbeat, Job, JobEvent, JobJDL, Parameter
from diracx_tasks.matching.tables import Queued
from diracx_tasks.notices import wishes
from diracx_tasks.notices.events import Channel, Event
from diracx_tasks.notices.gather import Whom, put_together
from diracx_tasks.notices.note import About, note
from diracx_tasks.notices.tables import Message, Notice, Watch, Wishes
from diracx_tasks.notices.wishes import Change
from diracx_tasks.pilots import mapping
from diracx_tasks.pilots.tables import Pilot, PilotSecret
from diracx_tasks.sandboxes import metadata
from diracx_tasks.sandboxes.store import FolderStore, store
from diracx_tasks.sandboxes.tables import Mapping
from diracx_tasks.storage import write
from diracx_tasks.storage.names import Writer
from diracx_tasks.storage.tables import File, Replica
from diracx_tasks.workflows.tables import Workflow
from tests.api.caller import Api
from tests.architecture.test_openapi import SCHEMA, operations
from tests.builders import HEX, TOOL, a_job, a_pilot, a_user, a_workflow

SECRET = "the-secret-of-lhcb"
STAMP = "stamp-1"
OPEN = (
    "anyone",
    "the bearer of a signed URL",
    "the bearer of the legacy exchange's key",
    "the bearer of a pilot's secret",
)
ROUTES = {operation["operationId"]: (name, operation) for name, operation in operations()}
GUARDED = [key for key, (_, operation) in ROUTES.items() if operation["x-right"] not in OPEN]
OWNER = metadata.Owner("alice", "user", "lhcb")
LFN = "/lhcb/user/a/alice/hey"
PFN = f"SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:{HEX}.file"
DOCUMENT = {"files": {"workflow.cwl": TOOL}, "main": "workflow.cwl", "inputs": {"words": "x"}}
SEARCHED: dict[str, Any] = {"parameters": None, "search": [], "sort": [], "distinct": False}
# Where the example would not be understood, or does not speak of what is owned.
BODIES: dict[str, Any] = {
    "workflows_submit_workflow": DOCUMENT,
    "workflows_check_workflow": DOCUMENT,
    "jobs_submit_cwl_jobs": DOCUMENT,
    "jobs_search": SEARCHED,
    "jobs_act_on_jobs": {"action": "kill", "all": True},
    "pilots_search": SEARCHED,
    "jobs_initiate_sandbox_upload": {"checksum": HEX, "size": 3, "format": "file"},
    "jobs_assign_sandbox_to_job": PFN,
    "pilots_update_pilot_metadata": {STAMP: {"Status": "Failed"}},
    "pilots_create_pilot_secrets": {"pilot_stamps": [STAMP]},
    "pilots_match_jobs": {"stamp": STAMP, "site": "LCG.CERN.ch", "cores": 1, "ram_mb": 4096},
    "pilots_initiate_uploads": {"attempt": 1, "files": [{"checksum": HEX, "size": 3}]},
    "pilots_get_downloads": {"attempt": 1, "locations": [metadata.location_of(PFN)]},
    "pilots_register_files": {"attempt": 1, "files": [], "sandboxes": [PFN]},
    "data_look_up_files": {"lfns": [LFN]},
    "data_get_downloads": {"lfns": [LFN]},
    "data_initiate_uploads": {"files": [{"lfn": LFN, "checksum": HEX, "size": 3}]},
    "data_register_files": {"files": [{"lfn": LFN, "se": "SE-USER", "checksum": HEX, "size": 3}]},
    "tasks_release_lock": {"name": "workflow:1"},
    "tasks_set_schedule_timing": {"every": 60},
    "sites_test_queues": {},
    "pilots_kill_pilots": {"stamps": [STAMP]},
    "pilots_upload_log": {"stamp": STAMP, "text": "ends"},
}
FORMS: dict[str, dict[str, Any]] = {
    "wes_run_workflow": {
        "data": {
            "workflow_url": "workflow.cwl",
            "workflow_type": "CWL",
            "workflow_type_version": "v1.2",
            "workflow_params": '{"words": "x"}',
        },
        "files": [("workflow_attachment", ("workflow.cwl", TOOL.encode()))],
    }
}
# Nothing happens to the workflow any more: a stream would not end.
QUERIES: dict[str, dict[str, Any]] = {
    "pilots_get_inputs": {"attempt": 1},
    "jobs_get_sandbox_file": {"pfn": PFN},
    "wes_get_run_file": {"pfn": PFN},
    "workflows_follow_workflow": {"seconds": 0},
    "data_get_file": {"lfn": LFN},
    "data_list_folder": {"lfn": "/lhcb/user/a/alice"},
    "data_remove_files": {"lfn": LFN},
}
KEPT: tuple[type[Table], ...] = (
    Job,
    JobJDL,
    JobEvent,
    Attempt,
    Heartbeat,
    Parameter,
    Mapping,
    Pilot,
    PilotSecret,
    RefreshToken,
    File,
    Replica,
    Wishes,
    Watch,
    Notice,
    Message,
)


def example(schema: dict[str, Any]) -> Any:
    """What the document says that a body looks like."""
    if "$ref" in schema:
        return example(SCHEMA["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "allOf" in schema:
        return example(schema["allOf"][0])
    for name in ("example", "examples"):
        if name in schema:
            return schema[name] if name == "example" else schema[name][0]
    return {name: example(inner) for name, inner in schema.get("properties", {}).items()}


def body_of(key: str) -> Any:
    """A body that the route takes; None when it takes no JSON."""
    content = ROUTES[key][1].get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return None
    return BODIES[key] if key in BODIES else example(content["application/json"]["schema"])


def said(answer: httpx2.Response) -> str:
    """The words of an error: ours, or those of GA4GH's services."""
    body = answer.json()
    if "msg" in body:
        assert body == {"msg": body["msg"], "status_code": answer.status_code}
    else:
        assert body.keys() == {"detail"}
    return str(body.get("msg") or body["detail"])


@dataclass
class Property:
    """A running job with all that belongs to it, a workflow, a dead task about it, a pilot, a login."""

    job_id: int
    workflow_id: int
    task_id: int
    bundle: str
    letter_id: int
    jti: UUID
    bulk_id: int

    def body(self, key: str) -> Any:
        """The route's body, about this."""
        found = body_of(key)
        if key == "jobs_set_job_statuses":
            moment = f"{now().isoformat()}Z"
            return {str(self.job_id): {moment: {"Status": "Failed", "Source": "JobWrapper"}}}
        if key == "tasks_call_task":
            return {"task": "workflows.advance", "arguments": {"workflow_id": self.workflow_id}}
        if isinstance(found, dict) and "job_ids" in found:
            return {"job_ids": [self.job_id]}
        if isinstance(found, dict) and found.keys() == {"17"}:
            return {str(self.job_id): found["17"]}
        return found

    def ask(self, api: Api, key: str, by: User | None, **options: Any) -> httpx2.Response:
        """The route asked about exactly this."""
        method, path = ROUTES[key][0].split(" ")
        task_key = f"workflow-{self.workflow_id}.advance"
        where = path.format(
            job_id=self.job_id,
            workflow_id=self.workflow_id,
            run_id=self.workflow_id,
            task_id=self.task_id,
            key=task_key if key.startswith("tasks_") else self.bundle,
            letter_id=self.letter_id,
            bulk_id=self.bulk_id,
            name="words" if key.startswith("workflows_") else "jobs.optimize",
            sandbox_type="output",
            stamp=STAMP,
            jti=self.jti,
            group=SECRET,
        )
        query = QUERIES.get(key)
        sent = FORMS.get(key) or {"json": self.body(key)}
        return api.ask(method, where, by=by, params=query, **sent, **options)

    def state(self) -> list[list[tuple[Any, ...]]]:
        """Everything that is stored of it and that a stranger might change."""
        with reading() as db:
            kept = [
                [
                    tuple(row)
                    for row in db.execute(select(table.__table__).order_by(*table.__table__.primary_key))
                ]
                for table in KEPT
            ]
            mine = Workflow.status, Workflow.name
            workflow = db.execute(select(*mine).where(Workflow.workflow_id == self.workflow_id)).all()
            queued = db.execute(select(Queued.job_id)).all()
            return [*kept, [tuple(row) for row in workflow], [tuple(row) for row in queued]]


@pytest.fixture
def owned(db: Session, monkeypatch: pytest.MonkeyPatch) -> Property:
    """It all is alice's of lhcb, the VO that this installation has."""
    monkeypatch.setenv("DIRACX_VO", "lhcb")
    settings.cache_clear()
    job_id = a_job(db, Status.RUNNING, name=SECRET)
    a_job(db, Status.WAITING, name=SECRET)
    found = a_workflow(db, words=SECRET, text=TOOL + f"doc: {SECRET}\n")
    found.name = SECRET
    found.outputs = packed({"words": [SECRET]})
    task_id = a_job(db, Status.WAITING, name=SECRET, job_group=f"{found.workflow_id:08d}")
    schedules.synchronize(db)
    letter_id = dead_letters.bury(db, _a_dead_task(found.workflow_id), since=now(), error="no luck")
    jti = UUID(str(uuid7()))
    db.add(RefreshToken(jti=str(jti), scope=f"vo:lhcb group:{SECRET}", sub=f"lhcb:{a_user().subject}"))
    db.add(Pilot(stamp=STAMP, vo="lhcb", site=SECRET))
    db.flush()
    mapping.note(db, "lhcb", {STAMP: [job_id]})
    db.add(Parameter(job_id=job_id, name="HostName", value=SECRET))
    beats.beat_many(db, {job_id: Beat(1, {"CPUConsumed": 1.0}, SECRET)}, by=a_pilot(STAMP))
    _notices(db)
    db.commit()
    with session() as other:
        metadata.initiate(other, OWNER, checksum=HEX, size=3)
        metadata.assign(other, f"Job:{job_id}", [PFN], "Output")
        secret = {"parameter": "JobName", "operator": "eq", "value": SECRET}
        bulk_id = bulk.ask(other, Action.KILL, [secret], bulk.Found({}, 0, 0), by=a_user())
    _a_file()
    stored = settings().data / "sandboxes" / metadata.key_of(metadata.plain(PFN))
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"hey")
    return Property(job_id, found.workflow_id, task_id, found.bundle, letter_id, jti, bulk_id)


def _notices(db: Session) -> None:
    """What alice is told: a webhook, a group of jobs, and a failure in a message that was sent."""
    hook = Change(webhook=f"https://chat.example.org/{SECRET}", secret=SECRET)
    wishes.change(db, hook, by=a_user())
    db.add(Watch(vo="lhcb", owner="alice", group=SECRET, asked_at=now()))
    note(db, Event.FAILED, About("lhcb", "alice", "workflow-1", SECRET, "Failed", SECRET))
    put_together(db, Whom("lhcb", "alice", Channel.WEBHOOK))


def _a_file() -> None:
    alice = Writer("alice", SECRET, "lhcb")
    with session() as db:
        (grant,) = write.announce(db, alice, [write.Announced(LFN, 3, HEX)])
    place = store()
    assert isinstance(place, FolderStore)
    place.receive(grant["fields"], BytesIO(b"hey"))
    with session() as db:
        write.register(db, alice, [write.Uploaded(LFN, grant["se"], 3, HEX)])


def _a_dead_task(workflow_id: int) -> dict[str, Any]:
    key, arguments = f"workflow-{workflow_id}.advance", {"workflow_id": workflow_id}
    about = {"key": key, "task": "workflows.advance", "arguments": arguments}
    return {**about, "tries": 6, "enqueued_by": "alice", "parent": None}
