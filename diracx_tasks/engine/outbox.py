"""Work that must happen, written in the transaction of the state that needs it.

A row is published right after the commit, again by `sweep` when that was in vain, and removed once its task
has ended well. So the broker may lose everything at any time.
"""

import logging
from typing import Any

from celery import current_app
from redis.exceptions import RedisError
from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core.database import after_commit, changed, utc_now
from diracx_tasks.core.redis import redis
from diracx_tasks.engine.tables import Outbox

log = logging.getLogger(__name__)

# A published task has so long to end before it is published again, then twice as long, and so on.
PATIENCE = 10
LONGEST = 900
PAGE = 1000
BROKER_MARK = "diracx:broker-mark"


def enqueue(db: Session, task: str, key: str, *, delay: float = 0, **arguments: Any) -> None:
    """Have a task run after this transaction, at least once.

    Two requests under one key while none has started become one run. Delayed tasks wait in the database.
    """
    row = {
        "key": key,
        "task": task,
        "arguments": arguments,
        "asked": 1,
        "published": 0 if delay else 1,
        "created_at": utc_now(),
        "due_at": utc_now(delay or PATIENCE),
        "is_dead": False,
    }
    # A row that was there has its message, unless it was waiting for its time or given up.
    before = db.execute(select(Outbox.published, Outbox.is_dead).where(Outbox.key == key)).one_or_none()
    is_asleep = before is not None and (before.is_dead or not before.published)
    if (_is_new(db, row, delay) or is_asleep) and not delay:
        after_commit(db, lambda: publish(task, key, arguments))


def publish(task: str, key: str, arguments: dict[str, Any], *, countdown: float = 0) -> None:
    """Hand a task to the broker; raises when the broker does not answer."""
    current_app.signature(task, kwargs=arguments).apply_async(
        task_id=key, headers={"outbox": key}, countdown=countdown or None, retry=False
    )


def asked(db: Session, key: str) -> int | None:
    """How often the task was asked for so far; None when there is nothing to do any more."""
    found: int | None = db.scalar(select(Outbox.asked).where(Outbox.key == key))
    return found


def done(db: Session, key: str, seen: int) -> bool:
    """Remove the row if nobody asked since `seen`; False means: run it again."""
    gone = changed(db, delete(Outbox).where(Outbox.key == key, Outbox.asked == seen))
    return bool(gone) or asked(db, key) is None


def bury(db: Session, key: str, error: str) -> None:
    """Keep the row with its error and stop trying: a dead letter."""
    changed(db, update(Outbox).where(Outbox.key == key).values(is_dead=True, error=error[-8000:]))


def sweep(db: Session) -> int:
    """Publish again what is due; all of it when the broker has lost its memory. Answers how many."""
    query = select(Outbox).where(Outbox.is_dead.is_(False)).limit(PAGE).order_by(Outbox.due_at)
    if not _is_forgetful():
        query = query.where(Outbox.due_at <= utc_now())
    rows = db.scalars(query).all()
    for row in rows:
        patience = min(LONGEST, PATIENCE * 2.0 ** min(row.published, 10))
        changed(
            db,
            update(Outbox)
            .where(Outbox.key == row.key)
            .values(published=Outbox.published + 1, due_at=utc_now(patience)),
        )
        after_commit(db, lambda row=row: publish(row.task, row.key, row.arguments))  # type: ignore[misc]
    return len(rows)


def pending(db: Session) -> dict[str, int]:
    """How many rows wait and how many are dead."""
    counts = dict(db.execute(select(Outbox.is_dead, func.count()).group_by(Outbox.is_dead)).all())
    return {"pending": counts.get(False, 0), "dead": counts.get(True, 0)}


def _is_forgetful() -> bool:
    """Whether Redis was flushed since the last sweep: then the mark that we leave there is gone."""
    try:
        return bool(redis().set(BROKER_MARK, "here", nx=True))
    except RedisError:
        return False


def _is_new(db: Session, row: dict[str, Any], delay: float) -> bool:
    """Whether the task was not asked for yet; if it was, it is asked for once more."""
    # Never later than it was: those who keep asking would keep a lost message from being published again.
    sooner = utc_now(delay or PATIENCE)
    due = {"DueAt": case((Outbox.due_at > sooner, sooner), else_=Outbox.due_at)}
    again = {"Asked": Outbox.asked + 1, "IsDead": False, **due, **({} if delay else {"Published": 1})}
    if db.get_bind().dialect.name == "sqlite":
        upsert = (
            sqlite.insert(Outbox).values(row).on_conflict_do_update(index_elements=["TaskKey"], set_=again)
        )
        return db.execute(upsert.returning(Outbox.asked)).scalar_one() == 1
    # MySQL counts an inserted row as one and an updated one as two.
    return changed(db, mysql.insert(Outbox).values(row).on_duplicate_key_update(**again)) == 1


def of_task(db: Session, task: str, limit: int = 100) -> list[Outbox]:
    """The oldest rows of a task."""
    return list(
        db.scalars(select(Outbox).where(Outbox.task == task).order_by(Outbox.created_at).limit(limit))
    )
