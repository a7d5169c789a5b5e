"""What holds jobs back at places whose nodes fit: limits that are full, delays, and what is slowed."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from redis.exceptions import RedisError

from diracx_tasks.core.errors import Unavailable
from diracx_tasks.core.operations import job_scheduling
from diracx_tasks.matching import limits, store
from diracx_tasks.matching.limits import Delay, Limit, Rules
from diracx_tasks.matching.match import TEST
from diracx_tasks.matching.seen import Who
from diracx_tasks.resources import mask

FULL, UNCOUNTED, DELAYED, BANNED = "limit", "uncounted", "delay", "ban"
# A site and a computing element.
Place = tuple[str, str]


class Obstacle(NamedTuple):
    """What lets no more jobs of a type, group or owner start at a place, `scope`, now.

    Of a limit so many run of at most so many; of a delay one starts every so many seconds; a place may be
    banned for a reason.
    """

    kind: str
    scope: str
    attribute: str = ""
    value: str = ""
    running: int = 0
    most: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def words(self) -> str:
        """It in words."""
        if self.kind == BANNED:
            return f"{self.scope} is banned: {self.reason}"
        whose = f"jobs of the {self.attribute} {self.value}"
        if self.kind == FULL:
            return f"{self.scope} is full of {whose}: {self.running} run, {self.most} may"
        if self.kind == UNCOUNTED:
            return f"{self.scope} limits {whose} to {self.most}, and how many run has not been counted lately"
        return f"{self.scope} starts one of the {whose} every {self.seconds:g} s"


@dataclass(frozen=True)
class Measured:
    """The rules at places and how far they are used up."""

    rules: Mapping[Place, Rules]
    # None where it has not been counted.
    running: Mapping[Limit, int | None]
    starts: Mapping[Delay, float]
    barred: Mapping[str, str]

    def against(self, place: Place, who: Who) -> list[Obstacle]:
        """What keeps somebody's jobs from starting at a place now."""
        banned = [
            Obstacle(BANNED, name, reason=self.barred[name])
            for name in place
            if name in self.barred and who.job_type != TEST
        ]
        return [*banned, *self._against(self.rules[place], who.attributes)]

    def _against(self, rules: Rules, mine: Mapping[str, str]) -> Iterator[Obstacle]:
        for limit in rules.limits:
            scope, attribute, value, most = limit
            if mine[attribute] != value:
                continue
            running = self.running[limit]
            if running is None:
                yield Obstacle(UNCOUNTED, scope, attribute, value, most=most)
            elif running >= most:
                yield Obstacle(FULL, scope, attribute, value, running, most)
        for delay in rules.delays:
            scope, attribute, value, seconds, _ = delay
            if mine[attribute] == value and self.starts[delay] < 1:
                yield Obstacle(DELAYED, scope, attribute, value, seconds=seconds)


def measure(vo: str, places: Collection[Place]) -> Measured:
    """The rules at places as they are used up now. Raises Unavailable when Redis is away."""
    rules = {place: limits.rules(vo, *place) for place in places}
    return _measured(vo, rules, mask.barred(vo))


def everything(vo: str) -> Measured:
    """All limits and delays of a VO, by their scopes."""
    stated: dict[Place, Rules] = {}
    for scope, fields in limits.limited(vo).items():
        site, _, ce = scope.partition("/")
        split = ((*field.partition("=")[::2], most) for field, most in fields.items())
        found = tuple((scope, attribute, value, most) for attribute, value, most in split)
        stated[site, ce] = Rules(limits=found)
    for site in job_scheduling(vo).MatchingDelay:
        known = stated.get((site, ""), Rules())
        stated[site, ""] = Rules(known.limits, limits.rules(vo, site).delays)
    return _measured(vo, stated, {})


def _measured(vo: str, rules: Mapping[Place, Rules], barred: Mapping[str, str]) -> Measured:
    all_limits = _once(limit for one in rules.values() for limit in one.limits)
    all_delays = _once(delay for one in rules.values() for delay in one.delays)
    if not all_limits and not all_delays:
        return Measured(rules, {}, {}, barred)
    asked = orjson.dumps({"limits": all_limits, "delays": all_delays}).decode()
    try:
        is_counted, *rest = store.run("blocked", vo, asked)
    except RedisError as error:
        raise Unavailable(f"the matcher's Redis does not answer: {error}") from error
    counts = zip(all_limits, rest, strict=False)
    running = {limit: int(text) if is_counted == "1" and text != "-1" else None for limit, text in counts}
    left = zip(all_delays, rest[len(all_limits) :], strict=True)
    starts = {delay: float(text) for delay, text in left}
    return Measured(rules, running, starts, barred)


def _once(rules: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(rules))
