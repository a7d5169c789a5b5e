"""The one door to a job's status: a compare-and-swap, an event, and whoever waits for the end is told."""

import json
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Any

import orjson
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, now, utc_now
from diracx_tasks.core.errors import BadRequest, NotFound
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs.states import FINAL, HELD, Status, can_become
from diracx_tasks.jobs.tables import Attempt, Ended, Job, JobEvent, Payload, Result

# DIRAC counts StatusTimeOrder from this second on (JobLoggingDB).
ORDER_EPOCH = 1270000000


class Outcome(StrEnum):
    """What became of a wanted change; only APPLIED has changed anything."""

    APPLIED = "applied"
    LATE = "late"
    REFUSED = "refused"


@dataclass(frozen=True)
class Change:
    """A wanted change. `columns` are further columns of the job set by the same statement."""

    to: Status
    minor: str = ""
    application: str = ""
    source: str = "DiracX"
    outputs: Any = None
    columns: dict[str, Any] = field(default_factory=dict)


def move(
    db: Session, job_id: int, *changes: Change, attempt: int, frm: Collection[Status] | None = None
) -> Outcome:
    """Change a job's status if it is still on this attempt and in one of `frm`, and record it.

    Of several changes each must be able to follow or repeat the one before; they happen in one step. `frm`
    defaults to DIRAC's state machine. LATE means that the job is on a later attempt, REFUSED that it is
    elsewhere; `why_not` puts it into words.
    """
    allowed = can_become(changes[0].to) if frm is None else frm
    if any(before.to not in {after.to, *can_become(after.to)} for before, after in pairwise(changes)):
        return Outcome.REFUSED
    columns = {name: value for change in changes for name, value in _columns(change).items()}
    # One UPDATE instead of read-then-write: of two writers only one can win.
    found = changed(
        db,
        update(Job)
        .where(Job.job_id == job_id, Job.attempt == attempt, Job.status.in_(allowed))
        .values(columns),
    )
    if not found:
        current = db.execute(select(Job.attempt).where(Job.job_id == job_id)).scalar()
        if current is None:
            raise NotFound(f"there is no job {job_id}")
        return Outcome.LATE if current > attempt else Outcome.REFUSED
    record(db, [job_id], *changes)
    if changes[-1].to in FINAL and changes[-1].to is not Status.DELETED:
        _end(db, job_id, attempt, changes[-1])
    return Outcome.APPLIED


def move_many(db: Session, job_ids: Collection[int], change: Change, *, frm: Collection[Status]) -> list[int]:
    """The same for many jobs whose end nobody has to hear of; answers those that have changed."""
    assert change.to not in FINAL
    held = select(Job.job_id).where(Job.job_id.in_(job_ids), Job.status.in_(frm)).with_for_update()
    moved = list(db.scalars(held))
    if moved:
        changed(db, update(Job).where(Job.job_id.in_(moved)).values(_columns(change)))
        record(db, moved, change)
    return moved


def claim(db: Session, job_id: int, *, pilot: str, site: str, deadline: float) -> int | None:
    """Give a waiting job to a pilot: the attempt's number, or None when it does not wait any more.

    It must be Running within `deadline` seconds.
    """
    attempt: int | None = db.execute(select(Job.attempt).where(Job.job_id == job_id)).scalar()
    columns = {"site": site, "next_check_at": utc_now(deadline)}
    change = Change(Status.MATCHED, minor="Assigned", source="Matcher", columns=columns)
    if attempt is None or move(db, job_id, change, attempt=attempt) is not Outcome.APPLIED:
        return None
    db.execute(
        insert(Attempt).values(job_id=job_id, attempt=attempt, pilot=pilot, site=site, started_at=utc_now())
    )
    return attempt


def close_attempt(db: Session, job_id: int, attempt: int, status: Status, reason: str) -> None:
    """Note the end of an attempt; what its pilot says from now on changes nothing."""
    changed(
        db,
        update(Attempt)
        .where(Attempt.job_id == job_id, Attempt.attempt == attempt, Attempt.ended_at.is_(None))
        .values(ended_at=utc_now(), status=status, reason=reason[:255]),
    )


def why_not(db: Session, job_id: int, wanted: Status) -> str:
    """A refusal in words: `job 42 is Done (attempt 2): it cannot become Killed`."""
    row = db.execute(select(Job.status, Job.attempt).where(Job.job_id == job_id)).one()
    return f"job {job_id} is {row.status} (attempt {row.attempt}): it cannot become {wanted}"


def record(db: Session, job_ids: Collection[int], *changes: Change) -> None:
    """Add events to each job; the caller holds the jobs' rows, which keeps the numbering without gaps."""
    last = dict(
        db.execute(
            select(JobEvent.job_id, func.max(JobEvent.number))
            .where(JobEvent.job_id.in_(job_ids))
            .group_by(JobEvent.job_id)
        ).all()
    )
    moment = now()
    order = Decimal(f"{moment.replace(tzinfo=UTC).timestamp() - ORDER_EPOCH:.3f}")
    rows = [
        {
            "job_id": job_id,
            "number": last.get(job_id, 0) + place,
            "status": change.to,
            "minor_status": change.minor[:128] or "idem",
            "application_status": change.application[:255] or "idem",
            "at": moment.replace(microsecond=0),
            "order": order,
            "source": change.source[:32],
        }
        for job_id in job_ids
        for place, change in enumerate(changes, 1)
    ]
    db.execute(insert(JobEvent), rows)


def packed(value: Any) -> bytes:
    """A value as it is stored: JSON, compressed; BadRequest for what JSON cannot hold."""
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        text = _long_integers(value, error)
    return zlib.compress(text, 1)


def unpacked(data: bytes) -> Any:
    """The inverse of `packed`."""
    text = zlib.decompress(data)
    return json.loads(text) if text.startswith(b" ") else orjson.loads(text)


def _long_integers(value: Any, error: TypeError) -> bytes:
    # orjson holds integers of 64 bits; the space before tells `unpacked` that there is a longer one.
    try:
        return b" " + json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        raise BadRequest(f"a value cannot be stored: {error}") from error


def _columns(change: Change) -> dict[str, Any]:
    columns: dict[str, Any] = {"status": change.to, "updated_at": utc_now()}
    if change.minor:
        columns["minor_status"] = change.minor[:128]
    if change.application:
        columns["application_status"] = change.application[:255]
    if change.to is Status.RUNNING:
        columns["started_at"] = func.coalesce(Job.started_at, utc_now())
    if change.to in FINAL:
        columns["ended_at"] = utc_now()
    if change.to not in HELD:
        columns["next_check_at"] = None
    return {**columns, **change.columns}


def _end(db: Session, job_id: int, attempt: int, change: Change) -> None:
    close_attempt(db, job_id, attempt, change.to, change.application or change.minor)
    outputs = packed(change.outputs) if change.to is Status.DONE else None
    if outputs is not None:
        db.execute(insert(Result).values(job_id=job_id, attempt=attempt, outputs=outputs))
    owner = db.execute(
        select(Payload.owner_task, Payload.owner_id).where(
            Payload.job_id == job_id, Payload.owner_task.is_not(None)
        )
    ).one_or_none()
    if owner is None:
        return
    reason = ": ".join(part for part in (change.minor, change.application) if part)
    db.execute(
        insert(Ended).values(
            job_id=job_id,
            owner_task=owner.owner_task,
            owner_id=owner.owner_id,
            status=change.to,
            reason=reason,
            outputs=outputs,
        )
    )
    tell(db, owner.owner_task, owner.owner_id)


def tell(db: Session, owner_task: str, owner_id: int) -> None:
    """Ask for the task of the owner of jobs that ended, e.g. `workflows.advance` of workflow 42."""
    subject, _, verb = owner_task.partition(".")
    enqueue(
        db, owner_task, f"{subject.removesuffix('s')}-{owner_id}.{verb}", **{f"{subject[:-1]}_id": owner_id}
    )


def moment_of(stamp: str) -> datetime:
    """A time of the API as it is stored; ValueError unless it is UTC."""
    moment = datetime.fromisoformat(stamp)
    if moment.tzinfo is None or moment.utcoffset():
        raise ValueError(f"{stamp}: times are UTC and say so, as in 2026-11-23T10:00:00Z")
    return moment.replace(tzinfo=None)
