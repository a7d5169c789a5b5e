"""Jobs whose pilot seems lost: who comes back in time keeps its job, who stays silent does not."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import commit, new_session, session
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


def test_a_job_whose_pilot_is_silent_does_not_stay_with_it(api: Api, db: Session) -> None:
    running, stalled = overdue(db, Status.RUNNING), overdue(db, Status.STALLED)
    assert (checked(running), checked(stalled)) == (Outcome.APPLIED, Outcome.APPLIED)
    assert (status_of(api, running), status_of(api, stalled)) == ("Stalled", "Received")
    assert (the(api, running)["Attempt"], the(api, stalled)["Attempt"]) == (1, 2)
