"""Pilots that wait and that nobody needs any more leave their queues before they start for nothing."""

from collections.abc import Sequence

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, reading, session, utc_now
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.pilots import register
from diracx_tasks.pilots.elements import element
from diracx_tasks.pilots.queues import options_of, stated
from diracx_tasks.pilots.standing import KEPT_WAITING, PLANNED, WAITING, Key
from diracx_tasks.pilots.tables import Pilot, Submission

PAGE = 100
# What an element has not found so long after its submission began will not be found any more.
GIVEN_UP = 600.0
WORDS = "nobody needs it any more"
DELETED = "Deleted"
SUBMITTED = tuple(status for status in WAITING if status != PLANNED)


def withdraw(db: Session, vo: str, key: Key, count: int) -> int:
    """Withdraw so many pilots that wait in a queue, the last that came; answers how many.

    One that has started meanwhile stays. The batch system is told after this transaction.
    """
    stamps = _last(db, vo, key, count)
    waits = (Pilot.stamp.in_(stamps), Pilot.vo == vo, Pilot.status.in_(SUBMITTED))
    told = {"status": DELETED, "reason": WORDS, "updated_at": utc_now()}
    found = changed(db, update(Pilot).where(*waits).values(told))
    gone = select(Pilot.stamp).where(Pilot.stamp.in_(stamps), Pilot.status == DELETED)
    mark(db, vo, key[0], list(db.scalars(gone)))
    return found


def mark(db: Session, vo: str, ce: str, stamps: Sequence[str]) -> None:
    """Have the batch system told, once and again until it has heard it, that pilots are to go."""
    changed(db, update(Submission).where(Submission.stamp.in_(stamps)).values(to_kill=1))
    if stamps:
        enqueue(db, "pilots.kill_pilots", f"ce-{vo}/{ce}.kill", vo=vo, ce=ce)


def marked(db: Session, vo: str) -> list[str]:
    """The computing elements of the configuration that are still to be told of a VO's pilots that go."""
    where = (Submission.vo == vo, Submission.claimed_at.is_not(None), Submission.to_kill == 1)
    known = {one.ce for one in stated(vo)}
    return sorted(known.intersection(db.scalars(select(Submission.ce).where(*where).distinct())))


def kill_page(vo: str, ce: str) -> int:
    """Have an element end a page of what is to go; answers how many. Raises what the element raises.

    A job that one of them has taken in the meantime goes to another pilot. One whose submission is under way
    or was cut off is looked for, for ten minutes at most.
    """
    with reading() as db:
        rows = _to_kill(db, vo, ce)
    if not rows:
        return 0
    made = element(ce, options_of(ce))
    lost = [row.stamp for row in rows if row.reference == row.stamp]
    found = made.find(lost) if lost else {}
    known = {row.stamp: found.get(row.stamp, row.reference) for row in rows if row.stamp not in lost} | found
    if known:
        made.kill(list(known.values()))
    gone = [row.stamp for row in rows if row.stamp in known or row.is_given_up]
    with session() as db:
        register.ended(db, vo, gone, status=DELETED, reason=WORDS)
        changed(db, update(Submission).where(Submission.stamp.in_(gone)).values(to_kill=0))
    return len(gone)


def _to_kill(db: Session, vo: str, ce: str) -> Sequence[Row[str, str, bool]]:
    is_given_up = (Submission.claimed_at < utc_now(-GIVEN_UP)).label("is_given_up")
    query = select(Submission.stamp, Pilot.reference, is_given_up)
    mine = query.join(Pilot, Pilot.stamp == Submission.stamp).where(
        Submission.vo == vo, Submission.ce == ce, Submission.to_kill == 1
    )
    # Those that have to be looked for do not stand in the way of others.
    return db.execute(mine.order_by(Pilot.reference == Pilot.stamp, Pilot.pilot_id).limit(PAGE)).all()


def _last(db: Session, vo: str, key: Key, count: int) -> list[str]:
    where = (Submission.vo == vo, Submission.ce == key[0], Submission.queue == key[1])
    query = select(Submission.stamp).join(Pilot, Pilot.stamp == Submission.stamp)
    old = query.where(*where, Pilot.status.in_(SUBMITTED), Submission.planned_at < utc_now(-KEPT_WAITING))
    return list(db.scalars(old.order_by(Submission.planned_at.desc(), Submission.stamp).limit(count)))
