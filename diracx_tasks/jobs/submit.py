"""Entry of jobs: rows in bulk, Received, and the optimizer asked for in the same transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now
from diracx_tasks.core.origin import origin
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change, packed, record
from diracx_tasks.jobs.tables import Job, JobJDL, Payload

ACCEPTED = Change(Status.RECEIVED, minor="Job accepted", application="Unknown", source="JobManager")


@dataclass(frozen=True)
class NewJob:
    """A job to be. `owner_task` and `owner_id` say whom its end concerns."""

    name: str
    vo: str
    owner: str
    group: str
    payload: dict[str, Any]
    requirements: dict[str, Any]
    job_group: str = "00000000"
    owner_task: str | None = None
    owner_id: int | None = None


def create(db: Session, jobs: Sequence[NewJob]) -> list[int]:
    """Store jobs and answer their numbers in the same order."""
    if not jobs:
        return []
    described = [JobJDL(jdl=_jdl(job), original=_jdl(job)) for job in jobs]
    db.add_all(described)
    db.flush()
    ids = [row.job_id for row in described]
    pairs = list(zip(ids, jobs, strict=True))
    db.execute(insert(Job), [_row(job_id, job) for job_id, job in pairs])
    db.execute(insert(Payload), [_payload(job_id, job) for job_id, job in pairs])
    record(db, ids, ACCEPTED)
    ask_for_optimizer(db)
    return ids


def ask_for_optimizer(db: Session) -> None:
    """Have what is Received optimized after this transaction."""
    enqueue(db, "jobs.optimize", "jobs.optimize")


def _row(job_id: int, job: NewJob) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "name": job.name[:128],
        "vo": job.vo,
        "owner": job.owner,
        "group": job.group,
        "job_group": job.job_group,
        "submitted_at": now(),
        "updated_at": now(),
        "status": Status.RECEIVED,
        "minor_status": ACCEPTED.minor,
        "priority": job.requirements.get("priority", 5),
        "verified": "True",
        "attempt": 1,
    }


def _payload(job_id: int, job: NewJob) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "payload": packed({**job.payload, "trace": trace} if (trace := origin().trace) else job.payload),
        "requirements": job.requirements,
        "owner_task": job.owner_task,
        "owner_id": job.owner_id,
    }


def _jdl(job: NewJob) -> str:
    """The description that DIRAC's own tools read; what is run stands in the payload."""
    name = job.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'[\n  JobName = "{name}";\n  JobType = "User";\n  Executable = "diracx-pilot";\n]'
