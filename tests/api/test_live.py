"""The stream of a running workflow: what it says, from where on, and when it ends."""

import json

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.core.errors import ApiError
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.workflows import events
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Node
from tests.api.caller import Api
from tests.api.changes import at
from tests.api.served import Listener, a_running, ends, listening, prints, url, workflow_id
from tests.builders import a_job, a_pilot
from tests.system import wait_for

__all__ = ["url", "workflow_id"]


def test_it_begins_with_what_there_is(url: str, db: Session, workflow_id: int) -> None:
    a_running(db, workflow_id)
    said = listening(url, workflow_id)
    assert [one.kind for one in said] == ["event", "state", "progress", "following"]
    assert '"submitted by alice"' in said[0].data and '"status":"Received"' in said[1].data
    assert '"done":0,"total":1' in said[2].data


def test_a_job_whose_description_states_the_workflows_group_is_not_heard(
    url: str, api: Api, db: Session, workflow_id: int
) -> None:
    for owner in ("alice", "bob"):
        prints(api, a_running(db, workflow_id, owner_id=None, owner=owner), "mine\n")
    failed = a_job(db, JobStatus.FAILED, name="workflow.cwl", job_group=f"{workflow_id:08d}")
    db.commit()
    (*_, following) = listening(url, workflow_id)
    assert json.loads(following.data) == {"jobs": [], "running": 0}, following
    assert str(failed) not in api.get(f"/api/workflows/{workflow_id}/logs").text
    assert api.get(f"/api/workflows/{workflow_id}/logs").json()["outputs"] == []


def test_lines_of_a_running_job_come_piece_by_piece(
    url: str, api: Api, db: Session, workflow_id: int
) -> None:
    job_id = a_running(db, workflow_id)
    prints(api, job_id, "one\n")
    with Listener(url, workflow_id) as alice:
        assert alice.headers["Content-Type"].startswith("text/event-stream")
        assert alice.reads(job_id, "one\n")
        prints(api, job_id, "one\ntwo\n")
        assert alice.reads(job_id, "one\ntwo\n")
        long = "three\n" * 12_000
        prints(api, job_id, f"two\n{long}"[-65536:])
        wait_for(lambda: alice.text_of(job_id).endswith("three\n"), 20, lambda: "no third line")
        last = f"{long}four\n"[-65536:]
        ended = {"Status": "Done", "Attempt": 1, "Outputs": {}, "StandardOutput": last}
        answer = api.patch("/api/jobs/status", {str(job_id): {at(1): ended}}, by=a_pilot())
        assert answer.status_code == 200, answer.text
        wait_for(lambda: alice.of("log")[-1]["final"], 20, lambda: f"{alice.said}")
    first, *rest = alice.of("log")
    assert (first["whole"], first["step"], first["place"]) == (True, "", "workflow.cwl")
    assert not any(one["whole"] for one in rest)
    assert rest[0]["text"] == "two\n"
    assert (rest[-1]["status"], rest[-1]["text"]) == ("Done", "four\n")


def test_a_job_that_ends_between_two_looks_is_heard(
    url: str, api: Api, db: Session, workflow_id: int
) -> None:
    with Listener(url, workflow_id) as alice:
        alice.hears("following")
        job_id = a_running(db, workflow_id)
        ended = {"Status": "Failed", "Attempt": 1, "StandardOutput": "no such file\n"}
        api.patch("/api/jobs/status", {str(job_id): {at(1): ended}}, by=a_pilot())
        assert alice.reads(job_id, "no such file\n")


def test_progress_and_events_come_as_they_happen(url: str, db: Session, workflow_id: int) -> None:
    with Listener(url, workflow_id) as alice:
        alice.hears("progress")
        db.execute(update(Node).where(Node.workflow_id == workflow_id).values(status="Done"))
        db.commit()
        (step,) = alice.hears("progress", 2)[-1]["steps"]
        assert (step["done"], step["total"], step["state"]) == (1, 1, "Done")
        for number in range(3):
            events.tell(db, workflow_id, Status.RUNNING, f"event {number}")
        db.commit()
        assert [one["message"] for one in alice.hears("event", 4)[1:]] == [f"event {n}" for n in range(3)]


def test_the_end_of_the_workflow_is_the_end_of_the_stream(url: str, db: Session, workflow_id: int) -> None:
    with Listener(url, workflow_id) as alice, Listener(url, workflow_id, logs=False) as other:
        alice.hears("following")
        ends(db, workflow_id, Status.FAILED)
        assert [one["status"] for one in [*alice.ends(), *other.ends()]] == ["Failed", "Failed"]
    assert other.of("following") == []
    assert [one.kind for one in listening(url, workflow_id)][-1] == "end"


def test_whoever_comes_back_hears_what_he_has_missed_and_nothing_twice(
    url: str, api: Api, db: Session, workflow_id: int
) -> None:
    job_id = a_running(db, workflow_id)
    prints(api, job_id, "one\n")
    with Listener(url, workflow_id) as alice:
        assert alice.reads(job_id, "one\n")
    for number in range(3):
        events.tell(db, workflow_id, Status.RUNNING, f"event {number}")
    db.commit()
    ended = {"Status": "Done", "Attempt": 1, "Outputs": {}, "StandardOutput": "one\ntwo\n"}
    api.patch("/api/jobs/status", {str(job_id): {at(1): ended}}, by=a_pilot())
    with Listener(url, workflow_id, last=alice.last_id, seconds=0) as again:
        again.ends()
    assert [one["message"] for one in again.of("event")] == [f"event {number}" for number in range(3)]
    (log,) = again.of("log")
    assert (log["text"], log["final"], log["whole"]) == ("one\ntwo\n", True, True)
    with Listener(url, workflow_id, last=again.last_id, seconds=0) as third:
        third.ends()
    assert third.of("event") == []


@pytest.mark.parametrize("last", ["x", "7", "7-", "-7-1", "1" * 60 + "-0", "²-1"])
def test_an_id_that_is_none_of_ours_is_the_beginning(url: str, workflow_id: int, last: str) -> None:
    assert listening(url, workflow_id, last=last.encode().decode("latin-1"))[0].kind == "event"


def test_only_the_step_or_the_job_that_one_names_is_heard(
    url: str, api: Api, db: Session, workflow_id: int
) -> None:
    first, second = a_running(db, workflow_id), a_running(db, workflow_id)
    other = a_running(db, workflow_id, name="elsewhere")
    for job_id in (first, second, other):
        prints(api, job_id, f"{job_id}\n")
    with (
        Listener(url, workflow_id, job=second, seconds=0) as one,
        Listener(url, workflow_id, step="", seconds=0) as step,
    ):
        one.ends(), step.ends()
    assert {log["job_id"] for log in one.of("log")} == {second}
    assert {log["job_id"] for log in step.of("log")} == {first, second}
    with pytest.raises(ApiError, match="has no step 'nowhere' with jobs: it has \"\""):
        listening(url, workflow_id, step="nowhere")
