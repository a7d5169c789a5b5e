"""Reading one job: everything about it, its history, its output, its description, what it used."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import utc
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.packed import unpacked
from diracx_tasks.core.rows import is_flag
from diracx_tasks.jobs import attempt_use, events, parameters
from diracx_tasks.jobs.access import visible
from diracx_tasks.jobs.beats import beats_of
from diracx_tasks.jobs.jdls import readable
from diracx_tasks.jobs.search import COLUMNS
from diracx_tasks.jobs.states import FINAL
from diracx_tasks.jobs.tables import Attempt, Job, Parametric, Payload, Result


def get(db: Session, job_id: int, *, by: User) -> dict[str, Any]:
    """DIRAC's columns, and the payload's place, the outputs and all attempts."""
    row = _seen(db, job_id, by)
    payload = db.get(Payload, job_id)
    content = unpacked(payload.payload) if payload else {}
    outputs = db.scalar(select(Result.outputs).where(Result.job_id == job_id))
    attempts = db.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.attempt))
    used = attempt_use.of_job(db, job_id)
    wide = db.get(Parametric, job_id)
    return {
        **row,
        "WorkflowID": payload.owner_id if payload else None,
        "Step": content.get("path"),
        "Requirements": payload.requirements if payload else {},
        "Outputs": unpacked(outputs) if outputs else None,
        "Attempts": [_attempt(attempt) | {"use": used.get(attempt.attempt)} for attempt in attempts],
        "Parametric": {"total": wide.total, "made": wide.made} if wide else None,
    }


def payload_of(db: Session, job_id: int) -> tuple[dict[str, Any], int | None]:
    """What a job runs, and the workflow that it is of; the caller knows that it may be seen."""
    found = db.get_one(Payload, job_id)
    return unpacked(found.payload), found.owner_id


def history(db: Session, job_id: int, *, by: User) -> list[dict[str, Any]]:
    """Every change, oldest first; fields that a change left alone repeat the value before."""
    _seen(db, job_id, by)
    return events.histories(db, [job_id])[job_id]


def description(db: Session, job_id: int, *, by: User) -> dict[str, str]:
    """The job's JDL as it runs and as it was submitted."""
    _seen(db, job_id, by)
    found = readable(db, [job_id]).get(job_id)
    if found is None:
        raise NotFound(f"job {job_id} has no description")
    return {"jdl": found.jdl, "original": found.original}


def heartbeats(db: Session, job_id: int, *, by: User) -> list[dict[str, Any]]:
    """What the job used, heartbeat by heartbeat."""
    _seen(db, job_id, by)
    return beats_of(db, job_id)


def parameters_of(db: Session, job_id: int, *, by: User) -> parameters.Found:
    """What is known of the job besides its attributes."""
    _seen(db, job_id, by)
    return parameters.read(db, [job_id], by.vo)


def log(db: Session, job_id: int, *, by: User) -> dict[str, Any]:
    """The tail of the newest attempt's output."""
    status = _seen(db, job_id, by)["Status"]
    newest = select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.attempt.desc()).limit(1)
    attempt = db.scalar(newest)
    return {
        "job_id": job_id,
        "attempt": attempt.attempt if attempt else None,
        "text": (attempt.log or "") if attempt else "",
        "updated_at": utc(attempt.log_at) if attempt else None,
        "final": status in FINAL,
    }


def _seen(db: Session, job_id: int, by: User) -> dict[str, Any]:
    query = select(*COLUMNS.values()).where(Job.job_id == job_id, *visible(by))
    row = db.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no job {job_id} in {by.vo}")
    return {name: _plain(value, COLUMNS[name]) for name, value in row.items()}


def _plain(value: Any, column: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value)
    # DIRAC's booleans are texts in the database.
    return {"True": True, "False": False}.get(value, value) if is_flag(column.type) else value


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "pilot": attempt.pilot,
        "site": attempt.site,
        "started_at": utc(attempt.started_at),
        "ended_at": utc(attempt.ended_at),
        "status": attempt.status,
        "reason": attempt.reason,
        "usage": attempt.usage,
    }
