"""What a task may want before it runs: locks and places within limits, as templates of its arguments."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any, Literal

# What may be locked; an extension adds its own with `lock_kind`.
KINDS: dict[str, str] = {
    "job": "one job",
    "workflow": "one workflow",
    "pilot": "one pilot",
    "vo": "everything of one VO",
    "task": "all runs of one task",
    "run": "one run of a task",
    "site": "one site",
    "se": "one storage element",
    "ce": "one computing element, of one VO",
}
Way = Literal["write", "read", "concurrent", "rate"]


@dataclass(frozen=True)
class Want:
    """One thing that a run wants: the key in Redis, how, and how many may have it in how many seconds."""

    way: Way
    key: str
    count: int = 1
    seconds: float = 0

    @property
    def is_lock(self) -> bool:
        """Locks are kept also in runs by hand, limits are not."""
        return self.way in ("write", "read")


@dataclass(frozen=True)
class Mutex:
    """One run at a time under a name such as `job:{job_id}`; nobody reads meanwhile."""

    template: str
    way: Way = "write"

    def want(self, arguments: Mapping[str, Any]) -> Want:
        """The lock of a run with these arguments."""
        return Want(self.way, f"lock:{self.template.format(**arguments)}")


@dataclass(frozen=True)
class Read(Mutex):
    """Any number of readers under a name, while no `Write` has it."""

    way: Way = "read"


@dataclass(frozen=True)
class Write(Mutex):
    """Alone under a name that others `Read`; a waiting writer goes before new readers."""


@dataclass(frozen=True)
class Concurrent:
    """At most `count` runs at once, of all workers together; `per` makes it one limit for each object."""

    count: int
    per: str = ""

    def want(self, arguments: Mapping[str, Any]) -> Want:
        """The place that a run takes."""
        return Want("concurrent", f"limit:concurrent:{self.per.format(**arguments)}", self.count)


@dataclass(frozen=True)
class Rate:
    """At most `count` starts within any `seconds`, of all workers together; `per` as in Concurrent."""

    count: int
    seconds: float
    per: str = ""

    def want(self, arguments: Mapping[str, Any]) -> Want:
        """The start that a run uses up."""
        return Want(
            "rate", f"limit:rate:{self.seconds:g}:{self.per.format(**arguments)}", self.count, self.seconds
        )


Lock = Mutex
Limit = Concurrent | Rate


def lock_kind(name: str, about: str) -> None:
    """Add a kind of things that may be locked; harmless when repeated."""
    if not name.isidentifier():
        raise ValueError(f"a kind of locks is a word: {name!r}")
    KINDS[name] = about


def locks_of(stated: "str | Lock | tuple[str | Lock, ...] | None") -> tuple[Lock, ...]:
    """What a decorator's `lock=` means: a text is a mutex."""
    several = stated if isinstance(stated, tuple) else (() if stated is None else (stated,))
    return tuple(Mutex(one) if isinstance(one, str) else one for one in several)


def check_locks(locks: tuple[Lock, ...], parameters: Collection[str]) -> None:
    """Raise ValueError for a lock whose kind is not known or whose template names no parameter."""
    for lock in locks:
        kind, _, key = lock.template.partition(":")
        if kind not in KINDS or not key:
            raise ValueError(f"the lock {lock.template!r} must be `kind:key` with a kind of {sorted(KINDS)}")
        check_template(lock.template, parameters)


def check_limits(limits: tuple[Limit, ...], parameters: Collection[str]) -> None:
    """Raise ValueError for a limit that nothing could pass or whose template names no parameter."""
    for limit in limits:
        if limit.count < 1 or (isinstance(limit, Rate) and limit.seconds <= 0):
            raise ValueError(f"{limit} lets nothing pass: to stop a task, disable it")
        check_template(limit.per, parameters)


def check_template(template: str, parameters: Collection[str]) -> None:
    """Raise ValueError unless every field of a template is one of the parameters."""
    names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    # `file.lfn` and `files[0]` are parts of parameters.
    fields = {re.split(r"[.\[]", name)[0] for name in names}
    if unknown := fields - set(parameters):
        raise ValueError(f"{template!r} names {sorted(unknown)}: the parameters are {sorted(parameters)}")
