"""Reading jobs: one with everything about it, many by DiracX's search, counts."""

import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Select, func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import utc
from diracx_tasks.core.errors import BadRequest, NotFound
from diracx_tasks.core import periods
from diracx_tasks.jobs.states import FINAL
from diracx_tasks.jobs.status import unpacked
from diracx_tasks.jobs.tables import Attempt, Job, JobEvent, Payload, Result

COLUMNS = {column.name: column for column in Job.__table__.columns if column.name != "NextCheckAt"}
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": lambda column, value: column == value,
    "neq": lambda column, value: column != value,
    "gt": lambda column, value: column > value,
    "lt": lambda column, value: column < value,
    "like": lambda column, value: column.like(value),
    "not like": lambda column, value: column.not_like(value),
    "regex": lambda column, value: column.regexp_match(value),
    "in": lambda column, values: column.in_(values),
    "not in": lambda column, values: column.not_in(values),
}
# Of DIRAC's statuses, what a person sees of a step.
SHOWN = {"Done": "Done", "Failed": "Failed", "Killed": "Killed", "Deleted": "Killed"}
SHOWN |= dict.fromkeys(("Running", "Completing", "Stalled", "Matched"), "Running")


def get(db: Session, job_id: int, vo: str) -> dict[str, Any]:
    """DIRAC's columns, and the payload's place, the outputs and all attempts."""
    row = _of_vo(db, job_id, vo)
    payload = db.get(Payload, job_id)
    content = unpacked(payload.payload) if payload else {}
    outputs = db.scalar(select(Result.outputs).where(Result.job_id == job_id))
    attempts = db.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.attempt))
    return {
        **row,
        "WorkflowID": payload.owner_id if payload else None,
        "Step": content.get("path"),
        "Requirements": payload.requirements if payload else {},
        "Outputs": unpacked(outputs) if outputs else None,
        "Attempts": [_attempt(attempt) for attempt in attempts],
    }


def history(db: Session, job_id: int, vo: str) -> list[dict[str, Any]]:
    """Every change, oldest first; fields that a change left alone repeat the value before."""
    _of_vo(db, job_id, vo)
    found: list[dict[str, Any]] = []
    before = {"MinorStatus": "Unknown", "ApplicationStatus": "Unknown"}
    for event in db.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.number)):
        stated = {"MinorStatus": event.minor_status, "ApplicationStatus": event.application_status}
        before = {name: before[name] if value == "idem" else value for name, value in stated.items()}
        found.append({"Status": event.status, **before, "StatusTime": utc(event.at), "Source": event.source})
    return found


def log(db: Session, job_id: int, vo: str) -> dict[str, Any]:
    """The tail of the newest attempt's output."""
    status = _of_vo(db, job_id, vo)["Status"]
    newest = select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.attempt.desc()).limit(1)
    attempt = db.scalar(newest)
    return {
        "job_id": job_id,
        "attempt": attempt.attempt if attempt else None,
        "text": (attempt.log or "") if attempt else "",
        "updated_at": utc(attempt.log_at) if attempt else None,
        "final": status in FINAL,
    }


def search(
    db: Session,
    vo: str,
    *,
    parameters: list[str] | None,
    conditions: list[dict[str, Any]],
    sort: list[dict[str, str]],
    page: int,
    per_page: int,
) -> tuple[int, list[dict[str, Any]]]:
    """How many of the VO's jobs fit all conditions, and one page of them, columns in the table's order."""
    if unknown := set(parameters or ()) - COLUMNS.keys():
        raise BadRequest(f"Unrecognised parameters requested {unknown}")
    wanted = [column for name, column in COLUMNS.items() if not parameters or name in parameters]
    where = [Job.vo == vo, *(_condition(one) for one in conditions)]
    total = db.execute(select(func.count()).select_from(Job).where(*where)).scalar_one()
    query: Select[Any] = select(*wanted).where(*where)
    for order in sort:
        column = _column(order["parameter"], "Cannot sort by {}: unknown column")
        query = query.order_by(column.desc() if order["direction"] == "desc" else column.asc())
    rows = db.execute(query.order_by(Job.job_id).limit(per_page).offset((page - 1) * per_page))
    return total, [{name: _plain(value) for name, value in row.items()} for row in rows.mappings()]


def counts(db: Session, vo: str, job_group: str) -> dict[tuple[str, str], int]:
    """How many jobs of a group there are by name and by the status that people see (SHOWN, else Waiting)."""
    query = select(Job.name, Job.status, func.count()).where(Job.job_group == job_group, Job.vo == vo)
    found: dict[tuple[str, str], int] = {}
    for name, status, count in db.execute(query.group_by(Job.name, Job.status)):
        key = name, SHOWN.get(status, "Waiting")
        found[key] = found.get(key, 0) + count
    return found


def group_counts(db: Session, vo: str, job_groups: Collection[str]) -> dict[str, dict[str, int]]:
    """For each group, how many of its jobs there are by shown status."""
    query = select(Job.job_group, Job.status, func.count()).where(Job.job_group.in_(job_groups), Job.vo == vo)
    found: dict[str, dict[str, int]] = {group: {} for group in job_groups}
    for group, status, count in db.execute(query.group_by(Job.job_group, Job.status)):
        shown = SHOWN.get(status, "Waiting")
        found[group][shown] = found[group].get(shown, 0) + count
    return found


def totals(db: Session) -> dict[str, int]:
    """How many jobs there are in each status, over all VOs: for metrics."""
    return dict(db.execute(select(Job.status, func.count()).group_by(Job.status)).all())


def _of_vo(db: Session, job_id: int, vo: str) -> dict[str, Any]:
    row = (
        db.execute(select(*COLUMNS.values()).where(Job.job_id == job_id, Job.vo == vo))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFound(f"there is no job {job_id} in {vo}")
    return {name: _plain(value) for name, value in row.items()}


def _condition(one: dict[str, Any]) -> ColumnElement[bool]:
    column = _column(one["parameter"], "Unknown column {}")
    value = one.get("values") if one["operator"] in ("in", "not in") else one.get("value")
    if value is None:
        raise BadRequest(f"the condition on {one['parameter']} lacks its value")
    if not str(value).isprintable() and any(0xD800 <= ord(letter) < 0xE000 for letter in str(value)):
        raise BadRequest(f"the condition on {one['parameter']} is no Unicode text")
    if isinstance(column.type, DateTime):
        return periods.compare(column, one["operator"], value)  # type: ignore[no-any-return]
    if one["operator"] == "regex":
        _must_be_regex(value)
    found: ColumnElement[bool] = OPERATORS[one["operator"]](column, value)
    return found


def _must_be_regex(value: Any) -> None:
    try:
        re.compile(str(value))
    except re.error as error:
        raise BadRequest(f"Invalid regex {value!r}: {error}") from error


def _column(name: str, words: str) -> Any:
    if name not in COLUMNS:
        raise BadRequest(words.format(name))
    return COLUMNS[name]


def _plain(value: Any) -> Any:
    return utc(value) if isinstance(value, datetime) else value


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
