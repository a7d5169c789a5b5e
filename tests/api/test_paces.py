"""How long a pilot may be silent follows from how often it says that it reports."""

from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import commit, database_time, reading, session, utc_now
from diracx_tasks.jobs import recover
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Attempt, Job
from tests.api.caller import ALICE, Api
from tests.api.changes import a_stored_job, at, the, told
from tests.api.stores import installation, migrated
from tests.builders import a_pilot

__all__ = ["installation", "migrated"]
MATCH, STATUS, BEAT = "/api/pilots/match", "/api/jobs/status", "/api/jobs/heartbeat"
OURS = {"stamp": "stamp-1", "site": "LCG.CERN.ch", "cores": 1, "ram_mb": 4096}
DIRACS = {"Site": "LCG.CERN.ch", "CPUTime": 86400, "NumberOfProcessors": 1}
RUNNING = {"Status": "Running", "Source": "JobWrapper"}
# How often a pilot reports, and after how much silence its job is matched anew, Stalled, given up.
PACES = [
    (OURS, 30, (300, 300, 600)),
    ({**OURS, "heartbeat_seconds": 200}, 200, (800, 500, 1300)),
    (DIRACS, 1800, (7200, 4500, 11700)),
]
EACH_PACE = pytest.mark.parametrize(("slot", "every", "patience"), PACES, ids=["ours", "own", "DIRAC's"])


def matched(api: Api, db: Session, slot: dict[str, Any]) -> dict[str, Any]:
    """What a pilot with such a slot hears of the one job that waits."""
    job_id = a_stored_job(db, Status.WAITING)
    commit(db)
    (job,) = api.post(MATCH, slot, by=a_pilot()).json()["jobs"]
    assert job["job_id"] == job_id
    found: dict[str, Any] = job
    return found


def left(job_id: int) -> Any:
    """The seconds to the job's deadline, about."""
    with reading() as db:
        deadline = db.scalars(select(Job.next_check_at).where(Job.job_id == job_id)).one()
        assert deadline is not None
        return pytest.approx((deadline - database_time(db)).total_seconds(), abs=100)


def silent(job_id: int) -> str:
    """The job's status when its pilot has been silent until its deadline."""
    with session() as db:
        past = {"next_check_at": utc_now(-1), "heartbeat_at": utc_now(-86400)}
        db.execute(update(Job).where(Job.job_id == job_id).values(past))
    recover.check_overdue()
    with reading() as db:
        return db.scalars(select(Job.status).where(Job.job_id == job_id)).one()


@EACH_PACE
def test_deadlines_follow_from_the_declared_interval(
    api: Api, db: Session, slot: dict[str, Any], every: float, patience: tuple[float, ...]
) -> None:
    job = matched(api, db, slot)
    job_id, by = job["job_id"], a_pilot()
    matches, stalls, fails = patience
    assert job["heartbeat_seconds"] == every
    with reading() as now:
        assert now.scalars(select(Attempt.heartbeat_seconds)).all() == [every]
    assert matches == left(job_id)
    report = {str(job_id): {at(0): {**RUNNING, "Attempt": 1}}}
    assert api.patch(STATUS, report, by=by).status_code == 200
    assert stalls == left(job_id)
    assert silent(job_id) == "Stalled"
    assert fails == left(job_id)
    assert api.patch(BEAT, {str(job_id): {"Attempt": 1}}, by=by).json() == []
    assert the(api, job_id)["Status"] == "Running" and stalls == left(job_id)
    assert api.patch(BEAT, {str(job_id): {}}, by=by).json() == [] and stalls == left(job_id)


def test_dirac_s_wrapper_speaks_with_its_owner_s_token(api: Api, db: Session) -> None:
    job_id = matched(api, db, DIRACS)["job_id"]
    told(api, job_id, {at(0): {"Status": "Matched", "MinorStatus": "Job Received by Agent"}}, by=ALICE)
    assert left(job_id) == 7200
    told(api, job_id, {at(1): RUNNING}, by=ALICE)
    assert left(job_id) == 4500
    assert silent(job_id) == "Stalled"
    assert api.patch(BEAT, {str(job_id): {}}, by=ALICE).json() == []
    assert the(api, job_id)["Status"] == "Running" and left(job_id) == 4500
    told(api, job_id, {at(2): {"Status": "Completing", "Source": "JobWrapper"}}, by=ALICE)
    assert left(job_id) == 4500


@pytest.mark.parametrize("wrong", [0, -30, 86401, "often"])
def test_an_interval_that_makes_no_sense_is_refused(api: Api, wrong: Any) -> None:
    answer = api.post(MATCH, {**OURS, "heartbeat_seconds": wrong}, by=a_pilot())
    assert answer.status_code == 422


def test_an_attempt_from_before_this_was_stored_reports_as_the_settings_say(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.RUNNING)
    db.execute(update(Attempt).values(heartbeat_seconds=None))
    commit(db)
    assert api.patch(BEAT, {str(job_id): {"Attempt": 1}}, by=a_pilot()).json() == []
    assert left(job_id) == 300


def test_a_heartbeat_that_dirac_s_own_services_have_noted_counts(api: Api, db: Session) -> None:
    job_id, wrong_clock = a_stored_job(db, Status.RUNNING), a_stored_job(db, Status.RUNNING)
    for one, beaten in ((job_id, utc_now(-60)), (wrong_clock, utc_now(86400))):
        past = {"next_check_at": utc_now(-1), "heartbeat_at": beaten}
        db.execute(update(Job).where(Job.job_id == one).values(past))
    commit(db)
    assert recover.check_overdue() == 2
    assert (the(api, job_id)["Status"], the(api, wrong_clock)["Status"]) == ("Running", "Stalled")
    assert left(job_id) == 300
