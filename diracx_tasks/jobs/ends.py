"""The end of attempts and jobs: what is stored of it, and the journal for whom it concerns."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Exists, Select, delete, exists, or_, select, tuple_, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core.database import Table, changed, plain, utc_now
from diracx_tasks.core.packed import packed
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs import to_count
from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.tables import Attempt, Ended, Job, Payload, Result


class Ending(NamedTuple):
    """A job that has just ended; `outputs` of one that is Done, of one that Failed whether to try again."""

    job_id: int
    attempt: int
    status: Status
    minor: str
    application: str
    outputs: Any = None
    is_temporary: bool = False


def close_attempt(db: Session, job_id: int, attempt: int, status: Status, reason: str) -> None:
    """Note the end of an attempt; what its pilot says from now on changes nothing."""
    mine = (Attempt.job_id == job_id, Attempt.attempt == attempt)
    to_count.note(db, *mine)
    is_open = Attempt.ended_at.is_(None)
    values = {"ended_at": utc_now(), "status": status, "reason": reason[:255]}
    changed(db, update(Attempt).where(*mine, is_open).values(**values))


def end(db: Session, endings: Sequence[Ending]) -> None:
    """Close the attempts of jobs that ended, keep their outputs, and tell whom their ends concern."""
    alike: dict[tuple[Status, str], list[int]] = {}
    for one in endings:
        alike.setdefault((one.status, (one.application or one.minor)[:255]), []).append(one.job_id)
    to_count.note(db, Attempt.job_id.in_([one.job_id for one in endings]))
    for (status, reason), job_ids in alike.items():
        _close(db, job_ids, status, reason)
    outputs = {one.job_id: packed(one.outputs) for one in endings if one.status is Status.DONE}
    attempts = {one.job_id: one.attempt for one in endings}
    _put(db, Result, [{"JobID": i, "Attempt": attempts[i], "Outputs": found} for i, found in outputs.items()])
    query = select(Payload.job_id, Payload.owner_task, Payload.owner_id)
    concerned = {
        job_id: (str(task), int(owner or 0))
        for job_id, task, owner in db.execute(
            query.where(Payload.job_id.in_(attempts), Payload.owner_task.is_not(None))
        )
    }
    journal = [
        {
            "JobID": one.job_id,
            "OwnerTask": concerned[one.job_id][0],
            "OwnerID": concerned[one.job_id][1],
            "Status": one.status.value,
            "Reason": ": ".join(part for part in (one.minor, one.application) if part),
            "IsTemporary": one.is_temporary,
        }
        for one in endings
        if one.job_id in concerned
    ]
    _put(db, Ended, journal)
    for owner_task, owner_id in sorted(set(concerned.values())):
        tell(db, owner_task, owner_id)


def forget_outcome(db: Session, job_ids: Collection[int], status: Status, reason: str) -> None:
    """Close all attempts of jobs that are to run again, and forget the outputs of those that were Done.

    The outputs of a workflow's jobs stay: its other steps may have them.
    """
    to_count.note(db, Attempt.job_id.in_(job_ids))
    _close(db, job_ids, status, reason[:255])
    owned = select(Payload.job_id).where(Payload.job_id.in_(job_ids), Payload.owner_task.is_not(None))
    changed(db, delete(Result).where(Result.job_id.in_(job_ids), Result.job_id.not_in(owned)))


def left_open() -> Select[int]:
    """Jobs that have an open attempt although they have ended, or are on a later one."""
    return select(Attempt.job_id).join(Job, Job.job_id == Attempt.job_id).where(*_left_open())


def close_left_open(db: Session, job_ids: Collection[int]) -> int:
    """Close what `left_open` finds of jobs whose rows the caller holds; answers how many attempts."""
    query = select(Attempt.job_id, Attempt.attempt, Job.status).join(Job, Job.job_id == Attempt.job_id)
    alike: dict[str, list[tuple[int, int]]] = {}
    for job_id, attempt, status in db.execute(query.where(Attempt.job_id.in_(job_ids), *_left_open())):
        ended_as = status if status in FINAL else Status.RESCHEDULED
        alike.setdefault(ended_as, []).append((job_id, attempt))
    for status, some in alike.items():
        these = tuple_(Attempt.job_id, Attempt.attempt).in_(some)
        to_count.note(db, these)
        values = {"ended_at": utc_now(), "status": status, "reason": "it was left open"}
        changed(db, update(Attempt).where(these, Attempt.ended_at.is_(None)).values(values))
    return sum(map(len, alike.values()))


def _left_open() -> tuple[ColumnElement[bool], ...]:
    return Attempt.ended_at.is_(None), or_(Job.status.in_(FINAL), Job.attempt > Attempt.attempt)


def is_unnoted(job_id: Any) -> Exists:
    """For a query: whether a job, a column of it, has ended and its end is not in the journal."""
    noted = exists().where(Ended.job_id == Job.job_id)
    return exists().where(Job.job_id == job_id, Job.status.in_(FINAL), ~noted)


def put_back(db: Session, job_ids: Collection[int]) -> int:
    """Put the ends of jobs into the journal from which they have got lost; answers how many."""
    columns = (Job.job_id, Job.status, Job.minor_status, Job.application_status)
    query = select(*columns, Payload.owner_task, Payload.owner_id).join(Payload, Payload.job_id == Job.job_id)
    lost = (
        Job.status.in_(FINAL),
        Payload.owner_task.is_not(None),
        ~exists().where(Ended.job_id == Job.job_id),
    )
    found = query.where(Job.job_id.in_(job_ids), *lost).order_by(Job.job_id)
    rows = db.execute(found.with_for_update()).all()
    journal = [
        {
            "JobID": row.job_id,
            "OwnerTask": row.owner_task,
            "OwnerID": row.owner_id,
            # To whom its end concerns, a job that was deleted was killed.
            "Status": Status.KILLED.value if row.status == Status.DELETED else row.status,
            "Reason": ": ".join(part for part in (row.minor_status, row.application_status) if part),
            "IsTemporary": False,
        }
        for row in rows
    ]
    _put(db, Ended, journal)
    for owner_task, owner_id in sorted({(row.owner_task, row.owner_id) for row in rows}):
        tell(db, owner_task, owner_id)
    return len(rows)


def _put(db: Session, table: type[Table], rows: list[dict[str, Any]]) -> None:
    """Insert rows; what is there from an earlier end of a job that ran again is replaced."""
    if not rows:
        return
    others = [name for name in rows[0] if name != "JobID"]
    if db.get_bind().dialect.name == "sqlite":
        made = sqlite.insert(plain(table))
        new = {name: made.excluded[name] for name in others}
        db.execute(made.on_conflict_do_update(index_elements=["JobID"], set_=new), rows)
    else:
        stated = mysql.insert(plain(table))
        db.execute(stated.on_duplicate_key_update({name: stated.inserted[name] for name in others}), rows)


def _close(db: Session, job_ids: Collection[int], status: Status, reason: str) -> None:
    """Note the end of the attempts that are open: of jobs that have ended, or begin anew, all are over."""
    open_ones = update(Attempt).where(Attempt.job_id.in_(job_ids), Attempt.ended_at.is_(None))
    changed(db, open_ones.values(ended_at=utc_now(), status=status, reason=reason))


def tell(db: Session, owner_task: str, owner_id: int) -> None:
    """Ask for the task of the owner of jobs that ended, e.g. `workflows.advance` of workflow 42."""
    subject, _, verb = owner_task.partition(".")
    enqueue(
        db, owner_task, f"{subject.removesuffix('s')}-{owner_id}.{verb}", **{f"{subject[:-1]}_id": owner_id}
    )


class End(NamedTuple):
    """How a job ended; the outputs of one that is Done are its `outputs`."""

    job_id: int
    status: Status
    reason: str
    is_temporary: bool


def take_ended(db: Session, owner_task: str, owner_id: int, limit: int) -> list[End]:
    """The owner's jobs that ended since it looked last; they are struck off with the caller's commit."""
    columns = (Ended.job_id, Ended.status, Ended.reason, Ended.is_temporary)
    rows = db.execute(
        select(*columns)
        .where(Ended.owner_task == owner_task, Ended.owner_id == owner_id)
        .order_by(Ended.job_id)
        .limit(limit)
        .with_for_update()
    ).all()
    if rows:
        changed(db, delete(Ended).where(Ended.job_id.in_([row.job_id for row in rows])))
    return [End(row.job_id, Status(row.status), row.reason, row.is_temporary) for row in rows]


def outputs(db: Session, job_ids: Collection[int]) -> dict[int, bytes]:
    """What jobs that were Done gave, packed as they are stored; jobs without outputs are left out."""
    if not job_ids:
        return {}
    return dict(db.execute(select(Result.job_id, Result.outputs).where(Result.job_id.in_(job_ids))).all())


def done(db: Session, job_ids: Collection[int]) -> set[int]:
    """Those of the jobs that ended well, which nobody has taken yet."""
    if not job_ids:
        return set()
    query = select(Ended.job_id).where(Ended.job_id.in_(job_ids), Ended.status == Status.DONE)
    return set(db.scalars(query))


def owners(owner_task: str) -> Select[int]:
    """For a query: the owners of jobs that have ended and that nobody has taken yet."""
    return select(Ended.owner_id).where(Ended.owner_task == owner_task)


def has_ended(db: Session, owner_task: str, owner_id: int) -> bool:
    """Whether there is something to take."""
    query = select(Ended.job_id).where(Ended.owner_task == owner_task, Ended.owner_id == owner_id)
    return db.execute(query.limit(1)).first() is not None
