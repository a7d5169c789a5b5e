"""A declared task whose body a test chooses, and what a worker does with its messages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import current_app
from sqlalchemy import select, update

from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.engine import outbox, task
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.sweep import sweep as sweeping
from diracx_tasks.engine.tables import Outbox
from tests.builders import Installation

KEY = "subject-1.verb"
Body = Callable[[], object]


class Work:
    """A declared task whose body a test chooses."""

    def __init__(self) -> None:
        self.runs = 0
        self.during: Body = lambda: None

    def __call__(self, number: int) -> str:
        self.runs += 1
        self.during()
        return "done"


@contextmanager
def declared(function: Callable[..., str], **stated: Any) -> Iterator[str]:
    """A task of the module `subject` while the block lasts; gives its name."""
    function.__module__ = "tests.subject.tasks"
    task.task(**stated)(function)
    name = f"subject.{function.__name__}"
    try:
        yield name
    finally:
        REGISTRY.pop(name)
        current_app.tasks.pop(name, None)


@pytest.fixture
def work(installation: Installation) -> Iterator[Work]:
    """`subject.verb`, with a lock and three tries."""
    found = Work()

    def verb(number: int) -> str:
        return found(number)

    with declared(verb, retry=Backoff(first=0.01, times=2), lock="job:{number}"):
        yield found


def ask(delay: float = 0) -> None:
    """Enqueue `subject.verb`."""
    with database.session() as db:
        outbox.enqueue(db, "subject.verb", KEY, delay=delay, number=1)


def row() -> Outbox | None:
    """What waits of it."""
    with database.reading() as db:
        return db.get(Outbox, KEY)


def queued() -> int:
    """How many messages the broker holds."""
    return int(redis().llen("normal.small"))


def run(**headers: Any) -> str:
    """What a worker does with one message."""
    result = current_app.tasks["subject.verb"].apply(
        kwargs={"number": 1}, task_id=KEY, headers={"outbox": KEY, **headers}
    )
    return str(result.result)


def sweep() -> int:
    with database.session() as db:
        return sweeping(db)


def make_due() -> None:
    with database.session() as db:
        db.execute(update(Outbox).values(due_at=database.utc_now(-1)))


def drain(most: int = 1000) -> int:
    """What workers do with everything that waits, also what is not due yet; answers how many messages."""
    count = 0
    while count < most:
        with database.reading() as db:
            found = db.scalars(select(Outbox).order_by(Outbox.due_at).limit(1)).first()
        if found is None:
            break
        current_app.tasks[found.task].apply(
            kwargs=found.arguments, task_id=found.key, headers={"outbox": found.key}
        )
        count += 1
    return count
