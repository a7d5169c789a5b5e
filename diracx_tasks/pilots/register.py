"""Pilots come and go: their rows, and what happens to a job whose pilot is known to be gone."""

import secrets
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.auth.tokens import User
from diracx_tasks.core import config
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.errors import BadRequest, Conflict, Forbidden
from diracx_tasks.jobs import recover
from diracx_tasks.pilots import mapping
from diracx_tasks.pilots.tables import Pilot, StampLock

ENDED = ("Done", "Failed", "Aborted", "Deleted")
# As many rows as the migration has made.
STAMP_LOCKS = 64


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


def seen(db: Session, vo: str, stamp: str, job_ids: Collection[int]) -> None:
    """Note that a pilot asked for work, and which jobs it got; calling twice is harmless."""
    values: dict[str, Any] = {"status": "Running", "updated_at": utc_now()}
    if job_ids:
        first = min(job_ids)
        values |= {
            "current_job": first,
            "initial_job": case((Pilot.initial_job == 0, first), else_=Pilot.initial_job),
        }
    where = (Pilot.stamp == stamp, Pilot.vo == vo, Pilot.status.not_in(ENDED))
    changed(db, update(Pilot).where(*where).values(values))
    mapping.note(db, vo, stamp, job_ids)


def ended(db: Session, vo: str, stamps: Collection[str], *, status: str, reason: str) -> int:
    """Note that pilots of a VO are gone and give what they held back to the queue; answers how many jobs."""
    changed(
        db,
        update(Pilot)
        .where(Pilot.vo == vo, Pilot.stamp.in_(stamps), Pilot.status.not_in(ENDED))
        .values({"status": status, "reason": reason[:255], "updated_at": utc_now()}),
    )
    return recover.pilots_ended(db, vo, stamps)


def unfinished(db: Session, vo: str, grid_type: str) -> list[str]:
    """Stamps of pilots of a kind that have not ended as far as we know."""
    query = select(Pilot.stamp).where(
        Pilot.vo == vo, Pilot.grid_type == grid_type, Pilot.status.not_in(ENDED)
    )
    return list(db.scalars(query))


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
