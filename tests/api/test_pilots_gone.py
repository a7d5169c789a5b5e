"""A pilot that is said to be gone gives back what it held."""

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job
from diracx_tasks.pilots import register
from diracx_tasks.pilots.tables import Pilot
from tests.api.caller import Api
from tests.builders import VO, a_job, a_pilot, a_user

CAROL = a_user("carol", properties=(SERVICE,))


def a_pilot_with_a_job(db: Session) -> tuple[str, int]:
    stamp = register.register(db, VO, site="LCG.CERN.ch", grid_type="SLURM")
    job_id = a_job(db, Status.RUNNING, pilot=stamp)
    db.commit()
    return stamp, job_id


@pytest.mark.parametrize("status", ["Done", "Failed", "Aborted", "Deleted"])
def test_jobs_of_a_pilot_that_has_ended_wait_for_another(api: Api, db: Session, status: str) -> None:
    stamp, job_id = a_pilot_with_a_job(db)
    assert api.patch("/api/pilots/metadata", {stamp: {"Status": status}}, by=CAROL).status_code == 204
    db.expire_all()
    job = db.get_one(Job, job_id)
    assert (job.status, job.attempt) == (Status.RECEIVED, 2)
    assert db.query(Pilot).one().status == status
    db.rollback()
    told = api.patch("/api/jobs/heartbeat", {str(job_id): {"Attempt": 1}}, by=a_pilot(stamp))
    assert told.json() == [{"job_id": job_id, "command": "Kill", "arguments": ""}]


def test_jobs_of_a_pilot_that_goes_on_stay_with_it(api: Api, db: Session) -> None:
    stamp, job_id = a_pilot_with_a_job(db)
    assert api.patch("/api/pilots/metadata", {stamp: {"Status": "Running"}}, by=CAROL).status_code == 204
    db.expire_all()
    assert db.get_one(Job, job_id).status == Status.RUNNING
