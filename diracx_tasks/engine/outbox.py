"""Work that must happen, written in the transaction of the state that needs it.

A row is published right after the commit, again by `sweep` when that was in vain, and removed once its task
has ended well. So the broker may lose everything at any time.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Exists, delete, event, exists, func, insert, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import after_commit, changed, utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.origin import Origin, origin
from diracx_tasks.engine import broker
from diracx_tasks.engine.asking import PATIENCE, is_new, row_of
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.engine.tables import Outbox

log = logging.getLogger(__name__)

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
    token: int
    arguments: dict[str, Any]
    asked: int
    published: int
    tries: int
    waits: int
    created_at: datetime
    enqueued_by: str
    parent: str | None
    trace: str | None


def enqueue(db: Session, task: str, key: str, /, *, delay: float = 0, **arguments: Any) -> None:
    """Have a task run after this transaction, at least once.

    Two requests under one key while none has started become one run. Delayed tasks wait in the database; one
    that is asked for with a delay while it runs comes again then. Raises InvalidArguments when the task does
    not take these arguments.
    """
    declared = REGISTRY.get(task)
    if declared and not declared.batch:
        declared.check(arguments)
    asked: dict[str, _Request] = db.info.setdefault("enqueued", {})
    before = asked.pop(key, None)
    if before and bool(before.delay) == bool(delay):
        asked[key] = replace(before, arguments=arguments, delay=min(before.delay, delay))
    else:
        asked[key] = _Request(task, arguments, delay, origin(), before)


@dataclass(frozen=True)
class _Request:
    """What one transaction asks for under a key; `before` is what it asked for earlier."""

    task: str
    arguments: dict[str, Any]
    delay: float
    origin: Origin
    before: "_Request | None" = None


@event.listens_for(Session, "before_commit")
def _write(db: Session) -> None:
    """Store what the transaction asks for: at its end and in order, or two of them wait for each other."""
    asked: dict[str, _Request] = db.info.get("enqueued", {})
    if not asked:
        return
    db.flush()
    for key in sorted(asked):
        _ask(db, key, asked[key])
    asked.clear()


def _ask(db: Session, key: str, request: _Request) -> None:
    if request.before:
        _ask(db, key, request.before)
    row = row_of(request.task, key, request.delay, request.arguments, request.origin)
    is_first = is_new(db, row, request.delay)
    # A row that was there has its message, unless it waits here; after a failure it goes on waiting.
    if not request.delay and (is_first or _wake(db, key)):
        after_commit(db, lambda: publish(request.task, key, request.arguments))


def enqueue_many(db: Session, task: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    """Have many runs of a task happen, each with its arguments under a key that was never used before.

    The first page is published after the commit, the sweep takes the rest page by page.
    """
    rows = [row_of(task, key, 0, arguments, origin()) for key, arguments in calls]
    for row in rows[PAGE:]:
        row |= {"published": 0, "published_at": None, "due_at": utc_now()}
    for first in range(0, len(rows), PAGE):
        db.execute(insert(Outbox).values(rows[first : first + PAGE]))
    after_commit(db, lambda: _publish_all(task, calls[:PAGE]))


def _publish_all(task: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    for key, arguments in calls:
        publish(task, key, arguments)


def publish(task: str, key: str, arguments: dict[str, Any], *, countdown: float = 0) -> None:
    """Hand a task to the broker; raises when the broker does not answer."""
    broker.send(task, key, arguments, countdown=countdown)


def ticket(db: Session, key: str) -> Ticket | None:
    """The row's ticket; None when there is nothing to do any more."""
    names = [field.name for field in fields(Ticket)]
    found = db.execute(select(*(getattr(Outbox, name) for name in names)).where(Outbox.key == key))
    row = found.one_or_none()
    return Ticket(*row) if row else None


def done(db: Session, seen: Ticket) -> bool:
    """Remove the row if nobody asked since it was seen; False means: run it again.

    A row that was asked for with a delay meanwhile stays and sleeps until then.
    """
    same = (*_same(seen), Outbox.asked == seen.asked)
    if changed(db, delete(Outbox).where(*same, Outbox.next_at.is_(None))):
        return True
    fresh = {"tries": 0, "waits": 0}
    sleep = {"due_at": Outbox.next_at, "next_at": None, "published": 0, **fresh}
    if changed(db, update(Outbox).where(*same, Outbox.next_at.is_not(None)).values(**sleep)):
        return True
    again = {"due_at": utc_now(PATIENCE), "published": 1, "published_at": utc_now(), **fresh}
    return not changed(db, update(Outbox).where(*_same(seen)).values(**again))


def put_off(db: Session, seen: Ticket, seconds: float, *, tries: int, waits: int = 0) -> None:
    """Keep a task here and have the sweep publish it after so many seconds."""
    values = {"published": 0, "tries": tries, "waits": waits, "due_at": utc_now(seconds)}
    changed(db, update(Outbox).where(*_same(seen)).values(values))


def note_tries(db: Session, seen: Ticket, tries: int, seconds: float) -> None:
    """Remember failed tries of a task whose next message is under way and comes in so many seconds."""
    values = {"tries": tries, "due_at": utc_now(seconds + PATIENCE)}
    changed(db, update(Outbox).where(*_same(seen)).values(values))


def give_up(db: Session, seen: Ticket) -> bool:
    """Remove the row of a task that will not be tried again; False: somebody asked anew, it runs again."""
    if changed(db, delete(Outbox).where(*_same(seen), Outbox.asked == seen.asked)):
        return True
    again = {"tries": 0, "waits": 0, "published": 0, "due_at": utc_now()}
    return not changed(db, update(Outbox).where(*_same(seen)).values(**again))


def remove(db: Session, key: str) -> dict[str, Any] | None:
    """Take a task out, whatever waits or runs of it; answers what it was, None when it was not there."""
    row = db.get(Outbox, key)
    if row is None:
        return None
    db.delete(row)
    names = ("key", "task", "arguments", "tries", "created_at", "enqueued_by", "parent")
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


def known(db: Session, keys: Collection[str]) -> set[str]:
    """Those of the keys under which something waits or runs."""
    return set(db.scalars(select(Outbox.key).where(Outbox.key.in_(keys)))) if keys else set()


def has_any(keys: Collection[str]) -> Exists:
    """For a query: whether something waits or runs under one of the keys."""
    return exists().where(Outbox.key.in_(keys))


def children(db: Session, parent: str, limit: int = 100) -> list[str]:
    """Keys of what a task has asked for and what has not ended."""
    return list(db.scalars(select(Outbox.key).where(Outbox.parent == parent).limit(limit)))


def _same(seen: Ticket) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Outbox.key == seen.key, Outbox.token == seen.token


def _wake(db: Session, key: str) -> bool:
    asleep = update(Outbox).where(Outbox.key == key, Outbox.published == 0, Outbox.tries == 0)
    return bool(changed(db, asleep.values(published=1, published_at=utc_now())))
