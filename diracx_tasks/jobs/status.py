"""The one door to a job's status: a compare-and-swap, an event, and whoever waits for the end is told."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import Executable, func, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, now, plain, utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.many import Columns, update_many
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs.deadlines import Patience, patience
from diracx_tasks.jobs.ends import Ending, end, forget_outcome
from diracx_tasks.jobs.events import IDS, Event, append, order_of, record, tails
from diracx_tasks.jobs.states import BEFORE, FINAL, HELD, Status, can_become
from diracx_tasks.jobs.tables import Job, Payload
from diracx_tasks.matching import queue

# What `queue.Entry` takes.
ENTRY = (Job.job_id, Job.vo, Job.job_type, Job.group, Job.owner, Job.priority, Payload.requirements)
WRITTEN = (
    "JobID",
    "Status",
    "MinorStatus",
    "ApplicationStatus",
    "LastUpdateTime",
    "StartExecTime",
    "EndExecTime",
    "HeartBeatTime",
)


class Outcome(StrEnum):
    """What became of a wanted change; only APPLIED has changed anything."""

    APPLIED = "applied"
    LATE = "late"
    REFUSED = "refused"


@dataclass(frozen=True)
class Change:
    """A wanted change. `columns` are further columns of the job set by the same statement.

    `outputs` come with Done; `is_temporary` says of Failed that trying again may help.
    """

    to: Status
    minor: str = ""
    application: str = ""
    source: str = "DiracX"
    outputs: Any = None
    columns: dict[str, Any] = field(default_factory=dict)
    is_temporary: bool = False

    def ending(self, job_id: int, attempt: int) -> Ending:
        """The end that it brings to an attempt of a job."""
        return Ending(job_id, attempt, self.to, self.minor, self.application, self.outputs, self.is_temporary)


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
    last = changes[-1]
    if last.to in FINAL and last.to is not Status.DELETED:
        end(db, [last.ending(job_id, attempt)])
    return Outcome.APPLIED


def move_many(db: Session, job_ids: Collection[int], change: Change, *, frm: Collection[Status]) -> list[int]:
    """The same for many jobs whose end nobody has to hear of; answers those that have changed."""
    assert change.to not in FINAL
    held = select(Job.job_id).where(Job.job_id.in_(job_ids), Job.status.in_(frm))
    moved = list(db.scalars(held.order_by(Job.job_id).with_for_update()))
    if moved:
        changed(db, update(Job).where(Job.job_id.in_(moved)).values(_columns(change)))
        record(db, moved, change)
    return moved


def why_not(db: Session, job_id: int, wanted: Status) -> str:
    """A refusal in words: `job 42 is Done (attempt 2): it cannot become Killed`."""
    row = db.execute(select(Job.status, Job.attempt).where(Job.job_id == job_id)).one()
    return f"job {job_id} is {row.status} (attempt {row.attempt}): it cannot become {wanted}"


def _columns(change: Change) -> dict[str, Any]:
    columns: dict[str, Any] = {"status": change.to, "updated_at": utc_now()}
    if change.minor:
        columns["minor_status"] = change.minor[:128]
    if change.application:
        columns["application_status"] = change.application[:255]
    if change.to is Status.RUNNING:
        columns["started_at"] = func.coalesce(Job.started_at, utc_now())
    if change.to is Status.DELETED:
        columns["ended_at"] = func.coalesce(Job.ended_at, utc_now())
    elif change.to in FINAL:
        columns["ended_at"] = utc_now()
    if change.to not in HELD:
        columns["next_check_at"] = None
    return {**columns, **change.columns}


class Held(NamedTuple):
    """A job whose row this transaction holds."""

    job_id: int
    vo: str
    owner: str
    status: str
    attempt: int
    is_started: bool
    is_ended: bool


class New(NamedTuple):
    """What becomes of a held job; texts that are empty and times that are None leave what is there."""

    held: Held
    status: Status
    minor: str = ""
    application: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    heartbeat_at: datetime | None = None
    # The first of several ends in one step.
    ended_as: Status | None = None
    outputs: Any = None
    is_temporary: bool = False


def hold(db: Session, job_ids: Collection[int]) -> dict[int, Held]:
    """The jobs that exist, their rows held until the transaction ends."""
    rows = db.connection().execute(_holding(), {"ids": list(job_ids)})
    return {row[0]: Held(*row) for row in rows}


@lru_cache(1)
def _holding() -> Executable:
    columns = (Job.job_id, Job.vo, Job.owner, Job.status, Job.attempt)
    query = select(*columns, Job.started_at.is_not(None), Job.ended_at.is_not(None))
    # In one order, or two transactions would wait for each other.
    return query.where(Job.job_id.in_(IDS)).order_by(Job.job_id).with_for_update()


def write(db: Session, news: Sequence[New]) -> None:
    """Give held jobs their new states in one statement, with all that follows from them.

    Whether a state may follow another is the caller's to decide, as is the record.
    """
    if not news:
        return
    moment = now().replace(microsecond=0)
    rows = [
        (
            new.held.job_id,
            new.status.value,
            new.minor[:128] or None,
            new.application[:255] or None,
            moment,
            new.started_at,
            new.ended_at,
            new.heartbeat_at,
        )
        for new in news
    ]
    update_many(db, plain(Job), WRITTEN, _values(patience()), rows)
    moved = [new for new in news if new.status != new.held.status]
    _follow(db, moved)


def write_told(db: Session, news: Sequence[tuple[New, str]]) -> None:
    """The same with a row in the history of each job, which names who says so."""
    if not news:
        return
    order, ends = order_of(now()), tails(db, [new.held.job_id for new, _ in news])
    told = [Event(new.held.job_id, new.status, new.minor, new.application, order, by) for new, by in news]
    append(db, told, ends)
    write(db, [new for new, _ in news])


def _follow(db: Session, moved: Sequence[New]) -> None:
    """Bring the queue, the attempts and whoever is concerned in line with what has changed."""
    left = [new.held.job_id for new in moved if new.held.status == Status.WAITING]
    if left:
        queue.remove(db, left)
    if back := [new.held.job_id for new in moved if new.status in BEFORE and new.held.status not in BEFORE]:
        _begin_anew(db, back)
    if waiting := [new.held.job_id for new in moved if new.status is Status.WAITING]:
        rows = db.execute(
            select(*ENTRY).join(Payload, Payload.job_id == Job.job_id).where(Job.job_id.in_(waiting))
        )
        queue.add(db, [queue.Entry(*row) for row in rows])
    if any(new.status is Status.RECEIVED for new in moved):
        enqueue(db, "jobs.optimize", "jobs.optimize")
    # To whom its end concerns, a job that is deleted before its end was killed.
    endings = [
        Ending(
            new.held.job_id,
            new.held.attempt,
            new.ended_as or (Status.KILLED if new.status is Status.DELETED else new.status),
            new.minor,
            new.application,
            new.outputs,
            new.is_temporary,
        )
        for new in moved
        if new.status in FINAL and (new.status is not Status.DELETED or new.held.status not in FINAL)
    ]
    if endings:
        end(db, endings)


def _begin_anew(db: Session, job_ids: Collection[int]) -> None:
    """Give held jobs that had a pilot a new attempt: what is said of the old one changes nothing any more."""
    fresh = {"attempt": Job.attempt + 1, "started_at": None, "ended_at": None}
    changed(db, update(Job).where(Job.job_id.in_(job_ids)).values(fresh))
    forget_outcome(db, job_ids, Status.RESCHEDULED, "sent back")


@lru_cache(4)
def _values(pace: Patience) -> Callable[[Columns], dict[str, Any]]:
    """What is set of a job: by one function for each pace, as `update_many` keeps them."""
    return lambda new: _set(new, pace)


def _set(new: Columns, pace: Patience) -> dict[str, Any]:
    """Texts and times that are not stated leave what is there; any news of a pilot gives it more time."""
    job = plain(Job).c
    texts = {name: func.coalesce(new[name], job[name]) for name in ("MinorStatus", "ApplicationStatus")}
    return {
        "Status": new["Status"],
        **texts,
        "LastUpdateTime": new["LastUpdateTime"],
        "StartExecTime": func.coalesce(job.StartExecTime, new["StartExecTime"]),
        "EndExecTime": func.coalesce(job.EndExecTime, new["EndExecTime"]),
        "HeartBeatTime": func.coalesce(new["HeartBeatTime"], job.HeartBeatTime),
        "NextCheckAt": pace.due_in(new["Status"]),
    }
