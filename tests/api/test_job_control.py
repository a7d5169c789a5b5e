"""Killing and deleting jobs, from every status."""

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.core.database import session
from diracx_tasks.jobs.ends import take_ended
from diracx_tasks.jobs.states import FINAL, TRANSITIONS, Status
from tests.api.caller import Api
from tests.api.changes import a_stored_job, events, matched, status_of, the
from tests.builders import a_pilot, a_user, an_administrator

CAN_BE_KILLED = [status for status in Status if Status.KILLED in TRANSITIONS[status]]
OVER = [Status.DONE, Status.FAILED, Status.COMPLETED]


@pytest.mark.parametrize("status", CAN_BE_KILLED)
def test_a_job_that_has_not_ended_is_killed(api: Api, db: Session, status: Status) -> None:
    job_id = a_stored_job(db, status)
    answer = api.post(f"/api/jobs/{job_id}/kill")
    assert (answer.status_code, answer.json()["status"], answer.json()["outcome"]) == (
        200,
        "Killed",
        "applied",
    )
    assert events(job_id)[-1] == ("Killed", "Marked for termination", "killed by alice", "JobManager")
    assert the(api, job_id)["EndExecTime"]
    assert matched(api) == []
    again = api.post(f"/api/jobs/{job_id}/kill")
    assert (again.status_code, again.json()["status"], again.json()["outcome"]) == (200, "Killed", "refused")


@pytest.mark.parametrize("status", OVER)
def test_a_job_that_has_ended_is_not_killed(api: Api, db: Session, status: Status) -> None:
    job_id = a_stored_job(db, status)
    before = the(api, job_id)
    answer = api.post(f"/api/jobs/{job_id}/kill")
    words = f"job {job_id} is {status} (attempt 1): it cannot become Killed"
    assert (answer.status_code, answer.json()) == (409, {"detail": words})
    assert the(api, job_id) == before


@pytest.mark.parametrize("status", [one for one in Status if one not in (Status.COMPLETED, Status.DELETED)])
def test_any_job_is_deleted_and_killed_before_if_it_has_not_ended(
    api: Api, db: Session, status: Status
) -> None:
    job_id = a_stored_job(db, status)
    answer = api.post(f"/api/jobs/{job_id}/delete")
    assert (answer.status_code, answer.json()["status"], answer.json()["outcome"]) == (
        200,
        "Deleted",
        "applied",
    )
    last = [one[0] for one in events(job_id)][-2:]
    assert last == [status if status in FINAL else "Killed", "Deleted"]
    assert matched(api) == []
    again = api.post(f"/api/jobs/{job_id}/delete")
    assert (again.status_code, again.json()["outcome"]) == (200, "refused")


def test_a_job_that_can_be_neither_killed_nor_deleted_is_a_conflict(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.COMPLETED)
    answer = api.post(f"/api/jobs/{job_id}/delete")
    words = f"job {job_id} is Completed (attempt 1): it cannot become Deleted"
    assert (answer.status_code, answer.json()) == (409, {"detail": words})


@pytest.mark.parametrize("what", ["kill", "delete"])
def test_a_workflow_hears_of_it_once(api: Api, db: Session, what: str) -> None:
    job_id = a_stored_job(db, owner_task="workflows.advance", owner_id=42)
    for _ in range(2):
        assert api.post(f"/api/jobs/{job_id}/{what}").status_code == 200
    with session() as other:
        taken = take_ended(other, "workflows.advance", 42, 10)
    assert [(end.job_id, end.status) for end in taken] == [(job_id, Status.KILLED)]


@pytest.mark.parametrize("what", ["kill", "delete"])
def test_only_the_owner_and_an_administrator_may(api: Api, db: Session, what: str) -> None:
    job_id = a_stored_job(db)
    path = f"/api/jobs/{job_id}/{what}"
    for stranger, code in ((a_user("bob"), 403), (a_pilot(), 403), (a_user(vo="belle"), 404)):
        assert api.post(path, by=stranger).status_code == code
    assert api.post(path, by=an_administrator(vo="belle")).status_code == 404
    assert status_of(api, job_id) == "Running"
    assert api.post(path, by=an_administrator()).status_code == 200
