"""What should never be, put right and counted: jobs in a state out of which no event leads any more.

What waits without being queued, and the reverse, is `optimize.requeue`'s; workflows look after their own.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import database_time, now, reading, session, utc_now
from diracx_tasks.engine import dead_letters, outbox, repairs
from diracx_tasks.jobs import deadlines, ends, recover
from diracx_tasks.jobs.events import record
from diracx_tasks.jobs.states import FINAL, HELD, Status
from diracx_tasks.jobs.status import Change, Held, New, hold, move_many, write
from diracx_tasks.jobs.submissions import ask_to_expand, expanding_key
from diracx_tasks.jobs.submit import OPTIMIZING, ask_for_optimizer
from diracx_tasks.jobs.tables import Job, Parametric, Payload, Result

AT_ONCE = 500
# Seconds that are given to whoever should have moved a job on.
LOOKED_AT, EXPANDED, OPTIMIZED, FINISHED = 600, 300, 600, 86400
# A job's end may be in the database so many seconds after the time that it states.
DELAY, LONGEST = timedelta(seconds=60), timedelta(days=1)
SOURCE = "Reconcile"
BETWEEN = (Status.CHECKING, Status.RESCHEDULED)
AGAIN = Change(Status.RECEIVED, "Job accepted", "nobody has optimized it", SOURCE)
# The minor statuses are DIRAC's.
UNCONFIRMED = ("Bulk transaction confirmation", "the submission was never confirmed")
UNFINISHED = ("Pending Requests", "what was left to do after its payload has not been done for a day")
Repair = Callable[[Session, Sequence[int]], int]

log = logging.getLogger(__name__)


def reconcile() -> dict[str, int]:
    """How often each invariant was found broken; one that cannot be put right does not hold up the others.

    The first error is raised at the end.
    """
    found, errors = {}, []
    for name, check in CHECKS.items():
        try:
            found[name] = check(name)
        except Exception as error:
            log.exception("%s is not put right", name)
            errors.append(error)
    if errors:
        raise errors[0]
    return found


def _each(find: Callable[[], Select[int]], repair: Repair) -> Callable[[str], int]:
    """Repairs what a query finds, page by page, until nothing is left or nothing can be done about it."""

    def check(name: str) -> int:
        total = 0
        while True:
            # Found without a lock, as nearly always there is nothing.
            with reading() as db:
                found = list(db.scalars(find().limit(AT_ONCE)))
            with session() as db:
                repaired = repair(db, found) if found else 0
                repairs.note(db, {name: repaired})
            total += repaired
            if not repaired or len(found) < AT_ONCE:
                return total

    return check


def _overdue(name: str) -> int:
    """Jobs whose deadline has long passed, and nobody has looked: `jobs.check_stalled` does not run."""
    count = recover.check_overdue(LOOKED_AT)
    with session() as db:
        repairs.note(db, {name: count})
    return count


def _submitting() -> Select[int]:
    return select(Job.job_id).where(Job.status == Status.SUBMITTING, Job.updated_at < utc_now(-EXPANDED))


def _expand(db: Session, job_ids: Sequence[int]) -> int:
    """Have parametric jobs expanded; those that cannot be, and others that nobody confirmed, fail."""
    known = outbox.known(db, [expanding_key(job_id) for job_id in job_ids])
    waiting = [job_id for job_id in job_ids if expanding_key(job_id) not in known]
    # Who has just expanded it has changed its status before the outbox forgot the task.
    jobs = [job for job in hold(db, waiting).values() if job.status == Status.SUBMITTING]
    keys = {job.job_id: expanding_key(job.job_id) for job in jobs}
    parametric = set(db.scalars(select(Parametric.job_id).where(Parametric.job_id.in_(keys))))
    letters = {one.key: one for one in dead_letters.of_keys(db, keys.values())}
    _fail(db, [job for job in jobs if job.job_id not in parametric], *UNCONFIRMED)
    for job in (job for job in jobs if job.job_id in parametric):
        if letter := letters.get(keys[job.job_id]):
            words = f"it could not be expanded: {dead_letters.last_words(letter)}"
            _fail(db, [job], "Illegal Job JDL", f"{words} (dead letter {letter.letter_id})")
        else:
            ask_to_expand(db, job.job_id)
    return len(jobs)


def _received() -> Select[int]:
    old = (Job.status == Status.RECEIVED, Job.updated_at < utc_now(-OPTIMIZED))
    return select(Job.job_id).join(Payload, Payload.job_id == Job.job_id).where(*old)


def _optimize(db: Session, job_ids: Sequence[int]) -> int:
    """Ask for the optimizer, unless it is at work or asked for: then it only has much to do."""
    if outbox.known(db, [OPTIMIZING]):
        return 0
    waiting = [job for job in hold(db, job_ids).values() if job.status == Status.RECEIVED]
    if waiting:
        ask_for_optimizer(db)
    return len(waiting)


def _between() -> Select[int]:
    """Jobs on their way to the queue that nobody leads there; those that are held have a later deadline.

    DIRAC's own optimizers have those without a payload, which are not ours to run.
    """
    left = or_(Job.next_check_at.is_(None), Job.next_check_at < utc_now(-OPTIMIZED))
    old = (Job.status.in_(BETWEEN), Job.updated_at < utc_now(-OPTIMIZED), left)
    return select(Job.job_id).join(Payload, Payload.job_id == Job.job_id).where(*old)


def _begin_anew(db: Session, job_ids: Sequence[int]) -> int:
    moved = move_many(db, job_ids, AGAIN, frm=BETWEEN)
    if moved:
        ask_for_optimizer(db)
    return len(moved)


def _completed() -> Select[int]:
    return select(Job.job_id).where(Job.status == Status.COMPLETED, Job.updated_at < utc_now(-FINISHED))


def _give_up(db: Session, job_ids: Sequence[int]) -> int:
    held = [job for job in hold(db, job_ids).values() if job.status == Status.COMPLETED]
    _fail(db, held, *UNFINISHED)
    return len(held)


def _close(db: Session, job_ids: Sequence[int]) -> int:
    hold(db, job_ids)
    return ends.close_left_open(db, job_ids)


def _expected() -> Select[int]:
    """Jobs that have ended and whose deadline passes; a later one does no harm, and is found in its time."""
    return select(Job.job_id).where(Job.next_check_at <= utc_now(), Job.status.in_(FINAL))


def _unexpected() -> Select[int]:
    found = select(Job.job_id).where(Job.status.in_(HELD), Job.next_check_at.is_(None))
    # Left to itself, MariaDB reads all jobs of which nothing is expected: nearly all that there are.
    return found.with_hint(Job, "FORCE INDEX (Status)", "mysql")


def _expect(db: Session, job_ids: Sequence[int]) -> int:
    return deadlines.renew(db, job_ids, Job.next_check_at.is_(None))


def _without_outputs(name: str) -> int:
    """Steps of workflows that have ended well since the last time without outputs: these are lost."""
    with session() as db:
        until, since = database_time(db), repairs.looked_until(db, name)
        begin = max(since or until, until - LONGEST)
        between = (Job.updated_at >= begin - DELAY, Job.updated_at < until - DELAY)
        query = select(func.count()).select_from(Job).join(Payload, Payload.job_id == Job.job_id)
        query = query.outerjoin(Result, Result.job_id == Job.job_id).where(Result.job_id.is_(None))
        lost = (Job.status == Status.DONE, Payload.owner_task.is_not(None), *between)
        count = int(db.scalar(query.where(*lost)) or 0)
        repairs.note(db, {name: count}, until=until)
    if count:
        log.error("%d jobs of workflows are Done and have no outputs", count)
    return count


def _fail(db: Session, jobs: Sequence[Held], minor: str, words: str) -> None:
    if not jobs:
        return
    record(db, [job.job_id for job in jobs], Change(Status.FAILED, minor, words, SOURCE))
    moment = now().replace(microsecond=0)
    write(db, [New(job, Status.FAILED, minor, words, ended_at=moment) for job in jobs])


CHECKS: dict[str, Callable[[str], int]] = {
    "overdue_unnoticed": _overdue,
    "submitting_unexpanded": _each(_submitting, _expand),
    "received_unoptimized": _each(_received, _optimize),
    "checking_unoptimized": _each(_between, _begin_anew),
    "completed_unfinished": _each(_completed, _give_up),
    "ended_attempt_open": _each(ends.left_open, _close),
    "ended_with_deadline": _each(_expected, deadlines.drop),
    "held_without_deadline": _each(_unexpected, _expect),
    "done_without_outputs": _without_outputs,
}
