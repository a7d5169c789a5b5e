"""Jobs that their owner wants to run again: described anew from what was submitted, as a new attempt."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, now, utc
from diracx_tasks.core.errors import BadRequest, Forbidden
from diracx_tasks.core.packed import packed
from diracx_tasks.jobs import jdl, parametric
from diracx_tasks.jobs.access import hold_mine
from diracx_tasks.jobs.control import most_reschedules
from diracx_tasks.jobs.ends import forget_outcome
from diracx_tasks.jobs.events import record
from diracx_tasks.jobs.jdls import readable
from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.status import Change, Held, move, why_not
from diracx_tasks.jobs.submissions import new_jobs
from diracx_tasks.jobs.submit import NUMBER, NewJob, ask_for_optimizer
from diracx_tasks.jobs.tables import Job, JobJDL, Payload
from diracx_tasks.matching import queue

NEVER = frozenset({Status.SUBMITTING, Status.DELETED})
AGAIN = frozenset(Status) - NEVER
SOURCE = "JobManager"


def reschedule_jobs(
    db: Session, job_ids: Sequence[int], *, by: User, reset: bool = False
) -> dict[str, dict[int, Any]]:
    """What became of each job: `{"success": {id: columns}, "failed": {id: {"detail": why}}}`.

    A job that has been rescheduled too often fails, unless it has ended already. `reset` begins to count
    anew.
    """
    jobs = hold_mine(db, job_ids, by=by)
    failed: dict[int, Any] = {job_id: {"detail": "Not found"} for job_id in job_ids if job_id not in jobs}
    success = {}
    for job_id, job in jobs.items():
        try:
            success[job_id] = _again(db, job, by, reset)
        except (BadRequest, Forbidden) as error:
            failed[job_id] = {"detail": str(error)}
    if success:
        ask_for_optimizer(db)
    return {"failed": failed, "success": success}


def _again(db: Session, job: Held, by: User, reset: bool) -> dict[str, Any]:
    if job.status in NEVER:
        raise BadRequest(why_not(db, job.job_id, Status.RESCHEDULED))
    owner = db.scalar(select(Payload.owner_id).where(Payload.job_id == job.job_id))
    if owner is not None and job.status in FINAL:
        raise BadRequest(
            f"job {job.job_id} has ended as a step of workflow {owner}: submit the workflow again"
        )
    count = 0 if reset else db.scalars(select(Job.reschedules).where(Job.job_id == job.job_id)).one() + 1
    most = most_reschedules(job.vo)
    if count > most:
        if job.status not in FINAL:
            queue.remove(db, [job.job_id])
            words = Change(Status.FAILED, "Maximum of reschedulings reached", "", SOURCE)
            move(db, job.job_id, words, attempt=job.attempt, frm=AGAIN)
        raise BadRequest(f"Maximum number of reschedules exceeded ({most})")
    new = _described(db, job) if owner is None else None
    if job.status == Status.WAITING:
        queue.remove(db, [job.job_id])
    columns = _columns(job, new, count)
    record(db, [job.job_id], Change(Status.RESCHEDULED, "Job Rescheduled", "", SOURCE))
    back = Change(Status.RECEIVED, "Job Rescheduled", "Unknown", SOURCE, columns=columns)
    move(db, job.job_id, back, attempt=job.attempt, frm=AGAIN)
    forget_outcome(db, [job.job_id], Status.RESCHEDULED, f"rescheduled by {by.name}")
    return {
        "InputData": readable(db, [job.job_id])[job.job_id].jdl,
        "Status": Status.RECEIVED.value,
        "MinorStatus": back.minor,
        "ApplicationStatus": back.application,
        "Site": columns["site"],
        "RescheduleTime": utc(columns["rescheduled_at"]),
        "RescheduleCounter": columns["reschedules"],
        **({"UserPriority": columns["priority"]} if "priority" in columns else {}),
    }


def _described(db: Session, job: Held) -> NewJob | None:
    """The job as its submission describes it under today's rules; None when nothing was kept of it."""
    original = readable(db, [job.job_id])[job.job_id].original
    if not original:
        return None
    group = db.scalars(select(Job.group).where(Job.job_id == job.job_id)).one()
    ad = jdl.parse(original)
    ads = parametric.expand(ad, 0, 1) if parametric.count(ad) else [ad]
    (new,) = new_jobs(ads, User(job.owner, group, job.vo, job.owner))
    text = new.jdl.replace(NUMBER, str(job.job_id))
    changed(db, update(JobJDL).where(JobJDL.job_id == job.job_id).values(jdl=text))
    stored = {"payload": packed(new.payload), "requirements": new.requirements}
    changed(db, update(Payload).where(Payload.job_id == job.job_id).values(stored))
    return new


def _columns(job: Held, new: NewJob | None, count: int) -> dict[str, Any]:
    described = {"site": new.site, "priority": new.requirements["priority"]} if new else {"site": "ANY"}
    return {
        **described,
        "attempt": job.attempt + 1,
        "reschedules": count,
        "rescheduled_at": now().replace(microsecond=0),
        "started_at": None,
        "ended_at": None,
        "heartbeat_at": None,
    }
