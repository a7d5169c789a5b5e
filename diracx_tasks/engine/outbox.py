"""Work that must happen, written in the transaction of the state that needs it.

A row is published right after the commit, again by `sweep` when that was in vain, and removed once its task
has ended well. So the broker may lose everything at any time.
"""

import logging
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import case, delete, func, insert, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core.database import after_commit, changed, utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.origin import origin
from diracx_tasks.engine import broker
from diracx_tasks.engine.declared import REGISTRY, served
from diracx_tasks.engine.queues import DEFAULT
from diracx_tasks.engine.tables import Outbox

log = logging.getLogger(__name__)

# A published task has so long to end before it is published again, then twice as long, and so on.
PATIENCE = 10
LONGEST = 900
PAGE = 1000
# Less than PATIENCE: a lost message is found out one round later at most.
SLACK = 5.0
# Longer pauses are kept here, shorter ones in the broker.
SHORT = 5.0


@dataclass(frozen=True)
class Ticket:
    """What a worker knows of the row whose message it has."""

    key: str
    asked: int
    tries: int
    waits: int
    enqueued_by: str
    parent: str | None
    trace: str | None


def enqueue(db: Session, task: str, key: str, *, delay: float = 0, **arguments: Any) -> None:
    """Have a task run after this transaction, at least once.

    Two requests under one key while none has started become one run. Delayed tasks wait in the database.
    Raises InvalidArguments when the task does not take these arguments.
    """
    declared = REGISTRY.get(task)
    if declared and not declared.batch:
        declared.check(arguments)
    row = _row(task, key, delay, arguments)
    # A row that was there has its message, unless it waits here; after a failure it goes on waiting.
    is_new = _is_new(db, row, delay)
    if not delay and (is_new or _wake(db, key)):
        after_commit(db, lambda: publish(task, key, arguments))


def enqueue_many(db: Session, task: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    """Have many runs of a task happen, each with its arguments under a key that was never used before.

    The first page is published after the commit, the sweep takes the rest page by page.
    """
    rows = [_row(task, key, 0, arguments) for key, arguments in calls]
    for row in rows[PAGE:]:
        row |= {"published": 0, "published_at": None, "due_at": utc_now()}
    for first in range(0, len(rows), PAGE):
        db.execute(insert(Outbox).values(rows[first : first + PAGE]))
    after_commit(db, lambda: _publish_all([(task, *one) for one in calls[:PAGE]]))


def publish(task: str, key: str, arguments: dict[str, Any], *, countdown: float = 0) -> None:
    """Hand a task to the broker; raises when the broker does not answer."""
    broker.send(task, key, arguments, countdown=countdown)


def ticket(db: Session, key: str) -> Ticket | None:
    """The row's ticket; None when there is nothing to do any more."""
    columns = (Outbox.asked, Outbox.tries, Outbox.waits, Outbox.enqueued_by, Outbox.parent, Outbox.trace)
    found = db.execute(select(*columns).where(Outbox.key == key)).one_or_none()
    return Ticket(key, *found) if found else None


def done(db: Session, key: str, seen: int) -> bool:
    """Remove the row if nobody asked since `seen`; False means: run it again."""
    gone = changed(db, delete(Outbox).where(Outbox.key == key, Outbox.asked == seen))
    if gone or db.scalar(select(Outbox.asked).where(Outbox.key == key)) is None:
        return True
    changed(db, update(Outbox).where(Outbox.key == key).values(tries=0, waits=0, due_at=utc_now(PATIENCE)))
    return False


def put_off(db: Session, key: str, seconds: float, *, tries: int, waits: int = 0) -> None:
    """Keep a task here and have the sweep publish it after so many seconds."""
    values = {"published": 0, "tries": tries, "waits": waits, "due_at": utc_now(seconds)}
    changed(db, update(Outbox).where(Outbox.key == key).values(values))


def note_tries(db: Session, key: str, tries: int, seconds: float) -> None:
    """Remember failed tries of a task whose next message is under way and comes in so many seconds."""
    values = {"tries": tries, "due_at": utc_now(seconds + PATIENCE)}
    changed(db, update(Outbox).where(Outbox.key == key).values(values))


def remove(db: Session, key: str) -> dict[str, Any] | None:
    """Take a task out, whatever waits or runs of it; answers what it was, None when it was not there."""
    row = db.get(Outbox, key)
    if row is None:
        return None
    db.delete(row)
    names = ("key", "task", "arguments", "asked", "tries", "created_at", "enqueued_by", "parent")
    return {name: getattr(row, name) for name in names}


def hurry(db: Session, key: str) -> None:
    """Publish a waiting task now; NotFound when it does not wait."""
    row = db.get(Outbox, key)
    if row is None:
        raise NotFound(f"no task waits under {key!r}")
    changed(
        db,
        update(Outbox)
        .where(Outbox.key == key)
        .values(published=1, due_at=utc_now(PATIENCE), published_at=utc_now()),
    )
    after_commit(db, lambda: publish(row.task, row.key, row.arguments))


def sweep(db: Session) -> int:
    """Publish again a page of what is due; what its queue still holds gets more time. Answers how many."""
    if broker.is_forgetful():
        lost_all = update(Outbox).where(Outbox.published > 0)
        changed(db, lost_all.values(due_at=utc_now(), published_at=None))
    query = select(Outbox).where(Outbox.due_at <= utc_now()).order_by(Outbox.due_at).limit(PAGE)
    rows = db.scalars(query).all()
    heads: dict[str, float | None] = {}
    lost = [row for row in rows if not _is_queued(row, heads)]
    lost_keys = {row.key for row in lost}
    for published in {row.published for row in rows}:
        patience = min(LONGEST, PATIENCE * 2.0 ** min(published, 10))
        keys = [row.key for row in rows if row.published == published]
        later = update(Outbox).where(Outbox.key.in_(keys)).values(due_at=utc_now(patience))
        changed(db, later)
        again = update(Outbox).where(Outbox.key.in_([key for key in keys if key in lost_keys]))
        changed(db, again.values(published=Outbox.published + 1, published_at=utc_now()))
    if lost:
        messages = [(row.task, row.key, row.arguments) for row in lost]
        after_commit(db, lambda: _publish_all(messages))
    return len(rows)


def _publish_all(messages: list[tuple[str, str, dict[str, Any]]]) -> None:
    for task, key, arguments in messages:
        publish(task, key, arguments)


def pending(db: Session) -> int:
    """How many tasks wait or run."""
    return int(db.scalar(select(func.count()).select_from(Outbox)) or 0)


def of_task(db: Session, task: str | None, limit: int = 100) -> list[Outbox]:
    """The oldest rows, of one task or of all."""
    query = select(Outbox).order_by(Outbox.created_at).limit(limit)
    return list(db.scalars(query.where(Outbox.task == task) if task else query))


def find(db: Session, key: str) -> Outbox | None:
    """What waits or runs under a key."""
    return db.get(Outbox, key)


def children(db: Session, parent: str, limit: int = 100) -> list[str]:
    """Keys of what a task has asked for and what has not ended."""
    return list(db.scalars(select(Outbox.key).where(Outbox.parent == parent).limit(limit)))


def _is_queued(row: Outbox, heads: dict[str, float | None]) -> bool:
    """Whether the queue has not come to the row's last message yet, so that it cannot be lost."""
    if not row.published or row.published_at is None:
        return False
    # Tasks of an extension that is missing here go to the default queue.
    queue = served(row.task, row.arguments).queue if row.task in REGISTRY else DEFAULT
    if queue not in heads:
        heads[queue] = broker.oldest(queue)
    head = heads[queue]
    # The row is written before its message: transactions take a while, and clocks differ.
    return head is not None and head <= row.published_at.replace(tzinfo=UTC).timestamp() + SLACK


def _row(task: str, key: str, delay: float, arguments: dict[str, Any]) -> dict[str, Any]:
    source = origin()
    return {
        "key": key,
        "task": task,
        "arguments": arguments,
        "asked": 1,
        "published": 0 if delay else 1,
        "published_at": None if delay else utc_now(),
        "created_at": utc_now(),
        "due_at": utc_now(delay or PATIENCE),
        "enqueued_by": source.by[:128],
        "parent": source.parent,
        "trace": source.trace,
    }


def _is_new(db: Session, row: dict[str, Any], delay: float) -> bool:
    """Whether the task was not asked for yet; if it was, it is asked for once more."""
    # Never later than it was: those who keep asking would keep a lost message from being published again.
    sooner = utc_now(delay or PATIENCE)
    due = {"DueAt": case(((Outbox.due_at > sooner) & (Outbox.tries == 0), sooner), else_=Outbox.due_at)}
    again = {"Asked": Outbox.asked + 1, **due}
    if _is_sqlite(db):
        upsert = (
            sqlite.insert(Outbox).values(row).on_conflict_do_update(index_elements=["TaskKey"], set_=again)
        )
        return db.execute(upsert.returning(Outbox.asked)).scalar_one() == 1
    # MySQL counts an inserted row as one and an updated one as two.
    return changed(db, mysql.insert(Outbox).values(row).on_duplicate_key_update(**again)) == 1


def _wake(db: Session, key: str) -> bool:
    asleep = update(Outbox).where(Outbox.key == key, Outbox.published == 0, Outbox.tries == 0)
    return bool(changed(db, asleep.values(published=1, published_at=utc_now())))


def _is_sqlite(db: Session) -> bool:
    return db.get_bind().dialect.name == "sqlite"
