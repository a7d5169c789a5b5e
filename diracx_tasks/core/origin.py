"""Who or what is at work here: the user of a request, the run of a task; kept with what it asks for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Origin:
    """Where work comes from: `by` a user or command, or the `parent` task; and its trace (W3C)."""

    by: str = ""
    parent: str | None = None
    trace: str | None = None
    # What log lines say of it beside this.
    labels: dict[str, str] = field(default_factory=dict)


_ORIGIN: ContextVar[Origin | None] = ContextVar("origin", default=None)


def origin() -> Origin:
    """Where what happens now comes from."""
    return _ORIGIN.get() or Origin()


@contextmanager
def originating(found: Origin) -> Iterator[Origin]:
    """What happens in the block comes from there; who is known later may be filled in."""
    token = _ORIGIN.set(found)
    try:
        yield found
    finally:
        _ORIGIN.reset(token)
