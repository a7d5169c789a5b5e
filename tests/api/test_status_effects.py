"""What follows from a status that somebody sets: queue, attempts and pilots are in line with it."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import commit, session
from diracx_tasks.jobs import optimize
from diracx_tasks.jobs.ends import take_ended
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching.tables import Queued
from tests.api.caller import Api
from tests.api.changes import STATUS, a_stored_job, at, events, matched, status_of, the, told
from tests.api.stores import installation, migrated
from tests.builders import a_job, a_pilot, an_administrator

__all__ = ["installation", "migrated"]
YESTERDAY = at(-86400)


def waiting(db: Session) -> int:
    """A job that has reached the queue."""
    job_id = a_job(db)
    commit(db)
    return job_id


def beat(api: Api, job_id: int, stamp: str = "stamp-1") -> list[dict[str, object]]:
    answer = api.patch("/api/jobs/heartbeat", {str(job_id): {"Attempt": 1}}, by=a_pilot(stamp))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()
    return found


@pytest.mark.parametrize("wish", ["Killed", "Deleted"])
def test_a_waiting_job_that_is_not_wanted_any_more_is_never_matched(api: Api, db: Session, wish: str) -> None:
    job_id, other = waiting(db), waiting(db)
    told(api, job_id, {at(1): {"Status": wish}})
    assert matched(api) == [(other, 1)]
    db.rollback()
    assert db.scalars(select(Queued.job_id).where(Queued.job_id == job_id)).all() == []
    assert status_of(api, job_id) == wish


@pytest.mark.parametrize("status", [Status.MATCHED, Status.RUNNING, Status.STALLED, Status.COMPLETING])
def test_the_pilot_of_a_job_that_was_killed_is_told_to_stop(api: Api, db: Session, status: Status) -> None:
    job_id = a_stored_job(db, status)
    assert told(api, job_id, {at(1): {"Status": "Killed", "MinorStatus": "by hand"}})["Status"] == "Killed"
    kill = {"job_id": job_id, "command": "Kill", "arguments": ""}
    assert (beat(api, job_id), beat(api, job_id)) == ([kill], [kill])
    (attempt,) = the(api, job_id)["Attempts"]
    assert (attempt["status"], attempt["reason"]) == ("Killed", "by hand")
    assert attempt["ended_at"]


@pytest.mark.parametrize("wish", ["Killed", "Deleted"])
def test_a_wish_holds_whatever_the_clock_of_who_wishes_says(api: Api, db: Session, wish: str) -> None:
    job_id = a_stored_job(db, Status.RUNNING if wish == "Killed" else Status.DONE)
    assert told(api, job_id, {YESTERDAY: {"Status": wish}})["Status"] == wish
    assert status_of(api, job_id) == wish
    assert api.get(f"/api/jobs/{job_id}/history").json()[-1]["Status"] == wish
    before = events(job_id)
    assert told(api, job_id, {YESTERDAY: {"Status": wish}})["Status"] == wish
    assert events(job_id) == before


def test_a_wish_that_cannot_be_is_recorded_as_refused(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.DONE)
    assert told(api, job_id, {YESTERDAY: {"Status": "Killed"}})["Status"] == "Done"
    assert events(job_id)[-1] == ("Done", "idem", "idem", "Unknown(SM)")


def test_an_end_closes_the_attempt(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    told(api, job_id, {at(1): {"Status": "Failed", "ApplicationStatus": "exit code 3"}})
    (attempt,) = the(api, job_id)["Attempts"]
    assert (attempt["status"], attempt["reason"]) == ("Failed", "exit code 3")
    assert beat(api, job_id)[0]["command"] == "Kill"


def test_a_job_that_somebody_makes_waiting_is_matched(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.CHECKING)
    told(api, job_id, {at(1): {"Status": "Staging"}, at(2): {"Status": "Waiting"}})
    assert matched(api) == [(job_id, 1)]
    assert status_of(api, job_id) == "Matched"


@pytest.mark.parametrize(
    "way", [["Received"], ["Rescheduled", "Received"], ["Rescheduled", "Waiting"]], ids=str
)
def test_a_job_that_is_sent_back_while_it_runs_is_a_new_attempt(
    api: Api, db: Session, way: list[str]
) -> None:
    job_id = a_stored_job(db)
    told(api, job_id, {at(number): {"Status": status} for number, status in enumerate(way)})
    assert beat(api, job_id) == [{"job_id": job_id, "command": "Kill", "arguments": ""}]
    with session() as other:
        optimize.optimize(other)
    assert matched(api) == [(job_id, 2)]
    attempts = {one["attempt"]: one["status"] for one in the(api, job_id)["Attempts"]}
    assert attempts == {1: "Rescheduled", 2: "Matched"}
    late = api.patch(STATUS, {str(job_id): {at(9): {"Status": "Done", "Attempt": 1}}}, by=a_pilot())
    assert late.status_code == 409


def test_a_job_that_is_forced_to_wait_after_its_end_runs_and_ends_once_more(api: Api, db: Session) -> None:
    job_id, admin = a_stored_job(db, Status.DONE), an_administrator()
    told(api, job_id, {at(1): {"Status": "Waiting"}}, by=admin, force=True)
    assert matched(api) == [(job_id, 2)]
    updates = {
        at(2): {"Status": "Running", "Attempt": 2},
        at(3): {"Status": "Done", "Attempt": 2, "Outputs": {"answer": 43}},
    }
    answer = api.patch(STATUS, {str(job_id): updates}, by=a_pilot("stamp-2"))
    assert answer.status_code == 200, answer.text
    assert the(api, job_id)["Outputs"] == {"answer": 43}


@pytest.mark.parametrize("wish", ["Killed", "Deleted"])
def test_a_workflow_hears_that_its_job_is_not_wanted_any_more(api: Api, db: Session, wish: str) -> None:
    job_id = a_stored_job(db, Status.WAITING, owner_task="workflows.advance", owner_id=42)
    told(api, job_id, {at(1): {"Status": wish}})
    with session() as other:
        taken = take_ended(other, "workflows.advance", 42, 10)
    assert [(end.job_id, end.status) for end in taken] == [(job_id, Status.KILLED)]


def test_many_jobs_at_once_have_the_same_rules_as_one(api: Api, db: Session) -> None:
    there = [waiting(db) for _ in range(10)] + [a_stored_job(db) for _ in range(20)]
    answer = api.patch(STATUS, {str(job_id): {at(1): {"Status": "Killed"}} for job_id in there})
    assert answer.status_code == 200
    assert {one["Status"] for one in answer.json()["success"].values()} == {"Killed"}
    assert matched(api) == []
    assert [beat(api, job_id) != [] for job_id in there[10:]] == [True] * 20
    assert {events(job_id)[-1][0] for job_id in there} == {"Killed"}
