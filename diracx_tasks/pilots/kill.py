"""Pilots are ended because somebody says so: in the books at once, in their batch systems by a task."""

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.pilots import register, withdraw
from diracx_tasks.pilots.tables import Pilot, Submission

log = logging.getLogger(__name__)
# Who has claimed a pilot submits it: nobody does any more.
NOBODY = "killed"
SHOWN = 5


class Killed(NamedTuple):
    """A pilot, its status before, whether that was an end already, and what happens at its element."""

    stamp: str
    was: str
    has_ended: bool
    words: str


class _Found(NamedTuple):
    stamp: str
    status: str
    destination: str
    ce: str | None


def kill(db: Session, stamps: Collection[str], *, by: User) -> list[Killed]:
    """End pilots of somebody's VO: all or none of them; twice is harmless.

    What they hold goes to other pilots with this transaction. Those that are planned are not submitted any
    more, for those that were submitted their computing elements are told until they have heard it. NotFound
    when there is no such pilot.
    """
    rows = _held(db, by.vo, stamps)
    alive = [row for row in rows if row.status not in register.ENDED]
    words = f"killed by {by.name}"
    register.ended(db, by.vo, [row.stamp for row in alive], status="Deleted", reason=words)
    never = _withhold(db, [row.stamp for row in alive])
    submitted = defaultdict(list)
    for row in alive:
        if row.ce and row.stamp not in never:
            submitted[row.ce].append(row.stamp)
    for ce, found in sorted(submitted.items()):
        withdraw.mark(db, by.vo, ce, found)
    if alive:
        log.warning("%d pilots of %s are killed by %s", len(alive), by.vo, by.name)
    return [_killed(row, never) for row in rows]


def _held(db: Session, vo: str, stamps: Collection[str]) -> Sequence[_Found]:
    """The pilots, whose rows are held until the transaction ends."""
    of = Pilot.stamp.in_(sorted(set(stamps))), Pilot.vo == vo
    # In one order everywhere, or two who end the same pilots could wait for each other.
    db.execute(select(Pilot.pilot_id).where(*of).order_by(Pilot.pilot_id).with_for_update()).all()
    query = select(Pilot.stamp, Pilot.status, Pilot.destination, Submission.ce)
    joined = query.outerjoin(Submission, Submission.stamp == Pilot.stamp).where(*of)
    # A database takes small letters for capitals; we do not.
    found = (_Found(*row) for row in db.execute(joined.order_by(Pilot.pilot_id)))
    rows = [row for row in found if row.stamp in stamps]
    missing = sorted(set(stamps) - {row.stamp for row in rows})
    if missing:
        names = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        raise NotFound(f"there is no pilot {names} in {vo}: nothing was killed")
    return rows


def _withhold(db: Session, stamps: Collection[str]) -> set[str]:
    """Claim pilots that nobody has begun to submit, so that nobody does; answers which."""
    free = update(Submission).where(Submission.stamp.in_(stamps), Submission.claimed_at.is_(None))
    changed(db, free.values(claim=NOBODY, claimed_at=utc_now()))
    mine = select(Submission.stamp).where(Submission.stamp.in_(stamps), Submission.claim == NOBODY)
    return set(db.scalars(mine))


def _killed(row: _Found, never: Collection[str]) -> Killed:
    if row.status in register.ENDED:
        return Killed(row.stamp, row.status, True, f"it is {row.status} already")
    if row.stamp in never:
        words = "it was not submitted yet, and will not be"
    elif row.ce:
        words = f"{row.ce} is told"
    else:
        words = f"{row.destination} is not told: it was not submitted from here"
    return Killed(row.stamp, row.status, False, words)
