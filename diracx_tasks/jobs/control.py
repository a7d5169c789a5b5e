"""Killing and deleting jobs, and giving those back to the queue whose pilot is lost."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.config import config
from diracx_tasks.core.database import now, utc_now
from diracx_tasks.core.errors import Conflict
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs.access import hold_one
from diracx_tasks.jobs.ends import close_attempt
from diracx_tasks.jobs.events import record
from diracx_tasks.jobs.states import FINAL, Status, can_become
from diracx_tasks.jobs.status import Change, Held, New, Outcome, hold, move, why_not, write
from diracx_tasks.jobs.submit import ask_for_optimizer
from diracx_tasks.jobs.tables import Job
from diracx_tasks.matching import queue

CAN_RESCHEDULE = can_become(Status.RESCHEDULED) - {Status.WAITING, Status.CHECKING, Status.FAILED}
DELETED = Change(Status.DELETED, "Checking accounting", source="JobManager")


def kill(db: Session, job_id: int, *, by: User) -> Outcome:
    """Kill a job of the user's; Conflict when it has ended otherwise, REFUSED when it is killed already."""
    job = hold_one(db, job_id, by=by)
    outcome = _kill(db, job_id, job.attempt, f"by {by.name}")
    if outcome is not Outcome.APPLIED and job.status not in (Status.KILLED, Status.DELETED):
        raise Conflict(why_not(db, job_id, Status.KILLED))
    return outcome


def remove(db: Session, job_id: int, *, by: User) -> Outcome:
    """Mark a job as Deleted, killing it first if it has not ended.

    REFUSED when it is Deleted already; Conflict when it cannot be killed.
    """
    job = hold_one(db, job_id, by=by)
    if job.status not in FINAL:
        _kill(db, job_id, job.attempt, f"by {by.name}")
    outcome = move(db, job_id, DELETED, attempt=job.attempt)
    if outcome is not Outcome.APPLIED and job.status != Status.DELETED:
        raise Conflict(why_not(db, job_id, Status.DELETED))
    return outcome


def kill_all(db: Session, job_ids: Collection[int], reason: str) -> int:
    """Kill those that have not ended; answers how many."""
    if not job_ids:
        return 0
    going_on = [job for job in hold(db, job_ids).values() if job.status not in FINAL]
    kill_held(db, going_on, reason)
    return len(going_on)


def kill_held(db: Session, jobs: Collection[Held], reason: str) -> None:
    """Kill held jobs that have not ended: out of the queue, their pilots and workflows are told."""
    if not jobs:
        return
    change = _killed(reason)
    record(db, [job.job_id for job in jobs], change)
    moment = now().replace(microsecond=0)
    write(db, [New(job, change.to, change.minor, change.application, ended_at=moment) for job in jobs])


def delete_held(db: Session, jobs: Collection[Held], reason: str) -> None:
    """Mark held jobs as Deleted; those that have not ended are killed by it, as `remove` does with one."""
    if not jobs:
        return
    killed = [job for job in jobs if job.status not in FINAL]
    ended = [job for job in jobs if job.status in FINAL]
    first, last, moment = _killed(reason), DELETED, now().replace(microsecond=0)
    if killed:
        record(db, [job.job_id for job in killed], first, last)
    if ended:
        record(db, [job.job_id for job in ended], last)
    news = [New(job, last.to, last.minor, first.application, ended_at=moment) for job in killed]
    write(db, [*news, *(New(job, last.to, last.minor) for job in ended)])


def most_reschedules(vo: str) -> int:
    """How often a job may begin anew: as the VO's configuration says, else DIRACX_MAX_RESCHEDULES."""
    stated = config().section("Services", vo).get("JobScheduling") or {}
    return int(stated.get("MaxRescheduling", settings().max_reschedules))


def reschedule(
    db: Session, job_id: int, *, attempt: int, reason: str, source: str, counts: bool = True
) -> Outcome:
    """Give a job that a pilot holds back to the queue as a new attempt; the old one is fenced with it.

    After `most_reschedules` that count it fails instead.
    """
    job = db.execute(
        select(Job.reschedules, Job.attempt, Job.status, Job.vo).where(Job.job_id == job_id).with_for_update()
    ).one()
    if job.attempt != attempt:
        return Outcome.LATE
    if job.status not in CAN_RESCHEDULE:
        return Outcome.REFUSED
    if counts and job.reschedules >= most_reschedules(job.vo):
        words = f"{reason}; attempt {attempt} was the last"
        change = Change(Status.FAILED, "Maximum of reschedulings reached", words, source)
        return move(db, job_id, change, attempt=attempt, frm=CAN_RESCHEDULE)
    fenced = {
        "attempt": attempt + 1,
        "reschedules": job.reschedules + counts,
        "rescheduled_at": utc_now(),
        "started_at": None,
        "site": "ANY",
    }
    record(db, [job_id], Change(Status.RESCHEDULED, "Job Rescheduled", reason, source))
    back = Change(Status.RECEIVED, "Job Rescheduled", reason, source, columns=fenced)
    outcome = move(db, job_id, back, attempt=attempt, frm=CAN_RESCHEDULE)
    close_attempt(db, job_id, attempt, Status.RESCHEDULED, reason)
    ask_for_optimizer(db)
    return outcome


def _killed(reason: str) -> Change:
    return Change(Status.KILLED, "Marked for termination", f"killed {reason}", "JobManager")


def _kill(db: Session, job_id: int, attempt: int, reason: str) -> Outcome:
    outcome = move(db, job_id, _killed(reason), attempt=attempt)
    if outcome is Outcome.APPLIED:
        queue.remove(db, [job_id])
    return outcome
