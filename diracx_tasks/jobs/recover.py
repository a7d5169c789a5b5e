"""Jobs whose pilot has gone silent: found by their deadline, first Stalled, then given to another pilot."""

import logging
from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading, session, utc_now
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.jobs.control import reschedule
from diracx_tasks.jobs.deadlines import due, has_beaten, renew
from diracx_tasks.jobs.heartbeat import ALIVE
from diracx_tasks.jobs.states import HELD, Status
from diracx_tasks.jobs.status import Change, New, Outcome, hold, move, write_told
from diracx_tasks.jobs.tables import Attempt, Job

PAGE = 500
SOURCE = "StalledJobs"
STALLED = "Watchdog identified this job as stalled"

log = logging.getLogger(__name__)


def overdue(db: Session, late: float = 0) -> list[int]:
    """Jobs that a pilot holds and that should have moved on `late` seconds ago, oldest deadline first."""
    query = select(Job.job_id).where(Job.next_check_at <= utc_now(-late), Job.status.in_(HELD))
    return list(db.scalars(query.order_by(Job.next_check_at).limit(PAGE)))


def check_overdue(late: float = 0) -> int:
    """Check a page of overdue jobs, each whatever is wrong with others; answers how many.

    Those that fall silent are marked together: when a site is cut off, it is all of them. The first error is
    raised at the end.
    """
    with reading() as db:
        found = overdue(db, late)
    errors = []
    for job_id in sorted(set(found) - _stalled(found)):
        try:
            with session() as db:
                check(db, job_id)
        except Exception as error:
            log.exception("job %d cannot be checked", job_id)
            errors.append(error)
    if errors:
        raise errors[0]
    return len(found)


def stall(db: Session, job_ids: Collection[int]) -> set[int]:
    """Mark those Stalled that run and are overdue; those whose heartbeat is recent get a new deadline.

    Answers both.
    """
    query = select(Job.job_id, has_beaten().label("has_beaten"))
    late = (Job.job_id.in_(job_ids), Job.next_check_at <= utc_now(), Job.status.in_(ALIVE))
    rows = db.execute(query.where(*late).order_by(Job.job_id).with_for_update()).all()
    if beaten := [row.job_id for row in rows if row.has_beaten]:
        renew(db, beaten)
    silent = hold(db, [row.job_id for row in rows if not row.has_beaten])
    write_told(db, [(New(job, Status.STALLED, STALLED), SOURCE) for job in silent.values()])
    return {row.job_id for row in rows}


def _stalled(job_ids: Collection[int]) -> set[int]:
    """Those that need no closer look; none when something is wrong with one of them."""
    if not job_ids:
        return set()
    try:
        with session() as db:
            return patiently(db, lambda: stall(db, job_ids))
    except Exception:
        log.exception("%d overdue jobs are checked one by one", len(job_ids))
        return set()


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
    change = Change(Status.STALLED, STALLED, source=SOURCE, columns=columns)
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
