"""Calls that wait until a task takes many of them at once: a statement for a thousand costs little more.

A call is a row, written with the state that needs it, and goes when its batch has ended well. A batch that
fails is halved until the calls that are to blame are found; those are tried again and become dead letters.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, database_time, reading, session, utc_now
from diracx_tasks.core.origin import origin
from diracx_tasks.engine import outbox
from diracx_tasks.engine.declared import REGISTRY, Declared
from diracx_tasks.engine.run import WORDS, Later, traceback_of
from diracx_tasks.engine.tables import Call, DeadLetter

PAGE = 1000
# A batch task gives others their turn after so many seconds.
TURN = 20.0
# So many calls in a row that fail alone, and none that did not: it is not the calls. Then so much later.
SYSTEMIC = 3
REST = 5.0


class Systemic(Exception):
    """Whatever is tried fails."""


def call(db: Session, task: str, **arguments: Any) -> None:
    """Have a batch task take these arguments with others after this transaction."""
    call_many(db, task, [arguments])


def call_many(db: Session, task: str, calls: Iterable[dict[str, Any]]) -> None:
    """Have a batch task take many. Raises InvalidArguments for what does not fit."""
    declared, given = REGISTRY[task], list(calls)
    declared.check({parameter(declared): given})
    rows = [
        {
            "task": task,
            "arguments": one,
            "tries": 0,
            "due_at": utc_now(),
            "created_at": utc_now(),
            "enqueued_by": origin().by,
        }
        for one in given
    ]
    for first in range(0, len(rows), PAGE):
        db.execute(insert(Call).values(rows[first : first + PAGE]))
    outbox.enqueue(db, task, f"{task}.batch")


def parameter(task: Declared) -> str:
    """The name of the one argument that takes the calls."""
    return next(iter(task.arguments.model_fields))


def waiting(db: Session, task: str) -> int:
    """How many calls wait."""
    return int(db.scalar(select(func.count()).select_from(Call).where(Call.task == task)) or 0)


def work(task: Declared) -> str:
    """Take what waits, batch by batch; raises Later when calls have to wait longer."""
    total, until = 0, time.monotonic() + TURN
    while time.monotonic() < until:
        with reading() as db:
            due = select(Call).where(Call.task == task.name, Call.due_at <= utc_now())
            calls = db.scalars(due.order_by(Call.call_id).limit(task.batch)).all()
        if not calls:
            break
        sorted_out = _Sorting(task)
        try:
            sorted_out.take(calls)
        except Systemic as error:
            raise Later(REST, f"{total} taken, then nothing went well: {error}") from error
        finally:
            # Also when it is given up: what was taken must not be taken again, what fails makes room.
            with session() as db:
                _keep(db, task, sorted_out)
        total += len(sorted_out.done)
    with reading() as db:
        count, due_at = db.execute(
            select(func.count(), func.min(Call.due_at)).where(Call.task == task.name)
        ).one()
        pause = max(0.0, (due_at - database_time(db)).total_seconds()) if count else None
    if pause is not None:
        raise Later(pause, f"{total} taken, {count} calls wait")
    return f"{total} taken"


@dataclass
class _Sorting:
    """Which calls of a batch went well, and which did not."""

    task: Declared
    done: list[int] = field(default_factory=list)
    failed: list[tuple[Call, Exception]] = field(default_factory=list)

    def take(self, calls: Sequence[Call]) -> None:
        """Give calls to the function, in halves when it fails."""
        try:
            arguments = self.task.check({parameter(self.task): [one.arguments for one in calls]})
            self.task.function(**arguments)
        except (SoftTimeLimitExceeded, Systemic):
            raise
        except Exception as error:
            if len(calls) == 1:
                self.failed.append((calls[0], error))
                if len(self.failed) >= SYSTEMIC and not self.done:
                    raise Systemic(f"{type(error).__name__}: {error}") from error
                return
            middle = len(calls) // 2
            self.take(calls[:middle])
            self.take(calls[middle:])
        else:
            self.done += [one.call_id for one in calls]


def _keep(db: Session, task: Declared, found: _Sorting) -> None:
    if found.done:
        changed(db, delete(Call).where(Call.call_id.in_(found.done)))
    for one, error in found.failed:
        pause = task.pause(one.tries + 1, error)
        mine = Call.call_id == one.call_id
        if pause is None:
            changed(db, delete(Call).where(mine))
            db.add(_letter(task, one, error))
        else:
            later = {"tries": one.tries + 1, "due_at": utc_now(pause)}
            changed(db, update(Call).where(mine).values(**later))


def _letter(task: Declared, one: Call, error: Exception) -> DeadLetter:
    words = traceback_of(error)[-WORDS:]
    return DeadLetter(
        key=f"{task.name}.call-{one.call_id}",
        task=task.name,
        arguments={parameter(task): [one.arguments]},
        tries=one.tries + 1,
        state="Dead",
        errors=[{"at": None, "try": one.tries + 1, "error": words}],
        enqueued_by=one.enqueued_by,
        created_at=one.created_at,
        died_at=utc_now(),
    )
