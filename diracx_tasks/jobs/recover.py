"""Jobs whose pilot has gone silent: found by their deadline, first Stalled, then given to another pilot."""

import logging
from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading, session, utc_now
from diracx_tasks.jobs.control import reschedule
from diracx_tasks.jobs.deadlines import due, has_beaten, renew
from diracx_tasks.jobs.heartbeat import ALIVE
from diracx_tasks.jobs.states import HELD, Status
from diracx_tasks.jobs.status import Change, Outcome, move
from diracx_tasks.jobs.tables import Attempt, Job

PAGE = 500
SOURCE = "StalledJobs"

log = logging.getLogger(__name__)


def overdue(db: Session, late: float = 0) -> list[int]:
    """Jobs that a pilot holds and that should have moved on `late` seconds ago, oldest deadline first."""
    query = select(Job.job_id).where(Job.next_check_at <= utc_now(-late), Job.status.in_(HELD))
    return list(db.scalars(query.order_by(Job.next_check_at).limit(PAGE)))


def check_overdue(late: float = 0) -> int:
    """Check a page of overdue jobs, each whatever is wrong with others; answers how many.

    The first error is raised at the end.
    """
    with reading() as db:
        found = overdue(db, late)
    errors = []
    for job_id in found:
        try:
            with session() as db:
                check(db, job_id)
        except Exception as error:
            log.exception("job %d cannot be checked", job_id)
            errors.append(error)
    if errors:
        raise errors[0]
    return len(found)


def check(db: Session, job_id: int) -> Outcome | None:
    """Mark one overdue job Stalled, or reschedule it if it is; None when it has moved on meanwhile.

    One whose heartbeat is recent gets a new deadline: DIRAC's services, which note heartbeats in the same
    tables, know of none.
    """
    row = db.execute(
        select(Job.attempt, Job.status, has_beaten().label("has_beaten"))
        .where(Job.job_id == job_id, Job.next_check_at <= utc_now(), Job.status.in_(HELD))
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    if row.has_beaten and row.status in ALIVE:
        renew(db, [job_id])
        return None
    if row.status == Status.STALLED:
        words = "the pilot has been silent for too long"
        return reschedule(db, job_id, attempt=row.attempt, reason=words, source=SOURCE)
    if row.status == Status.MATCHED:
        words = "the pilot never started it"
        return reschedule(db, job_id, attempt=row.attempt, reason=words, source=SOURCE)
    columns = {"next_check_at": due(Status.STALLED)}
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
