"""Every route, walked by everybody who might ask: what a VO owns, no other VO sees."""

from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import now
from diracx_tasks.engine import dead_letters, schedules
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job
from diracx_tasks.sandboxes import metadata
from diracx_tasks.workflows.tables import Workflow
from tests.api.caller import Api
from tests.architecture.test_openapi import operations
from tests.builders import HEX, TOOL, a_job, a_pilot, a_user, a_workflow, an_administrator

SECRET = "the-secret-of-lhcb"
STAMP = "2026-11-23T10:00:00Z"
# Tasks are the service's and of no VO: who may operate it may read of all, and what they say names nothing.
OPERATED = "a service administrator"
EVERYTHING = ("NormalUser", "JobAdministrator", "ServiceAdministrator", "GenericPilot")
OPEN = ("anyone", "the bearer of a signed URL")
ROUTES = {operation["operationId"]: (name, operation) for name, operation in operations()}
GUARDED = [key for key, (_, operation) in ROUTES.items() if operation["x-right"] not in OPEN]
SLOT = {"stamp": "stamp-1", "site": "LCG.CERN.ch", "cores": 1, "ram_mb": 4096}
DOCUMENT = {"files": {"workflow.cwl": TOOL}, "main": "workflow.cwl", "inputs": {"words": "x"}}
PFN = f"SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:{HEX}.file"
BODIES: dict[str, Any] = {
    "workflows_submit_workflow": DOCUMENT,
    "workflows_check_workflow": DOCUMENT,
    "jobs_search_jobs": {},
    "jobs_initiate_sandbox_upload": {"checksum": HEX, "size": 3, "format": "file"},
    "pilots_match_jobs": SLOT,
    "pilots_initiate_uploads": {"attempt": 1, "files": [{"checksum": HEX, "size": 3}]},
    "pilots_get_downloads": {"attempt": 1, "locations": [metadata.location_of(PFN)]},
    "pilots_release_job": {"attempt": 1, "reason": "test"},
    "tasks_release_lock": {"name": "workflow:1"},
    "tasks_set_schedule_state": {"state": "Paused"},
    "tasks_set_schedule_timing": {"every": 60},
}
STRANGERS = {
    "a user of another VO": a_user("alice", vo="belle"),
    "an administrator of another VO": an_administrator(vo="belle"),
    "a pilot of another VO with the same stamp": a_pilot(vo="belle"),
    "somebody with every right in another VO": a_user(vo="belle", properties=EVERYTHING),
}


@dataclass
class Property:
    """What the VO owns: a running job, and a workflow; and a dead task about it."""

    job_id: int
    workflow_id: int
    bundle: str
    letter_id: int

    def ask(self, api: Api, key: str, by: User | None, **options: Any) -> httpx2.Response:
        """A route asked about exactly this."""
        method, path = ROUTES[key][0].split(" ")
        update = {STAMP: {"Status": "Done", "Attempt": 1, "Outputs": {}}}
        bodies = {
            **BODIES,
            "jobs_add_heartbeat": {str(self.job_id): {"Attempt": 1}},
            "jobs_set_job_statuses": {str(self.job_id): update},
            "tasks_call_task": {"task": "workflows.advance", "arguments": {"workflow_id": self.workflow_id}},
        }
        task_key = f"workflow-{self.workflow_id}.advance"
        where = path.format(
            job_id=self.job_id,
            workflow_id=self.workflow_id,
            key=task_key if key.startswith("tasks_") else self.bundle,
            letter_id=self.letter_id,
            name="jobs.optimize",
        )
        query = {"pfn": PFN} if key == "jobs_get_sandbox_file" else None
        return api.ask(method, where, by=by, json=bodies.get(key), params=query, **options)


@pytest.fixture
def owned(db: Session) -> Property:
    job_id = a_job(db, Status.RUNNING, name=SECRET)
    a_job(db, Status.WAITING, name=SECRET)
    found = a_workflow(db, words=SECRET, text=TOOL + f"doc: {SECRET}\n")
    found.name = SECRET
    schedules.synchronize(db)
    letter_id = dead_letters.bury(db, a_dead_task(found.workflow_id), since=now(), error="no luck")
    db.commit()
    return Property(job_id, found.workflow_id, found.bundle, letter_id)


def a_dead_task(workflow_id: int) -> dict[str, Any]:
    key, arguments = f"workflow-{workflow_id}.advance", {"workflow_id": workflow_id}
    about = {"key": key, "task": "workflows.advance", "arguments": arguments}
    return {**about, "tries": 6, "enqueued_by": "alice", "parent": None}


@pytest.mark.parametrize("key", GUARDED)
def test_no_token_or_a_false_one_is_401_everywhere(api: Api, owned: Property, key: str) -> None:
    nothing = owned.ask(api, key, None)
    assert (nothing.status_code, nothing.json()) == (401, {"detail": "Authorization header is missing"})
    assert nothing.headers["WWW-Authenticate"] == "Bearer"
    false = owned.ask(api, key, None, headers={"Authorization": "Bearer x.y.z"})
    assert (false.status_code, false.json()) == (401, {"detail": "Invalid JWT"})
    assert owned.ask(api, key, None, headers={"Authorization": "Basic x"}).status_code == 400


@pytest.mark.parametrize("key", GUARDED)
def test_a_token_without_the_property_is_403_everywhere(api: Api, owned: Property, key: str) -> None:
    answer = owned.ask(api, key, a_user(properties=("FileCatalogManagement",)))
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("Forbidden: this needs")


@pytest.mark.parametrize("key", GUARDED)
@pytest.mark.parametrize("who", STRANGERS)
def test_nothing_of_a_vo_leaks_into_another(
    api: Api, db: Session, owned: Property, key: str, who: str
) -> None:
    answer = owned.ask(api, key, STRANGERS[who])
    assert SECRET not in answer.text and "user/alice/sha256" not in answer.text.replace(
        "belle/user/alice", ""
    )
    own_things = ("submit", "check", "list", "search", "initiate_sandbox", "match")
    if ROUTES[key][1]["x-right"] == OPERATED:
        may = "ServiceAdministrator" in STRANGERS[who].properties
        assert answer.status_code in ((200, 202, 404) if may else (403,)), answer.text
        assert answer.status_code != 404 or key == "tasks_release_lock"
    elif any(word in key for word in own_things):
        assert answer.status_code in (200, 201, 403)
    else:
        assert answer.status_code in (403, 404), answer.text
    db.rollback()
    assert db.get_one(Job, owned.job_id).status == Status.RUNNING
    assert db.get_one(Workflow, owned.workflow_id).status == "Received"


def test_nobody_but_a_service_administrator_sees_tasks_or_changes_them(api: Api, owned: Property) -> None:
    rest = tuple(name for name in EVERYTHING if name != "ServiceAdministrator")
    for key in GUARDED:
        if ROUTES[key][1]["x-right"] == OPERATED:
            answer = owned.ask(api, key, a_user(properties=rest))
            assert (answer.status_code, answer.json()["detail"]) == (403, f"Forbidden: this needs {OPERATED}")


def test_a_pilot_may_do_nothing_that_is_a_persons(api: Api, owned: Property) -> None:
    rights = (
        "a normal user",
        "a normal user or administrator of the VO",
        "the owner, or an administrator of the VO",
        OPERATED,
    )
    for key in GUARDED:
        if ROUTES[key][1]["x-right"] in rights:
            assert owned.ask(api, key, a_pilot()).status_code == 403, key


def test_a_pilot_without_a_stamp_or_with_another_one_gets_nothing(api: Api, owned: Property) -> None:
    for key in GUARDED:
        if ROUTES[key][1]["x-right"] == "a pilot":
            assert owned.ask(api, key, a_pilot("stamp-2")).status_code == 403, key
            assert owned.ask(api, key, replace(a_pilot(), pilot_stamp=None)).status_code == 403, key


def test_a_colleague_reads_and_does_not_kill(api: Api, owned: Property) -> None:
    bob = a_user("bob")
    for what in ("kill_job", "kill_workflow"):
        key = f"{what.split('_')[1]}s_{what}"
        assert owned.ask(api, key, bob).status_code == 403
    assert owned.ask(api, "jobs_get_job", bob).status_code == 200


def test_an_administrator_of_the_vo_kills_what_others_own(api: Api, owned: Property) -> None:
    assert owned.ask(api, "jobs_kill_job", an_administrator()).json()["status"] == "Killed"
    assert owned.ask(api, "workflows_kill_workflow", an_administrator()).json()["status"] == "Killing"
