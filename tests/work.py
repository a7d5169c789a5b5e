"""A declared task whose body a test chooses, with a lock and limits, and what a worker does with it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import current_app

from diracx_tasks.core.database import session
from diracx_tasks.core.origin import Origin, originating
from diracx_tasks.engine import history, outbox
from diracx_tasks.engine.policies import Rate
from diracx_tasks.engine.retries import Backoff
from tests.builders import Installation
from tests.unit.engine.work import declared

NAME = "subject.verb"
KEY = "job-1.verb"
LIMITS = (Rate(50, 3600), Rate(60, 3600, per="se:{se}"))


class Work:
    """What the task does, and how often it did."""

    def __init__(self) -> None:
        self.runs = 0
        self.seen: list[tuple[Any, ...]] = []
        self.during: Callable[[], object] = lambda: None

    def __call__(self, *arguments: Any) -> str:
        self.runs += 1
        self.seen.append(arguments)
        self.during()
        return f"done with {arguments[0]}"

    def fail(self) -> None:
        """From now on it fails."""

        def no_luck() -> None:
            raise ValueError("no luck")

        self.during = no_luck


@pytest.fixture
def work(installation: Installation) -> Iterator[Work]:
    """The declared task; nothing of it has run."""
    found = Work()

    def verb(number: int, se: str = "CERN") -> str:
        """Do what the test wants."""
        return found(number, se)

    retry = Backoff(first=0.01, times=2)
    with declared(verb, retry=retry, lock="job:{number}", limit=LIMITS, subject="job-{number}"):
        yield found


def ask(number: int = 1, *, by: str = "alice@lhcb", parent: str | None = None, delay: float = 0) -> str:
    """Ask for a run; answers its key."""
    key = f"job-{number}.verb"
    with originating(Origin(by, parent)), session() as db:
        outbox.enqueue(db, NAME, key, delay=delay, number=number)
    return key


def run(key: str = KEY, number: int = 1) -> None:
    """What a worker does with one message; the history is written at once."""
    current_app.tasks[NAME].apply(kwargs={"number": number}, task_id=key, headers={"outbox": key})
    history.flush()


def die(work: Work, number: int = 1) -> str:
    """Have a run fail until its tries are used up; answers its key."""
    key = ask(number)
    work.fail()
    for _ in range(3):
        run(key, number)
    work.during = lambda: None
    return key
