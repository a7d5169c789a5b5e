"""Pilots come and go: their rows, and what happens to a job whose pilot is known to be gone."""

import secrets
from collections.abc import Collection

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.jobs import recover
from diracx_tasks.pilots.tables import Pilot

ENDED = ("Done", "Failed", "Aborted", "Deleted")


def register(db: Session, vo: str, *, site: str, grid_type: str) -> str:
    """The stamp of a new pilot."""
    stamp = secrets.token_hex(16)
    row = Pilot(
        stamp=stamp,
        vo=vo,
        site=site,
        destination=site,
        grid_type=grid_type,
        reference=stamp,
        status="Submitted",
    )
    row.submitted_at = row.updated_at = utc_now()
    db.add(row)
    return stamp


def seen(db: Session, stamp: str, job_id: int | None) -> None:
    """Note that a pilot asked for work, and which job it got."""
    values = {"status": "Running", "updated_at": utc_now(), **({"current_job": job_id} if job_id else {})}
    changed(db, update(Pilot).where(Pilot.stamp == stamp, Pilot.status.not_in(ENDED)).values(values))


def ended(db: Session, stamps: Collection[str], *, status: str, reason: str) -> int:
    """Note that pilots are gone and give what they held back to the queue; answers how many jobs."""
    changed(
        db,
        update(Pilot)
        .where(Pilot.stamp.in_(stamps), Pilot.status.not_in(ENDED))
        .values({"status": status, "reason": reason[:255], "updated_at": utc_now()}),
    )
    return recover.pilots_ended(db, stamps)


def unfinished(db: Session, vo: str, grid_type: str) -> list[str]:
    """Stamps of pilots of a kind that have not ended as far as we know."""
    query = select(Pilot.stamp).where(
        Pilot.vo == vo, Pilot.grid_type == grid_type, Pilot.status.not_in(ENDED)
    )
    return list(db.scalars(query))


def totals(db: Session) -> dict[str, int]:
    """How many pilots there are in each status: for metrics."""
    return dict(db.execute(select(Pilot.status, func.count()).group_by(Pilot.status)).all())
