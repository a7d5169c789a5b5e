"""Tasks whose tries are used up: kept with everything needed to understand and repeat them."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, now, utc_now
from diracx_tasks.core.errors import Conflict, NotFound
from diracx_tasks.engine import batches, history, outbox
from diracx_tasks.engine.declared import REGISTRY, InvalidArguments
from diracx_tasks.engine.tables import DeadLetter

DEAD, RETRIED, DROPPED = "Dead", "Retried", "Dropped"
# So many are retried by one transaction.
MOST_AT_ONCE = 1000


def bury(db: Session, found: Mapping[str, Any], *, since: datetime | None, error: str) -> int:
    """Keep a task with every error of its tries since then (None: all), the last one `error`; its number."""
    letter = DeadLetter(
        key=found["key"],
        task=found["task"],
        arguments=found["arguments"],
        tries=found["tries"],
        enqueued_by=found["enqueued_by"] or "",
        parent=found["parent"],
        state=DEAD,
        errors=history.errors(db, found["key"], since)
        or [{"at": None, "try": found["tries"], "error": error}],
        created_at=since or now(),
        died_at=utc_now(),
    )
    db.add(letter)
    db.flush()
    return letter.letter_id


def page(
    db: Session,
    *,
    state: str | None = DEAD,
    task: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[DeadLetter]:
    """Dead letters, newest first; `before` is the number of the last one seen."""
    query = select(DeadLetter).order_by(DeadLetter.letter_id.desc()).limit(limit)
    for column, value in ((DeadLetter.state, state), (DeadLetter.task, task)):
        query = query.where(column == value) if value else query
    return list(db.scalars(query.where(DeadLetter.letter_id < before) if before else query))


def find(db: Session, letter_id: int) -> DeadLetter:
    """One dead letter; NotFound when there is none."""
    found = db.get(DeadLetter, letter_id)
    if found is None:
        raise NotFound(f"there is no dead letter {letter_id}")
    return found


def of_key(db: Session, key: str) -> list[DeadLetter]:
    """Every dead letter under a key, newest first."""
    query = select(DeadLetter).where(DeadLetter.key == key).order_by(DeadLetter.letter_id.desc())
    return list(db.scalars(query))


def retry(db: Session, letter_id: int, *, by: str) -> str:
    """Have the task run again, its tries counted anew; answers its key. Conflict when resolved before."""
    letter = find(db, letter_id)
    _resolve(db, letter, RETRIED, by)
    task = REGISTRY.get(letter.task)
    if task and task.batch and letter.arguments:
        batches.call_many(db, letter.task, letter.arguments[batches.parameter(task)])
        return letter.key
    outbox.enqueue(db, letter.task, letter.key, **letter.arguments)
    return letter.key


def retry_all(db: Session, task: str, *, newest: int, by: str) -> int:
    """Have dead letters of a task run again, up to the one with the number `newest`; how many, at most 1000.

    The oldest come first. Those that somebody else resolves meanwhile, and those whose arguments the task
    does not take any more, are left out.
    """
    query = select(DeadLetter.letter_id).where(DeadLetter.state == DEAD, DeadLetter.task == task)
    oldest = query.where(DeadLetter.letter_id <= newest).order_by(DeadLetter.letter_id).limit(MOST_AT_ONCE)
    count = 0
    for letter_id in db.scalars(oldest).all():
        with suppress(Conflict, InvalidArguments), db.begin_nested():
            retry(db, letter_id, by=by)
            count += 1
    return count


def newest(db: Session) -> int | None:
    """The number of the last task that died; None: none has."""
    return db.scalar(select(func.max(DeadLetter.letter_id)).where(DeadLetter.state == DEAD))


def drop(db: Session, letter_id: int, *, by: str) -> None:
    """Say that a dead letter needs nothing more. Conflict when it was resolved before."""
    _resolve(db, find(db, letter_id), DROPPED, by)


def of_keys(db: Session, keys: Collection[str]) -> list[DeadLetter]:
    """What is dead under keys, newest first."""
    query = select(DeadLetter).where(DeadLetter.key.in_(keys), DeadLetter.state == DEAD)
    return list(db.scalars(query.order_by(DeadLetter.letter_id.desc())))


def last_words(letter: DeadLetter) -> str:
    """The first line of the last exception, without where it was raised."""
    told = str(letter.errors[-1]["error"]).strip().rpartition('\n  File "')[2].splitlines()
    return next((line for line in told[1:] if line and not line[0].isspace()), told[-1] if told else "")


def supersede(db: Session, keys: Collection[str], *, by: str) -> None:
    """Say that what is dead under keys is done anew in another way."""
    for letter in of_keys(db, keys):
        _resolve(db, letter, RETRIED, by)


def total(db: Session) -> dict[str, int]:
    """How many are dead, by task."""
    query = select(DeadLetter.task, func.count()).where(DeadLetter.state == DEAD).group_by(DeadLetter.task)
    return {task: count for task, count in db.execute(query)}


def clean(db: Session, days: float) -> int:
    """Forget those that were resolved longer ago; those that are Dead stay."""
    old = delete(DeadLetter).where(DeadLetter.state != DEAD, DeadLetter.resolved_at < utc_now(-days * 86400))
    return changed(db, old)


def _resolve(db: Session, letter: DeadLetter, state: str, by: str) -> None:
    # Two administrators at once: one of them is told.
    is_ours = changed(
        db,
        update(DeadLetter)
        .where(DeadLetter.letter_id == letter.letter_id, DeadLetter.state == DEAD)
        .values(state=state, resolved_at=now(), resolved_by=by[:128]),
    )
    if not is_ours:
        raise Conflict(f"dead letter {letter.letter_id} ({letter.key}) is {letter.state} already")
