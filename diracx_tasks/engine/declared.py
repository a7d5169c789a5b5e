"""What tasks state of themselves, under their names; knows nothing of Celery."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from diracx_tasks.core.errors import DiracXError
from diracx_tasks.engine.policies import Limit, Lock, Want
from diracx_tasks.engine.queues import Priority, Size, queue_of
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.timing import Timing


class InvalidArguments(DiracXError):
    """A task was asked for with arguments that it does not take; no other try can cure that."""

    http_status = 422
    exit_code = 2


@dataclass(frozen=True)
class Declared:
    """What a task states of itself; `core.config` may state otherwise, see `overrides`."""

    name: str
    function: Callable[..., str]
    size: Size
    priority: Priority
    locks: tuple[Lock, ...]
    limits: tuple[Limit, ...]
    retry: Backoff
    dead_letter: bool
    timing: Timing | None
    per_vo: bool
    timeout: float
    memory: int
    batch: int
    arguments: type[BaseModel] = field(repr=False)
    subject: str | None = None
    is_enabled: bool = True

    @property
    def queue(self) -> str:
        """The queue that it goes to."""
        return queue_of(self.priority, self.size)

    @property
    def about(self) -> str:
        """The first line of what it says of itself."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the types that the task states; InvalidArguments names the wrong ones."""
        try:
            found = self.arguments.model_validate(dict(given))
        except ValidationError as error:
            words = "; ".join(f"{_place(one)}: {one['msg']}" for one in error.errors())
            raise InvalidArguments(f"{self.name}: {words}") from error
        return {name: getattr(found, name) for name in type(found).model_fields}

    def pause(self, tries: int, error: BaseException) -> float | None:
        """Seconds before the next try after `tries` failed ones; None when none is left or none can help."""
        return None if isinstance(error, InvalidArguments) else self.retry.pause(tries, error)

    def wants(self, arguments: Mapping[str, Any], *, by_hand: bool = False) -> list[Want]:
        """Locks and places that a run needs; limits are left out when it is run by hand.

        Raises InvalidArguments when a template cannot be filled, as `{files[0]}` of an empty list.
        """
        try:
            return self._wants(arguments, by_hand)
        except (LookupError, AttributeError, ValueError, TypeError) as error:
            raise InvalidArguments(f"{self.name}: its locks or limits cannot be named: {error!r}") from error

    def _wants(self, arguments: Mapping[str, Any], by_hand: bool) -> list[Want]:
        stated = [lock.want(arguments) for lock in self.locks]
        for limit in () if by_hand else self.limits:
            want = limit.want(arguments)
            # A limit that names no object is the task's own.
            key = want.key if limit.per else f"{want.key}{self.name}"
            stated.append(Want(want.way, key, want.count, want.seconds))
        return stated

    def subject_of(self, arguments: Mapping[str, Any]) -> str | None:
        """What a run is about, such as `workflow-42`: the first argument that ends in `_id` if not stated."""
        if self.subject:
            with suppress(LookupError, AttributeError, ValueError, TypeError):
                return self.subject.format(**arguments)[:64]
        for name, value in arguments.items():
            if name.endswith("_id") and isinstance(value, int | str):
                return f"{name.removesuffix('_id')}-{value}"[:64]
        return None


REGISTRY: dict[str, Declared] = {}
# They run other tasks' work: in the queue and with the limits of those.
ENGINES = frozenset({"engine.run_children"})


def declared_of(name: str) -> Declared | None:
    """What a task states; None when this process does not know it."""
    return REGISTRY.get(name)


def served(name: str, arguments: Mapping[str, Any]) -> Declared:
    """The task that a message is for: of the engine's own messages the one that `task` names."""
    if name in ENGINES:
        return REGISTRY.get(str(arguments.get("task")), REGISTRY[name])
    return REGISTRY[name]


def arguments_of(function: Callable[..., Any], name: str) -> type[BaseModel]:
    """A model of the parameters of a function; TypeError when one has no type."""
    hints = get_type_hints(function)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(
                f"the task {name} must state the type of {parameter.name!r}: its messages are checked"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def _place(error: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in error["loc"])
