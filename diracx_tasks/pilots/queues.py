"""The queues of computing elements to which pilots of a VO may be sent, from the configuration.

`Resources/Sites/<grid>/<site>/CEs/<ce>/Queues/<queue>` with DIRAC's option names; a queue has what its
element states, tags and VOs of both count.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from diracx_tasks.core.config import Config, config
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.sections import ComputingElementOptions, Offered, QueueOptions
from diracx_tasks.matching.node import Node, node_of
from diracx_tasks.matching.specification import WHOLE_NODE
from diracx_tasks.resources import mask

# DIRAC's defaults of both limits.
DEFAULT_PILOTS = 10
# DIRAC's unit of CPU power: what `maxCPUTime` counts on a processor of so many SI00.
SI00 = 250
NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9_.:+/@=-]")


@dataclass(frozen=True)
class Queue:
    """A queue: what a pilot there offers, and how many may be there; times in s, None: no limit or not known.

    `processors`, `ram_mb` and `gpus` are those of one pilot. `barred` is why RSS forbids it, empty when not.
    """

    site: str
    ce: str
    name: str
    vos: tuple[str, ...] = ()
    processors: int = 1
    ram_mb: int | None = None
    max_cpu_seconds: int | None = None
    max_wall_seconds: int | None = None
    gpus: int = 0
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    platform: str | None = None
    architecture: str | None = None
    max_waiting: int = DEFAULT_PILOTS
    max_total: int = DEFAULT_PILOTS
    ce_type: str = ""
    ce_options: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    barred: str = field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others: the computing element and the name."""
        return self.ce, self.name

    @property
    def tag(self) -> str:
        """A tag that its pilots alone have, for jobs that are to test it."""
        return NOT_IN_TAGS.sub("_", f"diracx:queue:{self.ce}/{self.name}")

    def node(self) -> Node:
        """What a pilot there is said to offer: a processor gives no more CPU time than there is wall time."""
        stated = [one for one in (self.max_cpu_seconds, self.max_wall_seconds) if one is not None]
        return node_of(
            site=self.site,
            ce=self.ce,
            queue=self.name,
            cores=self.processors,
            ram_mb=self.ram_mb,
            platform=self.platform,
            wall_time=self.max_wall_seconds,
            cpu_time=min(stated, default=None),
            architecture=self.architecture,
            gpus=self.gpus,
            tags=(*self.tags, self.tag),
            required_tags=self.required_tags,
        )


def queues(vo: str) -> list[Queue]:
    """The queues to which pilots of a VO may be sent now: those that RSS does not forbid."""
    return [one for one in stated(vo) if not one.barred]


def stated(vo: str) -> list[Queue]:
    """All queues of a VO in the configuration, those that RSS forbids with the reason."""
    barred, found = mask.barred(vo), _stated(config(), vo)
    if not barred:
        return list(found)
    return [_judged(one, barred) for one in found]


def has_queues(vo: str) -> bool:
    """Whether pilots of a VO are sent anywhere from here."""
    return bool(_stated(config(), vo))


def options_of(ce: str) -> dict[str, Any]:
    """The section of a computing element, with its queues; NotFound when there is none."""
    for grid in config().Resources.Sites.values():
        for site in grid.values():
            if ce in site.CEs:
                return site.CEs[ce].model_dump(exclude_none=True)
    raise NotFound(f"there is no computing element {ce} in the configuration")


@lru_cache(64)
def _stated(found: Config, vo: str) -> tuple[Queue, ...]:
    return tuple(
        _queue((site, ce, name), element, queue)
        for grid in found.Resources.Sites.values()
        for site, about in grid.items()
        for ce, element in about.CEs.items()
        for name, queue in element.Queues.items()
        if _may_use(vo, element) and _may_use(vo, queue)
    )


def _may_use(vo: str, stated: Offered) -> bool:
    return not stated.VO or vo in stated.VO


def _queue(place: tuple[str, str, str], element: ComputingElementOptions, queue: QueueOptions) -> Queue:
    def of(name: str, default: Any = None) -> Any:
        own, common = getattr(queue, name), getattr(element, name)
        return own if own is not None else common if common is not None else default

    power = (of("SI00") or SI00) / SI00
    minutes, wall = of("maxCPUTime"), of("maxWallClockTime")
    whole = [WHOLE_NODE] if of("WholeNode", False) else []
    return Queue(
        *place,
        vos=tuple(sorted(set(queue.VO or element.VO))),
        processors=of("NumberOfProcessors", 1),
        ram_mb=of("MaxRAM"),
        max_cpu_seconds=None if minutes is None else int(minutes * 60 * power),
        max_wall_seconds=None if wall is None else wall * 60,
        gpus=of("NumberOfGPUs", 0),
        tags=tuple(sorted({*element.Tag, *queue.Tag, *whole})),
        required_tags=tuple(sorted({*element.RequiredTag, *queue.RequiredTag})),
        platform=of("Platform"),
        architecture=of("architecture"),
        max_waiting=of("MaxWaitingJobs", DEFAULT_PILOTS),
        max_total=of("MaxTotalJobs", DEFAULT_PILOTS),
        ce_type=element.CEType,
        ce_options=element.model_dump(exclude_none=True),
    )


def _judged(one: Queue, barred: Mapping[str, str]) -> Queue:
    for name in (one.site, one.ce):
        if name in barred:
            return replace(one, barred=f"{name} is not to be used: {barred[name]}")
    return one
