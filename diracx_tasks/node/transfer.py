"""Requests about one attempt's files, and transfers to and from stores."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError, DiracXError, LoginNeeded, Unreachable
from diracx_tasks.node.halt import Halt, ask, insist

T = TypeVar("T")

PARALLEL = 4
PER_REQUEST = 500
# URLs of a store expire; each round asks for fresh ones.
ROUNDS = 3


class StagingError(DiracXError):
    """A file cannot be brought to the payload or away from it; trying again would not help."""


@dataclass
class Transfers:
    """Talks about the files of one attempt."""

    client: Client
    halt: Halt
    job_id: int
    attempt: int

    def post(self, what: str, body: dict[str, Any]) -> Any:
        """The answer of one of the job's routes; Halted when the attempt is no longer ours."""
        sent = {"attempt": self.attempt, **body}
        return ask(lambda: self.client.post(f"/api/pilots/jobs/{self.job_id}/{what}", sent), self.halt)

    def persistent(self, name: str, transfer: Callable[[], None]) -> str | None:
        """None once it is done, or why the store refuses; a store that is away is waited for."""
        try:
            insist(transfer, self.halt)
        except (ApiError, LoginNeeded) as error:
            return f"{name}: the store answered: {error}"
        return None

    def once(self, name: str, transfer: Callable[[], None]) -> str | None:
        """None when it is done, or why not: another store may do."""
        self.halt.check()
        try:
            transfer()
        except (ApiError, LoginNeeded, Unreachable) as error:
            return f"{name}: the store answered: {error}"
        return None

    def in_parallel(self, one: Callable[[T], str | None], items: list[T]) -> list[str | None]:
        """What was said of each item."""
        if not items:
            return []
        with ThreadPoolExecutor(PARALLEL) as pool:
            return list(pool.map(one, items))


def chunks(items: list[T]) -> Iterator[list[T]]:
    """The items, as many together as one request takes."""
    for start in range(0, len(items), PER_REQUEST):
        yield items[start : start + PER_REQUEST]
