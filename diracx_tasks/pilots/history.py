"""One pilot with all that is known of it: how it came to its queue, its jobs, its end."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import utc
from diracx_tasks.jobs.access import those_seen
from diracx_tasks.jobs.holders import Held, held_count, jobs_held
from diracx_tasks.pilots import mapping
from diracx_tasks.pilots.logs import number
from diracx_tasks.pilots.register import ENDED
from diracx_tasks.pilots.tables import Pilot, Submission

MOST_JOBS = 200


class Event(NamedTuple):
    """Something that happened to a pilot."""

    at: datetime
    words: str


def history(db: Session, stamp: str, *, by: User) -> dict[str, Any]:
    """A pilot of the user's VO, those jobs (the last MOST_JOBS) of it that he may see, its events in order.

    NotFound when there is none.
    """
    vo = by.vo
    pilot = db.get_one(Pilot, number(db, vo, stamp))
    way = db.get(Submission, stamp)
    held = jobs_held(db, stamp, MOST_JOBS, by=by)
    registered = those_seen(db, mapping.jobs_of(db, vo, [stamp]), by)
    return {
        "stamp": pilot.stamp,
        "reference": pilot.reference,
        "status": pilot.status,
        "reason": "" if pilot.reason == "Unknown" else pilot.reason,
        "site": pilot.site,
        "ce": pilot.destination,
        "queue": pilot.queue,
        "kind": pilot.grid_type,
        "benchmark": pilot.benchmark,
        "updated_at": utc(pilot.updated_at),
        "is_to_be_killed": bool(way and way.to_kill),
        "events": [{"at": utc(one.at), "words": one.words} for one in _events(pilot, way)],
        "holds": held_count(db, stamp),
        "jobs": [_job(one) for one in held],
        "job_ids": sorted({*registered, *(one.job_id for one in held)}),
    }


def _events(pilot: Pilot, way: Submission | None) -> list[Event]:
    """What the rows tell; times of DIRAC's table have no fractions of seconds."""
    found = []
    if way is not None:
        found.append(Event(way.planned_at, f"planned for {way.queue} of {way.ce}"))
        if way.claimed_at is not None and pilot.reference != pilot.stamp:
            found.append(Event(way.claimed_at, f"submitted as {pilot.reference}"))
        if way.started_at is not None:
            found.append(Event(way.started_at, "seen running"))
    elif pilot.submitted_at is not None:
        found.append(Event(pilot.submitted_at, "registered"))
    if pilot.status in ENDED and pilot.updated_at is not None:
        why = f": {pilot.reason}" if pilot.reason not in ("", "Unknown") else ""
        found.append(Event(pilot.updated_at, f"{pilot.status}{why}"))
    return found


def _job(one: Held) -> dict[str, Any]:
    times = {"started_at": utc(one.started_at), "ended_at": utc(one.ended_at)}
    return {
        "job_id": one.job_id,
        "attempt": one.attempt,
        "status": one.status,
        "reason": one.reason,
        "is_held": one.is_held,
        **times,
    }
