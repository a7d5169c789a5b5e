"""A circuit breaker for each queue of a VO, kept in the database: it opens, tries one pilot, closes again."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import func, not_, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, database_time, now, utc_now
from diracx_tasks.core.operations import site_director
from diracx_tasks.core.scheduling import SiteDirector
from diracx_tasks.core.unless_there import add_unless_there
from diracx_tasks.pilots.standing import HOUR, Key, came_to_nothing
from diracx_tasks.pilots.tables import Pilot, QueueState, Submission

FAILED = "Failed"


class Breaker(StrEnum):
    """Closed lets pilots through, open none, and half-open one that shows whether the queue works again."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Gate(NamedTuple):
    """How a queue's breaker stands and why; `test` is what its last test complained of."""

    breaker: Breaker = Breaker.CLOSED
    reason: str = ""
    until: datetime | None = None
    test: str = ""


class Outcomes(NamedTuple):
    """Pilots of a queue since its breaker last changed: how many came to nothing, and how many began well."""

    aborted: int
    started: int


def gates(db: Session, vo: str) -> dict[Key, Gate]:
    """How the breakers of a VO's queues stand; those that never had trouble nor a test are left out."""
    moment = database_time(db)
    rows = db.scalars(select(QueueState).where(QueueState.vo == vo))
    return {(row.ce, row.queue): _gate(row, moment) for row in rows}


def note_taken(db: Session, vo: str, key: Key) -> None:
    """Note that a queue took pilots: submissions do not fail in a row any more."""
    where = (*_row(vo, key), QueueState.failures > 0, QueueState.open_until.is_(None))
    changed(db, update(QueueState).where(*where).values(failures=0))


def note_failure(db: Session, vo: str, key: Key, words: str) -> bool:
    """Note that a submission failed; answers whether the breaker is open now."""
    row = held(db, vo, key)
    row.failures += 1
    if row.open_until is not None and row.open_until > database_time(db):
        return True
    if row.open_until is None and row.failures < site_director(vo).FailuresInARow:
        row.reason = words[:255]
        return False
    times = "a submission" if row.failures == 1 else f"{row.failures} submissions in a row"
    _open(row, site_director(vo), f"{times} failed: {words}")
    return True


def judge(db: Session, vo: str) -> list[Key]:
    """Open the breakers of queues that abort pilots, and close those where one has begun; answers which."""
    stated, moment = site_director(vo), database_time(db)
    found = _outcomes(db, vo)
    states = {(row.ce, row.queue): row for row in db.scalars(select(QueueState).where(QueueState.vo == vo))}
    moved = []
    for key, outcomes in found.items():
        state = states.get(key)
        if state is not None and state.open_until is not None:
            if state.open_until > moment:
                continue
            is_moved = _end_trial(db, vo, key, outcomes)
        else:
            is_moved = _is_bad(outcomes, stated)
            if is_moved:
                words = f"{outcomes.aborted} of {sum(outcomes)} pilots were aborted or failed without a job"
                _open(held(db, vo, key), stated, words)
        moved += [key] if is_moved else []
    return moved


def held(db: Session, vo: str, key: Key) -> QueueState:
    """The row of a queue, made if need be, held until the transaction ends."""
    query = select(QueueState).where(*_row(vo, key)).with_for_update()
    query = query.execution_options(populate_existing=True)
    found = db.scalars(query).one_or_none()
    if found is None:
        fresh = {"Failures": 0, "BackoffSeconds": 0.0, "Reason": "", "TestStatus": "", "TestReason": ""}
        row = {"VO": vo, "CE": key[0], "Queue": key[1], "ChangedAt": now(), **fresh}
        add_unless_there(db, QueueState, [row])
        found = db.scalars(query).one()
    return found


def reset(db: Session, vo: str, keys: Collection[Key]) -> None:
    """Close breakers, whatever was before: pilots are sent there as to any other queue."""
    for key in sorted(keys):
        row = held(db, vo, key)
        _close(row)


def _gate(row: QueueState, moment: datetime) -> Gate:
    test = row.test_reason or FAILED if row.test_status == FAILED else ""
    if row.open_until is None:
        return Gate(Breaker.CLOSED, "", None, test)
    state = Breaker.OPEN if row.open_until > moment else Breaker.HALF_OPEN
    return Gate(state, row.reason, row.open_until, test)


def _end_trial(db: Session, vo: str, key: Key, outcomes: Outcomes) -> bool:
    """One pilot has shown how a queue is by now."""
    if not sum(outcomes):
        return False
    row = held(db, vo, key)
    if outcomes.started:
        _close(row)
    else:
        _open(row, site_director(vo), "the pilot that was to try it again came to nothing")
    return True


def _is_bad(outcomes: Outcomes, stated: SiteDirector) -> bool:
    is_enough = outcomes.aborted >= stated.AbortedLeast
    return is_enough and outcomes.aborted >= stated.AbortedFraction * sum(outcomes)


def _open(row: QueueState, stated: SiteDirector, words: str) -> None:
    longest = stated.MaxBackoffSeconds
    row.backoff = min(longest, row.backoff * 2) if row.open_until else min(longest, stated.BackoffSeconds)
    row.reason = words[:255]
    row.open_until = utc_now(row.backoff)
    row.changed_at = utc_now()


def _close(row: QueueState) -> None:
    row.open_until, row.backoff, row.failures, row.reason = None, 0.0, 0, ""
    row.changed_at = utc_now()


def _outcomes(db: Session, vo: str) -> Mapping[Key, Outcomes]:
    """What came of pilots within the hour, and since the queue's breaker last changed."""
    state = (QueueState.vo == vo) & (QueueState.ce == Submission.ce) & (QueueState.queue == Submission.queue)
    # An open breaker changed when it opened: what it is judged by was submitted when it was half-open.
    since = func.coalesce(QueueState.open_until, QueueState.changed_at, utc_now(-HOUR))
    query = select(Submission.ce, Submission.queue, func.count()).outerjoin(QueueState, state)
    of_vo = query.join(Pilot, Pilot.stamp == Submission.stamp).where(Submission.vo == vo, Pilot.vo == vo)
    ours = of_vo.where(Submission.claimed_at >= since).group_by(Submission.ce, Submission.queue)
    aborted = ours.where(came_to_nothing(), Pilot.updated_at > utc_now(-HOUR))
    started = ours.where(not_(came_to_nothing()), Submission.started_at > utc_now(-HOUR))
    bad, good = _counted(db.execute(aborted).all()), _counted(db.execute(started).all())
    return {key: Outcomes(bad.get(key, 0), good.get(key, 0)) for key in {*bad, *good}}


def _counted(rows: Sequence[Any]) -> dict[Key, int]:
    return {(ce, queue): count for ce, queue, count in rows}


def _row(vo: str, key: Key) -> Sequence[Any]:
    return QueueState.vo == vo, QueueState.ce == key[0], QueueState.queue == key[1]
