"""The statement that asks for a task: a new row of the outbox, or one more request of one that is there."""

import secrets
from functools import lru_cache
from typing import Any

from sqlalchemy import Executable, bindparam, case
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core.database import plain, utc_now
from diracx_tasks.core.origin import Origin
from diracx_tasks.engine.tables import Outbox

# A published task has so long to end before it is published again, then twice as long, and so on.
PATIENCE = 10
# Columns and attributes of a row, besides its times.
STATED = {
    "TaskKey": "key",
    "Token": "token",
    "Task": "task",
    "Arguments": "arguments",
    "Asked": "asked",
    "Published": "published",
    "EnqueuedBy": "enqueued_by",
    "Parent": "parent",
    "Trace": "trace",
}


def row_of(task: str, key: str, delay: float, arguments: dict[str, Any], source: Origin) -> dict[str, Any]:
    """The row of a task that is asked for, by attributes."""
    return {
        "key": key,
        "token": secrets.randbits(62),
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


def is_new(db: Session, row: dict[str, Any], delay: float) -> bool:
    """Whether the task was not asked for yet; if it was, it is asked for once more."""
    stated = {name: row[attribute] for name, attribute in STATED.items()}
    if db.get_bind().dialect.name == "sqlite":
        return bool(db.connection().execute(_sqlite_asking(delay), stated).scalar_one() == row["token"])
    # MySQL counts an inserted row as one and an updated one as two.
    return db.connection().execute(_asking(delay), stated).rowcount == 1


# Made once for each delay: making a statement costs more than carrying it out.
@lru_cache(64)
def _asking(delay: float) -> Executable:
    again = _later(delay) if delay else _once_more()
    return mysql.insert(plain(Outbox)).values(_times(delay)).on_duplicate_key_update(again)


@lru_cache(64)
def _sqlite_asking(delay: float) -> Executable:
    again = _later(delay) if delay else _once_more()
    table = plain(Outbox)
    upsert = sqlite.insert(table).values(_times(delay))
    return upsert.on_conflict_do_update(index_elements=["TaskKey"], set_=again).returning(table.c.Token)


def _times(delay: float) -> dict[str, Any]:
    table = plain(Outbox)
    return {
        **{name: bindparam(name, type_=table.c[name].type) for name in STATED},
        "PublishedAt": None if delay else utc_now(),
        "CreatedAt": utc_now(),
        "DueAt": utc_now(delay or PATIENCE),
    }


def _once_more() -> dict[str, Any]:
    # Never later than it was: those who keep asking would keep a lost message from being published again.
    sooner = utc_now(PATIENCE)
    is_late = (Outbox.due_at > sooner) & (Outbox.tries == 0)
    return {"Asked": Outbox.asked + 1, "DueAt": case((is_late, sooner), else_=Outbox.due_at)}


def _later(delay: float) -> dict[str, Any]:
    then = utc_now(delay)
    # A row that has waited for a lock may be that of a run that goes on: only a copy of its message waits.
    is_asleep = (Outbox.published == 0) & (Outbox.tries == 0) & (Outbox.waits == 0)
    sooner = case((Outbox.next_at < then, Outbox.next_at), else_=then)
    return {
        "NextAt": case((is_asleep, Outbox.next_at), else_=sooner),
        "DueAt": case((is_asleep & (Outbox.due_at > then), then), else_=Outbox.due_at),
    }
