"""Jobs whose pilot seems lost: who comes back in time keeps its job, who stays silent does not."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import commit, new_session, session, utc_now
from diracx_tasks.jobs import beats, recover
from diracx_tasks.jobs.heartbeat import Beat
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Outcome
from diracx_tasks.jobs.tables import Job
from tests.api.caller import Api
from tests.api.changes import a_stored_job, status_of, the
from tests.api.locks import wait_until_it_waits
from tests.api.stores import ON_MARIADB, installation, migrated
from tests.builders import a_pilot

__all__ = ["installation", "migrated"]
LOST = [Status.STALLED, Status.MATCHED, Status.RUNNING]


def overdue(db: Session, status: Status) -> int:
    """A job whose pilot should have been heard of before now."""
    job_id = a_stored_job(db, status)
    db.execute(update(Job).where(Job.job_id == job_id).values(next_check_at=Job.submitted_at))
    db.commit()
    return job_id


def checked(job_id: int) -> Outcome | None:
    with session() as db:
        return recover.check(db, job_id)


@ON_MARIADB
@pytest.mark.parametrize("status", LOST)
def test_a_job_whose_pilot_is_heard_of_while_it_is_looked_at_stays_with_it(
    api: Api, db: Session, status: Status
) -> None:
    job_id = overdue(db, status)
    with new_session() as pilots, ThreadPoolExecutor(1) as threads:
        assert beats.beat_many(pilots, {job_id: Beat(1)}, by=a_pilot()) == []
        check = threads.submit(checked, job_id)
        wait_until_it_waits(check)
        commit(pilots)
        assert check.result(30) is None
    job = the(api, job_id)
    assert (job["Status"], job["Attempt"], job["RescheduleCounter"]) == ("Running", 1, 0)


@ON_MARIADB
def test_of_many_that_are_late_the_one_that_is_heard_of_meanwhile_stays(api: Api, db: Session) -> None:
    heard, silent = overdue(db, Status.RUNNING), overdue(db, Status.RUNNING)
    with new_session() as pilots, ThreadPoolExecutor(1) as threads:
        assert beats.beat_many(pilots, {heard: Beat(1)}, by=a_pilot()) == []
        check = threads.submit(recover.check_overdue)
        wait_until_it_waits(check)
        commit(pilots)
        assert check.result(30) == 2
    assert (status_of(api, heard), status_of(api, silent)) == ("Running", "Stalled")


def test_a_job_whose_pilot_is_silent_does_not_stay_with_it(api: Api, db: Session) -> None:
    running, stalled = overdue(db, Status.RUNNING), overdue(db, Status.STALLED)
    assert (checked(running), checked(stalled)) == (Outcome.APPLIED, Outcome.APPLIED)
    assert (status_of(api, running), status_of(api, stalled)) == ("Stalled", "Received")
    assert (the(api, running)["Attempt"], the(api, stalled)["Attempt"]) == (1, 2)


def test_of_many_that_are_late_each_becomes_what_its_pilot_s_silence_means(api: Api, db: Session) -> None:
    running = [overdue(db, Status.RUNNING) for _ in range(3)]
    completing, stalled = overdue(db, Status.COMPLETING), overdue(db, Status.STALLED)
    beaten = running.pop()
    with session() as other:
        other.execute(update(Job).where(Job.job_id == beaten).values(heartbeat_at=utc_now()))
    assert recover.check_overdue() == 5
    states = {job_id: status_of(api, job_id) for job_id in (*running, completing, beaten, stalled)}
    assert states == {
        **dict.fromkeys((*running, completing), "Stalled"),
        beaten: "Running",
        stalled: "Received",
    }
    assert recover.check_overdue() == 0
    for job_id in running:
        last = api.get(f"/api/jobs/{job_id}/history").json()[-1]
        assert (last["Status"], last["Source"]) == ("Stalled", "StalledJobs")
        assert the(api, job_id)["MinorStatus"] == last["MinorStatus"] == recover.STALLED
