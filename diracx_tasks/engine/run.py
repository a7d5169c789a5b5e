"""One run of a task: what is known of it while it runs, and what is kept of it."""

import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from diracx_tasks.core.database import now
from diracx_tasks.core.origin import Origin
from diracx_tasks.engine.declared import Declared
from diracx_tasks.engine.locks import Admission
from diracx_tasks.engine.outbox import Ticket

BEAT = "beat"
WORDS = 60_000


def plain(text: str) -> str:
    """A text that every database can store: file names may hold bytes that are no characters."""
    return text.encode("utf-8", "backslashreplace").decode()


def traceback_of(error: Exception) -> str:
    """The text of an exception with where it was raised."""
    return plain("".join(traceback.format_exception(error)))


@dataclass
class Run:
    """One try of a task under a key. `task` has what the configuration says of it."""

    task: Declared
    key: str
    arguments: dict[str, Any]
    # How many tries have failed, and how often it had to wait for a lock or place.
    tries: int = 0
    waits: int = 0
    # Whether a row of the outbox stands behind it, and what was seen of that.
    is_boxed: bool = False
    ticket: Ticket | None = None
    worker: str = ""
    origin: Origin = field(default_factory=Origin)
    admission: Admission = field(default_factory=lambda: Admission(()))
    started_at: datetime = field(default_factory=now)
    clock: float = field(default_factory=time.monotonic)

    @classmethod
    def of_message(cls, task: Declared, request: Any, arguments: dict[str, Any]) -> "Run":
        """The run that a Celery message asks for."""
        headers: Mapping[str, Any] = request.headers or {}
        return cls(
            task,
            request.id or task.name,
            arguments,
            tries=int(headers.get("tries", 0)),
            waits=int(headers.get("waits", 0)),
            is_boxed="outbox" in headers,
            worker=request.hostname or "",
            origin=Origin(headers.get("by") or "", headers.get("parent"), headers.get("traceparent")),
        )

    def take(self, ticket: Ticket) -> None:
        """Note what the outbox knows better than the message."""
        self.ticket, self.arguments = ticket, ticket.arguments
        self.tries, self.waits = max(self.tries, ticket.tries), max(self.waits, ticket.waits)
        self.origin = Origin(ticket.enqueued_by, ticket.parent, ticket.trace)

    @property
    def subject(self) -> str | None:
        """What it is about, such as `workflow-42`."""
        return self.task.subject_of(self.arguments)

    @property
    def is_scheduled(self) -> bool:
        """Whether an entry of the schedule may stand behind it: beat asked, or the task has times."""
        return self.origin.by == BEAT or self.task.timing is not None

    @property
    def fence(self) -> int | None:
        """The fencing number of its locks: higher than that of every earlier holder; None without Redis."""
        return self.admission.fence

    def check(self) -> None:
        """Raise LockLost when one of its locks or places is somebody else's by now."""
        self.admission.check()

    def row(self, outcome: str, words: str) -> dict[str, Any]:
        """What the history keeps."""
        return {
            "key": self.key[:128],
            "task": self.task.name,
            "arguments": self.arguments,
            "outcome": outcome,
            "words": plain(words)[-WORDS:],
            "tries": self.tries + 1,
            "started_at": self.started_at,
            "seconds": time.monotonic() - self.clock,
            "worker": self.worker[:128],
            "subject": self.subject,
            "parent": self.origin.parent,
            "enqueued_by": self.origin.by,
            "weight": 1,
        }


_RUN: ContextVar[Run | None] = ContextVar("run", default=None)


def this_run() -> Run | None:
    """The run that this code belongs to; None outside of tasks."""
    return _RUN.get()


@contextmanager
def running(run: Run) -> Iterator[None]:
    """The block belongs to a run."""
    token = _RUN.set(run)
    try:
        yield
    finally:
        _RUN.reset(token)


class Later(Exception):
    """Raised by a task that has more to do after some seconds: it comes again, and no try is used up."""

    def __init__(self, seconds: float, words: str) -> None:
        super().__init__(words)
        self.seconds = seconds
