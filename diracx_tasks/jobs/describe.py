"""What a pilot gets to know of a job that it is given."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.packed import unpacked
from diracx_tasks.jobs.tables import Job, Payload


@dataclass(frozen=True)
class Work:
    """A job's owner, what it needs (RAM in MB) and what it runs."""

    owner: str
    group: str
    vo: str
    cores: int
    ram_mb: int
    payload: dict[str, Any]


def describe(db: Session, job_id: int) -> Work:
    """The job as its pilot needs it."""
    row = db.execute(
        select(Job.owner, Job.group, Job.vo, Payload.payload, Payload.requirements)
        .join(Payload, Payload.job_id == Job.job_id)
        .where(Job.job_id == job_id)
    ).one()
    needs = row.requirements
    return Work(row.owner, row.group, row.vo, needs["cores"], needs["ram_mb"], unpacked(row.payload))
