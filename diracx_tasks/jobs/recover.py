"""Jobs whose pilot has gone silent: found by their deadline, first Stalled, then given to another pilot."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import utc_now
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs.control import reschedule
from diracx_tasks.jobs.states import HELD, Status
from diracx_tasks.jobs.status import Change, Outcome, move
from diracx_tasks.jobs.tables import Attempt, Job

PAGE = 500
SOURCE = "StalledJobs"


def overdue(db: Session) -> list[int]:
    """Jobs that a pilot holds and that should have moved on by now, oldest deadline first."""
    query = select(Job.job_id).where(Job.next_check_at <= utc_now(), Job.status.in_(HELD))
    return list(db.scalars(query.order_by(Job.next_check_at).limit(PAGE)))


def check(db: Session, job_id: int) -> Outcome | None:
    """Mark one overdue job Stalled, or reschedule it if it is; None when it has moved on meanwhile."""
    row = db.execute(
        select(Job.attempt, Job.status)
        .where(Job.job_id == job_id, Job.next_check_at <= utc_now(), Job.status.in_(HELD))
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    if row.status == Status.STALLED:
        words = "the pilot has been silent for too long"
        return reschedule(db, job_id, attempt=row.attempt, reason=words, source=SOURCE)
    if row.status == Status.MATCHED:
        words = "the pilot never started it"
        return reschedule(db, job_id, attempt=row.attempt, reason=words, source=SOURCE)
    columns = {"next_check_at": utc_now(settings().stalled_seconds)}
    change = Change(Status.STALLED, "Watchdog identified this job as stalled", source=SOURCE, columns=columns)
    return move(db, job_id, change, attempt=row.attempt)


def pilots_ended(db: Session, vo: str, stamps: Collection[str]) -> int:
    """Reschedule what pilots of a VO held that are known to be gone; answers how many jobs."""
    rows = db.execute(
        select(Job.job_id, Job.attempt)
        .join(Attempt, (Attempt.job_id == Job.job_id) & (Attempt.attempt == Job.attempt))
        .where(Job.vo == vo, Attempt.pilot.in_(stamps), Job.status.in_(HELD), Attempt.ended_at.is_(None))
    ).all()
    words = "the pilot has ended"
    return sum(
        reschedule(db, row.job_id, attempt=row.attempt, reason=words, source=SOURCE) is Outcome.APPLIED
        for row in rows
    )
