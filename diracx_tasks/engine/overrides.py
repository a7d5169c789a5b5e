"""What the configuration says of tasks: `Operations.<Defaults|VO>.Tasks.<name>` over the decorator."""

from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from diracx_tasks.core import config
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.engine.declared import Declared
from diracx_tasks.engine.policies import Concurrent, Limit, Rate
from diracx_tasks.engine.queues import LONGEST, Priority, Size
from diracx_tasks.engine.timing import KINDS, Timing, timing_of

SECTION = "Tasks"
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Retry(BaseModel):
    """Other numbers of a backoff."""

    model_config = ConfigDict(extra="forbid")

    first: Positive | None = None
    times: Annotated[int, Field(ge=0, le=1000)] | None = None
    cap: Positive | None = None


class Override(BaseModel):
    """What may be stated of a task; what is left out stays as declared."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool | None = None
    priority: Priority | None = None
    size: Size | None = None
    timeout: Annotated[float, Field(gt=0, le=LONGEST)] | None = None
    memory: Annotated[int, Field(ge=64)] | None = None
    retry: Retry = Retry()
    concurrent: Annotated[int, Field(ge=1)] | None = None
    rate: Annotated[int, Field(ge=1)] | None = None
    rate_seconds: Positive | None = None
    every: float | None = None
    cron: str | None = None
    rrule: str | None = None
    dry_run: bool | None = None

    @model_validator(mode="after")
    def _readable(self) -> "Override":
        try:
            self.timing()
        except BadRequest as error:
            raise ValueError(str(error)) from error
        return self

    def timing(self) -> Timing | None:
        """The timing that is stated; None when none is."""
        stated = {kind: getattr(self, kind) for kind in KINDS}
        return None if all(value is None for value in stated.values()) else timing_of(stated)

    def over(self, declared: Declared) -> Declared:
        """The task as it is to be treated."""
        plain = ("priority", "size", "timeout", "memory")
        stated: dict[str, Any] = {name: value for name in plain if (value := getattr(self, name)) is not None}
        numbers = {name: value for name, value in self.retry.model_dump().items() if value is not None}
        if numbers:
            stated["retry"] = replace(declared.retry, **numbers)
        if timing := self.timing():
            stated["timing"] = timing
        if self.enabled is not None:
            stated["is_enabled"] = self.enabled
        return replace(declared, **stated, limits=self._limits(declared))

    def _limits(self, declared: Declared) -> tuple[Limit, ...]:
        found = list(declared.limits)
        if self.concurrent and not any(isinstance(one, Concurrent) for one in found):
            found.append(Concurrent(self.concurrent))
        if self.rate and not any(isinstance(one, Rate) for one in found):
            found.append(Rate(self.rate, self.rate_seconds or 1))
        return tuple(self._changed(one) for one in found)

    def _changed(self, limit: Limit) -> Limit:
        if isinstance(limit, Concurrent):
            return replace(limit, count=self.concurrent or limit.count)
        seconds = self.rate_seconds or limit.seconds
        return replace(limit, count=self.rate or limit.count, seconds=seconds)


class Overrides(RootModel[dict[str, Override]]):
    """The section `Tasks`: overrides by the task's name."""


config.SECTIONS[SECTION] = Overrides
config.ALTERNATIVES.append(frozenset(KINDS))


def override_of(name: str, vo: str | None = None) -> Override:
    """What the configuration in force says of a task, for a VO."""
    return _override(config.config(), name, vo)


def effective(declared: Declared, vo: object = None) -> Declared:
    """A task with what the configuration in force says of it; `vo` is its argument of that name."""
    return _effective(config.config(), declared, vo if isinstance(vo, str) else None)


@lru_cache(4096)
def _override(found: config.Config, name: str, vo: str | None) -> Override:
    return Override.model_validate(found.section(SECTION, vo).get(name) or {})


@lru_cache(4096)
def _effective(found: config.Config, declared: Declared, vo: str | None) -> Declared:
    override = _override(found, declared.name, vo)
    return declared if override == Override() else override.over(declared)
