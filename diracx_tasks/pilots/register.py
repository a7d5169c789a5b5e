"""Pilots come and go: their rows, and what happens to a job whose pilot is known to be gone."""

import secrets
import time
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.auth.tokens import User
from diracx_tasks.core import config
from diracx_tasks.core.database import changed, now, plain, session, utc_now
from diracx_tasks.core.errors import BadRequest, Conflict, Forbidden, Unauthenticated
from diracx_tasks.core.many import Columns, update_many
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import recover
from diracx_tasks.pilots import mapping
from diracx_tasks.pilots.tables import Pilot, StampLock

ENDED = ("Done", "Failed", "Aborted", "Deleted")
IDLE_NOTED = 60.0
MOST_IDLE = 100_000
# A pilot that was refused because it has ended is not looked at again for so long.
GONE_SECONDS = 60.0
# As many rows as the migration has made.
STAMP_LOCKS = 64

_idle: dict[str, float] = {}
_gone: dict[tuple[str, str, str], float] = {}


class PilotEnded(Unauthenticated):
    """The pilot is known to have ended, or was killed: its token holds no more."""

    def __init__(self, stamp: str, status: str = "") -> None:
        status = f" ({status})" if status else ""
        super().__init__(f"the pilot {stamp} has ended{status}: its token holds no more")


@dataclass(frozen=True)
class NewPilot:
    """A pilot as its computing element knows it; the reference is the stamp unless there is another."""

    stamp: str
    site: str = "Unknown"
    destination: str = "NotAssigned"
    grid_type: str = "DIRAC"
    reference: str | None = None
    status: str = "Submitted"


def register(db: Session, vo: str, *, site: str, grid_type: str) -> str:
    """The stamp of a new pilot."""
    stamp = secrets.token_hex(16)
    _add(db, vo, NewPilot(stamp, site=site, destination=site, grid_type=grid_type))
    return stamp


def enrol(db: Session, vo: str, pilot: NewPilot, *, by: User) -> None:
    """Register a pilot that has a stamp already; Conflict when the stamp is taken, whoever's it is.

    A pilot enrols itself only, an administrator any of his own VO.
    """
    if vo not in config.vos():
        raise BadRequest(f"VO {vo!r} is not registered in this installation.")
    if vo != by.vo:
        raise Forbidden("Pilots can only be registered for your own VO.")
    must_be(by, pilot.stamp)
    number = zlib.crc32(pilot.stamp.lower().encode()) % STAMP_LOCKS
    # Of two who add the same stamp at once, the second waits here and then sees the first one's row.
    db.execute(select(StampLock).where(StampLock.number == number).with_for_update()).one()
    if db.execute(select(Pilot.pilot_id).where(Pilot.stamp == pilot.stamp).limit(1)).first():
        raise Conflict(f"Pilot with stamp {pilot.stamp!r} already exists")
    _add(db, vo, pilot)


def must_be(by: User, stamp: str) -> None:
    """Raise Forbidden when somebody is a pilot, and another one."""
    if SERVICE not in by.properties and by.pilot_stamp and by.pilot_stamp != stamp:
        raise Forbidden(f"this token is of the pilot {by.pilot_stamp}, not {stamp}")


def seen_many(db: Session, vo: str, given: Sequence[tuple[str, Sequence[int]]]) -> set[str]:
    """Note which jobs a VO's pilots got, by their stamps; calling twice is harmless.

    Answers those that have ended: they must not get any, which is for the caller to undo. Pilots that are not
    known are left out.
    """
    if not given:
        return set()
    # A pilot that asked twice at the same time is there once, with all its jobs.
    jobs: dict[str, list[int]] = {}
    for stamp, job_ids in given:
        jobs.setdefault(stamp, []).extend(job_ids)
    numbers = mapping.note(db, vo, jobs)
    moment = now().replace(microsecond=0)
    rows = [(number, min(jobs[stamp]), moment) for stamp, number in sorted(numbers.items())]
    names = ("PilotID", "CurrentJobID", "LastUpdateTime")
    # Who ends a pilot meanwhile waits for this, and then finds its jobs; or was first, and this finds that.
    if update_many(db, plain(Pilot), names, _working, rows, only=_goes_on) == len(rows):
        return set()
    over = select(Pilot.stamp).where(Pilot.pilot_id.in_(numbers.values()), Pilot.status.in_(ENDED))
    return set(db.scalars(over)).intersection(jobs)


def note_idle(vo: str, stamp: str) -> None:
    """Note that a pilot asked for work and got none, at most once in IDLE_NOTED seconds by this process.

    Raises PilotEnded.
    """
    moment = time.monotonic()
    if moment - _idle.get(stamp, -IDLE_NOTED) < IDLE_NOTED:
        return
    with session() as db:
        values = {"status": "Running", "updated_at": utc_now()}
        where = (Pilot.stamp == stamp, Pilot.vo == vo)
        goes_on = (*where, Pilot.status.not_in(ENDED))
        is_noted = changed(db, update(Pilot).where(*goes_on).values(values))
        if not is_noted and (status := db.scalar(select(Pilot.status).where(*where).limit(1))):
            raise refused(vo, stamp, status)
    if len(_idle) >= MOST_IDLE:
        _idle.clear()
    _idle[stamp] = moment


def must_go_on(vo: str, stamp: str) -> None:
    """Raise PilotEnded when the pilot was `refused` just now."""
    if _gone and time.monotonic() < _gone.get((settings().database, vo, stamp), 0):
        raise PilotEnded(stamp)


def refused(vo: str, stamp: str, status: str = "") -> PilotEnded:
    """The error for a pilot that has ended; this process remembers for a while that it has."""
    if len(_gone) >= MOST_IDLE:
        _gone.clear()
    _gone[settings().database, vo, stamp] = time.monotonic() + GONE_SECONDS
    return PilotEnded(stamp, status)


def keep_alive(db: Session, vo: str, stamp: str) -> None:
    """Have a pilot run that only stands for something and never ends, whatever was said of it."""
    over = (Pilot.stamp == stamp, Pilot.vo == vo, Pilot.status.in_(ENDED))
    changed(db, update(Pilot).where(*over).values({"status": "Running", "updated_at": utc_now()}))


def ended(db: Session, vo: str, stamps: Collection[str], *, status: str, reason: str) -> int:
    """Note that pilots of a VO are gone and give what they held back to the queue; answers how many jobs."""
    changed(
        db,
        update(Pilot)
        .where(Pilot.vo == vo, Pilot.stamp.in_(stamps), Pilot.status.not_in(ENDED))
        .values({"status": status, "reason": reason[:255], "updated_at": utc_now()}),
    )
    return recover.pilots_ended(db, vo, stamps)


def totals(db: Session) -> dict[str, int]:
    """How many pilots there are in each status: for metrics."""
    return dict(db.execute(select(Pilot.status, func.count()).group_by(Pilot.status)).all())


def _add(db: Session, vo: str, pilot: NewPilot) -> None:
    row = Pilot(
        stamp=pilot.stamp,
        vo=vo,
        site=pilot.site,
        destination=pilot.destination,
        grid_type=pilot.grid_type,
        reference=pilot.reference or pilot.stamp,
        status=pilot.status,
    )
    row.submitted_at = row.updated_at = utc_now()
    db.add(row)
    db.flush()


def _goes_on() -> ColumnElement[bool]:
    return and_(*(plain(Pilot).c.Status != status for status in ENDED))


def _working(new: Columns) -> dict[str, Any]:
    """A pilot with a job runs."""
    pilot = plain(Pilot).c
    return {
        "InitialJobID": case((pilot.InitialJobID == 0, new["CurrentJobID"]), else_=pilot.InitialJobID),
        "CurrentJobID": new["CurrentJobID"],
        "LastUpdateTime": new["LastUpdateTime"],
        "Status": "Running",
    }
