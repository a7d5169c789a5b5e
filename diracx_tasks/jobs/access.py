"""Who may see and touch which jobs: owners, administrators of the VO, and the pilot that holds a job."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import ADMIN
from diracx_tasks.auth.tokens import PILOT, User
from diracx_tasks.core.errors import Forbidden, NotFound
from diracx_tasks.core.operations import operations
from diracx_tasks.jobs.status import Held, hold
from diracx_tasks.jobs.tables import Attempt, Job
from diracx_tasks.sandboxes.metadata import Owner


def visible(by: User) -> list[ColumnElement[bool]]:
    """The jobs that somebody may see: those of his VO, or his own where the VO's configuration says so.

    Operations.<VO>.Services.JobMonitoring.GlobalJobsInfo
    """
    mine = [Job.vo == by.vo]
    return mine if sees_all(by) else [*mine, Job.owner == by.name]


def sees_all(by: User) -> bool:
    """Whether somebody may see all jobs of his VO: an administrator, or all where GlobalJobsInfo is set."""
    return ADMIN in by.properties or operations(by.vo).Services.JobMonitoring.GlobalJobsInfo


def those_seen(db: Session, job_ids: Collection[int], by: User) -> set[int]:
    """Those of some jobs, which may be gone already, that somebody may see."""
    if sees_all(by):
        return set(job_ids)
    return set(db.scalars(select(Job.job_id).where(Job.job_id.in_(job_ids), *visible(by))))


def may_change(owner: str, by: User) -> bool:
    """Whether somebody may kill, reschedule or delete the jobs of an owner in his VO."""
    return by.name == owner or ADMIN in by.properties


def hold_mine(db: Session, job_ids: Collection[int], *, by: User) -> dict[int, Held]:
    """Those of the jobs that exist in the VO, held; Forbidden when one is not the caller's to touch."""
    jobs = {job_id: job for job_id, job in hold(db, job_ids).items() if job.vo == by.vo}
    if PILOT in by.properties:
        _must_be_held(db, jobs, by)
    elif ADMIN not in by.properties:
        for job in jobs.values():
            if job.owner != by.name:
                raise Forbidden(f"job {job.job_id} belongs to {job.owner} of {job.vo}")
    return jobs


def hold_one(db: Session, job_id: int, *, by: User) -> Held:
    """One job of the caller's, held; NotFound when there is none in his VO."""
    found = hold_mine(db, [job_id], by=by).get(job_id)
    if found is None:
        raise NotFound(f"there is no job {job_id} in {by.vo}")
    return found


def must_see(db: Session, job_id: int, *, by: User) -> None:
    """Raise NotFound unless there is such a job and the caller may see it; a pilot sees what it holds."""
    if PILOT in by.properties:
        hold_one(db, job_id, by=by)
    elif db.execute(select(Job.job_id).where(Job.job_id == job_id, *visible(by))).first() is None:
        raise NotFound(f"there is no job {job_id} in {by.vo}")


def owner_of(db: Session, job: Held) -> Owner:
    """The job's owner in the group that it was submitted in."""
    group = db.scalars(select(Job.group).where(Job.job_id == job.job_id)).one()
    return Owner(job.owner, group, job.vo)


def _must_be_held(db: Session, jobs: dict[int, Held], by: User) -> None:
    current = (Job.job_id == Attempt.job_id) & (Job.attempt == Attempt.attempt)
    mine = (Attempt.job_id.in_(jobs), Attempt.pilot == (by.pilot_stamp or ""), Attempt.ended_at.is_(None))
    held = set(db.scalars(select(Attempt.job_id).join(Job, current).where(*mine)))
    if others := sorted(jobs.keys() - held):
        raise Forbidden(f"job {others[0]} is not held by the pilot {by.pilot_stamp}")
