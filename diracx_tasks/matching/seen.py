"""The kinds of nodes that asked for work within the last hour, and which conditions of a job they meet."""

import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from redis.exceptions import RedisError

from diracx_tasks.core.errors import Unavailable
from diracx_tasks.core.redis import redis
from diracx_tasks.matching import keys
from diracx_tasks.matching.match import TEST
from diracx_tasks.matching.specification import Specification
from diracx_tasks.matching.store import HOUR
from diracx_tasks.matching.tags import conjuncts, holds, render
from diracx_tasks.resources import mask

# Of more kinds those are looked at that asked last.
MOST = 20_000
SLICE = 1000
CHOICES = frozenset({"site", "ce", "platform", "system", "architecture", "gpu_vendor"})

# What a kind's name stands for never changes.
_known: dict[str, tuple[dict[str, Any], frozenset[str]]] = {}


class Seen(NamedTuple):
    """A kind of nodes: its name and terms (see `Node.terms`), its tags, seconds since one of them asked."""

    kind: str
    terms: Mapping[str, Any]
    tags: frozenset[str]
    ago: float

    @property
    def site(self) -> str:
        """Where they are; empty when it is not known."""
        return str(self.terms["is"].get("site", ""))

    @property
    def ce(self) -> str:
        """Their computing element; empty when they do not say."""
        return str(self.terms["is"].get("ce", ""))

    def offer(self, name: str) -> Hashable:
        """What it has of a condition, as it is compared; None: it does not say."""
        if name == "banned_site":
            return self.site
        if name == "tags":
            return self.tags
        if name == "required_tags":
            return tuple(self.terms["requires"])
        if name == "only":
            return tuple((what, tuple(names)) for what, names in self.terms["only"].items())
        found: Hashable = self.terms["is" if name in CHOICES else "has"].get(name)
        return found


class Who(NamedTuple):
    """What nodes, limits and shares tell jobs apart by."""

    job_type: str
    group: str
    owner: str

    @property
    def attributes(self) -> dict[str, str]:
        """By the names that rules use."""
        return {"type": self.job_type, "group": self.group, "owner": self.owner}


class Condition(NamedTuple):
    """One thing that a node must offer: one of the terms, `banned_site`, `tags`, `required_tags`, `only`.

    `told` is what an offer has of it that matters to people: of `required_tags` those that the job lacks.
    """

    name: str
    wanted: Any
    is_met: Callable[[Any], bool]
    told: Callable[[Any], Any] = lambda offer: offer

    def holds(self, one: Seen) -> bool:
        """Whether a kind meets it."""
        return self.is_met(one.offer(self.name))


class Group(NamedTuple):
    """Kinds that miss the same conditions, a bit each; `last` asked last of them."""

    misses: int
    last: Seen


class Nodes:
    """Kinds of nodes, in the order of `seen`, and by what they offer."""

    def __init__(self, kinds: Sequence[Seen]) -> None:
        self.kinds = kinds
        self._offers: dict[str, dict[Any, list[int]]] = {}

    def offers(self, name: str) -> dict[Any, list[int]]:
        """Every offer of a condition, and the places of the kinds that make it."""
        if name not in self._offers:
            found: dict[Any, list[int]] = {}
            for place, one in enumerate(self.kinds):
                found.setdefault(one.offer(name), []).append(place)
            self._offers[name] = found
        return self._offers[name]

    def misses(self, wanted: Sequence[Condition]) -> list[int]:
        """Which conditions each kind misses, a bit each."""
        found = [0] * len(self.kinds)
        for number, condition in enumerate(wanted):
            for offer, places in self.offers(condition.name).items():
                if not condition.is_met(offer):
                    for place in places:
                        found[place] |= 1 << number
        return found

    def groups(self, misses: Sequence[int]) -> dict[int, Group]:
        """The kinds by what they miss."""
        found: dict[int, Group] = {}
        for one, missed in zip(self.kinds, misses, strict=True):
            if missed not in found:
                found[missed] = Group(missed, one)
        return found


def seen(vo: str) -> list[Seen]:
    """The kinds of the last hour, those that asked last first. Raises Unavailable when Redis is away."""
    now = time.time()
    try:
        asked: Any = redis().zrevrangebyscore(
            f"{keys.prefix(vo)}kinds", "+inf", now - HOUR, start=0, num=MOST, withscores=True
        )
        _learn(vo, [kind for kind, _ in asked if kind not in _known])
    except RedisError as error:
        raise Unavailable(f"the matcher's Redis does not answer: {error}") from error
    barred = mask.barred(vo)
    found = ((kind, _known.get(kind), max(0.0, now - float(at))) for kind, at in asked)
    return [_opened(Seen(kind, *known, ago), barred) for kind, known, ago in found if known]


def _learn(vo: str, kinds: Sequence[str]) -> None:
    if len(_known) + len(kinds) > 2 * MOST:
        _known.clear()
    # One call for all would keep the matcher waiting.
    for start in range(0, len(kinds), SLICE):
        some = kinds[start : start + SLICE]
        texts: Any = redis().hmget(f"{keys.prefix(vo)}kind", some)
        for kind, text in zip(some, texts, strict=True):
            if text:
                terms = orjson.loads(text)
                _known[kind] = terms, frozenset(terms["tags"])


def _opened(one: Seen, barred: Collection[str]) -> Seen:
    """A kind as its nodes described it: where they may not be used `match.py` lets them run tests only."""
    if not barred or not (one.site in barred or one.ce in barred):
        return one
    only = dict(one.terms["only"])
    if only.get("type") in ([TEST], []):
        del only["type"]
    return one._replace(terms={**one.terms, "only": only})


def conditions(spec: Specification, who: Who) -> list[Condition]:
    """Everything that a node must meet to run one alternative of somebody's job."""
    wants = spec.terms()
    found = [_one_of(dimension, values) for dimension, values in wants["one_of"].items()]
    if wants["none_of"]:
        banned = frozenset(wants["none_of"])
        found.append(Condition("banned_site", wants["none_of"], lambda site: site not in banned))
    found += [_least(dimension, value) for dimension, value in wants["least"].items()]
    found += [_tags(part) for part in conjuncts(spec.tags)]
    return [*found, _required_tags(wants["demands"]), _only(who)]


def fits(wanted: Sequence[Condition], one: Seen) -> bool:
    """Whether a kind meets all conditions."""
    return all(condition.holds(one) for condition in wanted)


def _one_of(dimension: str, values: list[str]) -> Condition:
    chosen = frozenset(values)
    return Condition(dimension, values, lambda offer: offer in chosen)


def _least(dimension: str, wanted: int) -> Condition:
    return Condition(dimension, wanted, lambda offer: offer is not None and offer >= wanted)


def _tags(tree: Any) -> Condition:
    return Condition("tags", render(tree), lambda tags: holds(tree, tags), sorted)


def _required_tags(demands: list[str]) -> Condition:
    known = frozenset(demands)
    return Condition(
        "required_tags", demands, known.issuperset, lambda tags: [tag for tag in tags if tag not in known]
    )


def _only(who: Who) -> Condition:
    mine = who.attributes

    def told(offer: Any) -> list[str]:
        return [f"{what} {name}" for what, names in offer for name in names if mine[what] not in names]

    def is_met(offer: Any) -> bool:
        return all(mine[what] in names for what, names in offer)

    return Condition("only", [f"{name} {value}" for name, value in mine.items()], is_met, told)
