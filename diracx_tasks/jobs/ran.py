"""What jobs were given, and when and where they ran: for records of what has happened."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from diracx_tasks.core.packed import unpacked
from diracx_tasks.jobs.tables import Attempt, Job, Payload


class Ran(NamedTuple):
    """A job's last attempt; the times are UTC, and None when it has had none."""

    job_id: int
    attempt: int
    status: str
    reason: str
    site: str
    started_at: datetime | None
    ended_at: datetime | None
    inputs: dict[str, Any]


def ran(db: Session, job_ids: Collection[int]) -> dict[int, Ran]:
    """Jobs by their numbers; those that are gone are left out. The caller knows that they may be seen."""
    last = and_(Attempt.job_id == Job.job_id, Attempt.attempt == Job.attempt)
    query = (
        select(
            Job.job_id,
            Job.attempt,
            Job.status,
            Job.application_status,
            Attempt.site,
            Attempt.started_at,
            Attempt.ended_at,
            Payload.payload,
        )
        .outerjoin(Attempt, last)
        .outerjoin(Payload, Payload.job_id == Job.job_id)
        .where(Job.job_id.in_(job_ids))
    )
    found = {}
    for row in db.execute(query).all() if job_ids else ():
        number, attempt, status, reason, site, started_at, ended_at, payload = row
        inputs = _inputs(unpacked(payload)) if payload else {}
        found[number] = Ran(number, attempt, status, reason, site or "", started_at, ended_at, inputs)
    return found


def _inputs(payload: dict[str, Any]) -> dict[str, Any]:
    found = payload.get("inputs")
    return found if isinstance(found, dict) else {}
