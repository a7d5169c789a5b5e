"""GA4GH WES 1.1: the tasks of a run, and its outputs."""

import pytest
from sqlalchemy.orm import Session

from diracx_api.wes.prefix import PREFIX
from diracx_tasks.core.database import session
from diracx_tasks.core.packed import packed
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import heartbeat
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.jobs.tables import Job
from diracx_tasks.sandboxes import metadata
from diracx_tasks.sandboxes.store import store
from diracx_tasks.workflows import collections
from diracx_tasks.workflows.states import Status
from tests.api.wes import Wes, a_run, a_task, wes
from tests.builders import HEX, a_user, a_workflow

__all__ = ["wes"]

LOCATION = f"sandbox:/S3/local/lhcb/user/alice/sha256:{HEX}.file"


def test_jobs_are_the_tasks_of_a_run_page_by_page(wes: Wes, db: Session) -> None:
    run = a_run(db)
    made = [str(a_task(db, run, name="simulate")) for _ in range(5)]
    a_task(db, a_run(db))
    log = wes.get("GetRunLog", f"/runs/{run}")
    assert [one["id"] for one in log["task_logs"]] == made
    path, seen, token = log["task_logs_url"].partition(PREFIX)[2], list[str](), ""
    while token or not seen:
        page = wes.get("ListTasks", path, page_size=2, page_token=token)
        seen += [one["id"] for one in page["task_logs"]]
        token = page["next_page_token"]
        assert len(page["task_logs"]) <= 2 and len(seen) <= 5
    assert seen == made


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (JobStatus.WAITING, "", None),
        (JobStatus.RUNNING, "", None),
        (JobStatus.DONE, "", 0),
        (JobStatus.FAILED, "exit code 33", 33),
        (JobStatus.FAILED, "ended by signal 9", 137),
        (JobStatus.FAILED, "the output is not there", None),
    ],
)
def test_a_task_has_its_times_and_exit_code(
    wes: Wes, db: Session, status: JobStatus, words: str, code: int | None
) -> None:
    run = a_run(db)
    job_id = a_task(db, run, status, name="simulate")
    db.get_one(Job, job_id).application_status = words
    db.commit()
    task = wes.get("GetTask", f"/runs/{run}/tasks/{job_id}")
    (listed,) = wes.get("ListTasks", f"/runs/{run}/tasks")["task_logs"]
    assert {**task, "system_logs": []} == {**listed, "system_logs": []}
    assert (task["id"], task["name"], task.get("exit_code")) == (str(job_id), "simulate", code)
    assert ("start_time" in task) == (status is not JobStatus.WAITING)
    assert ("end_time" in task) == (status in (JobStatus.DONE, JobStatus.FAILED))
    assert words in listed["system_logs"][0] and status in listed["system_logs"][0]
    assert ("attempt 1 at LCG.CERN.ch" in task["system_logs"][0]) == (status is not JobStatus.WAITING)


def test_what_a_task_printed_is_read_with_the_same_token(wes: Wes, db: Session) -> None:
    run = a_run(db)
    job_id = a_task(db, run, JobStatus.RUNNING)
    heartbeat.keep(db, {job_id: heartbeat.Beat(1, log="event 1000\n")})
    db.commit()
    task = wes.get("GetTask", f"/runs/{run}/tasks/{job_id}")
    for address in (task["stdout"], task["stderr"]):
        assert address.startswith(settings().url)
        answer = wes.ask("GET", address.partition(PREFIX)[2])
        assert answer.text == "event 1000\n"
        assert wes.ask("GET", address.partition(PREFIX)[2], by=a_user(vo="belle")).status_code == 404


def test_a_job_is_no_task_of_another_run(wes: Wes, db: Session) -> None:
    run, other = a_run(db), a_run(db)
    job_id = a_task(db, other)
    for path in (f"/runs/{run}/tasks/{job_id}", f"/runs/{run}/tasks/{job_id}/log", f"/runs/{run}/tasks/4711"):
        assert wes.ask("GET", path).status_code == 404
    assert wes.ask("GET", f"/runs/{run}/tasks/first").status_code == 422


def test_outputs_have_addresses_that_lead_to_their_files(wes: Wes, db: Session) -> None:
    owner = metadata.Owner("alice", "user", "lhcb")
    with session() as other:
        grant = metadata.initiate(other, owner, checksum=HEX, size=3)
    content = {"file": ("file", b"hey")}
    form = {"data": grant["fields"], "files": content}
    assert wes.api.ask("POST", "/api/sandboxes/files", by=None, **form).is_success
    found = a_workflow(db)
    file = {"class": "File", "basename": "hey you.txt", "location": LOCATION}
    tree = {"class": "Directory", "basename": "all", "listing": [file]}
    found.status, found.outputs = (
        Status.DONE,
        packed({"pi": 3.14, "files": [file], "tree": tree, "none": None}),
    )
    db.commit()
    outputs = wes.get("GetRunLog", f"/runs/{found.workflow_id}")["outputs"]
    assert (outputs["pi"], outputs["none"], outputs["files"][0]["location"]) == (3.14, None, LOCATION)
    assert outputs["tree"]["listing"] == outputs["files"]
    address = outputs["files"][0]["url"].partition(PREFIX)[2]
    assert address.partition("?")[0] == f"/runs/{found.workflow_id}/files/hey%20you.txt"
    assert wes.ask("GET", address).content == b"hey"
    assert wes.ask("GET", address, by=a_user("bob")).status_code == 403
    assert wes.ask("GET", address, by=a_user(vo="belle")).status_code == 404
    assert wes.ask("GET", f"/runs/{found.workflow_id}/stdout").json() == outputs
    assert store().has(metadata.key_of(metadata.plain(LOCATION)))


def test_long_arrays_of_the_outputs_are_told_as_a_whole_unless_they_are_too_long(
    wes: Wes, db: Session
) -> None:
    found = a_workflow(db)
    run, numbers = found.workflow_id, list(range(2 * collections.LONG))
    found.outputs = packed(collections.put_away(db, run, {"numbers": numbers}))
    db.commit()
    assert wes.get("GetRunLog", f"/runs/{run}")["outputs"] == {"numbers": numbers}
    reference = {"class": "diracx:Array", "of": "c1", "length": collections.MOST + 1}
    found.outputs = packed({"numbers": reference})
    db.commit()
    assert wes.get("GetRunLog", f"/runs/{run}")["outputs"] == {"numbers": reference}
    assert wes.ask("GET", f"/runs/{run}/stdout").status_code == 413
