"""Steps of a workflow that have ended: the workflow has taken note, so they do not begin anew by a status."""

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.core.database import session
from diracx_tasks.jobs.ends import take_ended
from diracx_tasks.jobs.states import Status
from tests.api.caller import ALICE, Api
from tests.api.changes import a_stored_job, at, events, status_of, the, told
from tests.api.stores import installation, migrated
from tests.builders import an_administrator

__all__ = ["installation", "migrated"]
ADMIN = an_administrator()
WORKFLOW = 42
ENDS = [Status.DONE, Status.FAILED, Status.KILLED]
BEGINNINGS = ["Rescheduled", "Received", "Checking", "Staging", "Waiting", "Submitting"]


def a_step(db: Session, status: Status) -> int:
    return a_stored_job(db, status, owner_task="workflows.advance", owner_id=WORKFLOW)


def taken() -> list[tuple[int, Status]]:
    """What the workflow hears of its jobs' ends."""
    with session() as db:
        return [(one.job_id, one.status) for one in take_ended(db, "workflows.advance", WORKFLOW, 10)]


@pytest.mark.parametrize("wanted", ["Rescheduled", "Received"])
def test_a_failed_step_stays_failed(api: Api, db: Session, wanted: str) -> None:
    job_id = a_step(db, Status.FAILED)
    assert told(api, job_id, {at(1): {"Status": wanted}})["Status"] == "Failed"
    assert told(api, job_id, {at(2): {"Status": wanted}}, by=ADMIN, force=True)["Status"] == "Failed"
    assert [one[3] for one in events(job_id)[-2:]] == ["Unknown(SM)"] * 2
    job = the(api, job_id)
    assert (job["Status"], job["Attempt"]) == ("Failed", 1)
    assert taken() == [(job_id, Status.FAILED)]


@pytest.mark.parametrize("end", ENDS)
def test_no_force_leads_a_step_that_has_ended_back_to_its_beginning(
    api: Api, db: Session, end: Status
) -> None:
    job_id = a_step(db, end)
    for second, wanted in enumerate(BEGINNINGS):
        told(api, job_id, {at(second): {"Status": wanted}}, by=ADMIN, force=True)
        assert status_of(api, job_id) == end


def test_a_step_that_has_not_ended_may_begin_anew(api: Api, db: Session) -> None:
    job_id = a_step(db, Status.RUNNING)
    told(api, job_id, {at(1): {"Status": "Rescheduled"}, at(2): {"Status": "Received"}})
    assert (status_of(api, job_id), the(api, job_id)["Attempt"], taken()) == ("Received", 2, [])


@pytest.mark.parametrize("wanted", ["Rescheduled", "Received", "Waiting"])
@pytest.mark.parametrize("end", ENDS)
def test_a_job_of_no_workflow_begins_anew_when_an_administrator_forces_it(
    api: Api, db: Session, end: Status, wanted: str
) -> None:
    job_id = a_stored_job(db, end)
    told(api, job_id, {at(1): {"Status": wanted}}, by=ADMIN, force=True)
    assert status_of(api, job_id) == wanted


def test_a_failed_job_of_no_workflow_begins_anew_as_the_states_allow(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.FAILED)
    assert told(api, job_id, {at(1): {"Status": "Received"}}, by=ALICE)["Status"] == "Failed"
    told(api, job_id, {at(2): {"Status": "Rescheduled"}, at(3): {"Status": "Received"}}, by=ALICE)
    assert (status_of(api, job_id), the(api, job_id)["Attempt"]) == ("Received", 2)


@pytest.mark.parametrize("end", [Status.DONE, Status.FAILED, Status.KILLED])
def test_a_step_that_ends_and_is_deleted_in_one_call_has_ended_as_it_did(
    api: Api, db: Session, end: Status
) -> None:
    job_id = a_step(db, Status.RUNNING)
    told(api, job_id, {at(1): {"Status": end}, at(2): {"Status": "Deleted"}})
    assert status_of(api, job_id) == "Deleted"
    assert taken() == [(job_id, end)]
    assert the(api, job_id)["Attempts"][0]["status"] == end


def test_a_step_that_is_deleted_before_it_ended_was_killed(api: Api, db: Session) -> None:
    job_id = a_step(db, Status.WAITING)
    told(api, job_id, {at(1): {"Status": "Deleted"}})
    assert taken() == [(job_id, Status.KILLED)]
