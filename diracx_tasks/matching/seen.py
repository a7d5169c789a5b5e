"""The kinds of nodes that asked for work within the last hour, and which conditions of a job they meet."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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


class Seen(NamedTuple):
    """A kind of nodes: its name and terms (see `Node.terms`), its tags, seconds since one of them asked."""

    kind: str
    terms: dict[str, Any]
    tags: frozenset[str]
    ago: float

    @property
    def site(self) -> str:
        """Where they are."""
        return str(self.terms["is"]["site"])

    @property
    def ce(self) -> str:
        """Their computing element; empty when they do not say."""
        return str(self.terms["is"].get("ce", ""))


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

    `offer` is what a kind has of it, as it is compared.
    """

    name: str
    wanted: Any
    is_met: Callable[[Seen], bool]
    offer: Callable[[Seen], Any]


@dataclass(frozen=True)
class Group:
    """So many kinds miss the same conditions, a bit each; `last` asked last of them."""

    misses: int
    count: int
    last: Seen


def seen(vo: str) -> list[Seen]:
    """The kinds of the last hour, those that asked last first. Raises Unavailable when Redis is away."""
    prefix, now = keys.prefix(vo), time.time()
    try:
        asked: Any = redis().zrevrangebyscore(
            f"{prefix}kinds", "+inf", now - HOUR, start=0, num=MOST, withscores=True
        )
        texts: list[Any] = []
        # One call for all would keep the matcher waiting.
        for start in range(0, len(asked), SLICE):
            found: Any = redis().hmget(f"{prefix}kind", [kind for kind, _ in asked[start : start + SLICE]])
            texts += found
    except RedisError as error:
        raise Unavailable(f"the matcher's Redis does not answer: {error}") from error
    barred = mask.barred(vo)
    return [
        _seen(kind, orjson.loads(text), max(0.0, now - float(at)), barred)
        for (kind, at), text in zip(asked, texts, strict=True)
        if text
    ]


def _seen(kind: str, terms: dict[str, Any], ago: float, barred: Mapping[str, str]) -> Seen:
    """A kind as its nodes described it: where they may not be used `match.py` lets them run tests only."""
    one = Seen(kind, terms, frozenset(terms["tags"]), ago)
    if terms["only"].get("type") in ([TEST], []) and not barred.keys().isdisjoint((one.site, one.ce)):
        del terms["only"]["type"]
    return one


def conditions(spec: Specification, who: Who) -> list[Condition]:
    """Everything that a node must meet to run one alternative of somebody's job."""
    wants = spec.terms()
    found = [_one_of(dimension, values) for dimension, values in wants["one_of"].items()]
    if wants["none_of"]:
        found.append(_none_of(wants["none_of"]))
    found += [_least(dimension, value) for dimension, value in wants["least"].items()]
    found += [_tags(part) for part in conjuncts(spec.tags)]
    demands = frozenset(wants["demands"])
    found.append(
        Condition(
            "required_tags",
            sorted(demands),
            lambda one: demands.issuperset(one.terms["requires"]),
            lambda one: sorted(set(one.terms["requires"]) - demands),
        )
    )
    return [*found, _only(who)]


def fits(wanted: Sequence[Condition], one: Seen) -> bool:
    """Whether a kind meets all conditions."""
    return all(condition.is_met(one) for condition in wanted)


def groups(wanted: Sequence[Condition], kinds: Iterable[Seen]) -> dict[int, Group]:
    """Kinds by the conditions that they miss; 0 are those that fit. `kinds` are in the order of `seen`."""
    found: dict[int, Group] = {}
    for one in kinds:
        misses = 0
        for place, condition in enumerate(wanted):
            if not condition.is_met(one):
                misses |= 1 << place
        known = found.get(misses)
        found[misses] = Group(misses, known.count + 1, known.last) if known else Group(misses, 1, one)
    return found


def _one_of(dimension: str, values: list[str]) -> Condition:
    chosen = frozenset(values)
    return Condition(
        dimension,
        values,
        lambda one: one.terms["is"].get(dimension) in chosen,
        lambda one: one.terms["is"].get(dimension),
    )


def _none_of(sites: list[str]) -> Condition:
    banned = frozenset(sites)
    return Condition("banned_site", sites, lambda one: one.site not in banned, lambda one: one.site)


def _least(dimension: str, wanted: int) -> Condition:
    def is_met(one: Seen) -> bool:
        value = one.terms["has"].get(dimension)
        return value is not None and value >= wanted

    return Condition(dimension, wanted, is_met, lambda one: one.terms["has"].get(dimension))


def _tags(tree: Any) -> Condition:
    return Condition("tags", render(tree), lambda one: holds(tree, one.tags), lambda one: one.terms["tags"])


def _only(who: Who) -> Condition:
    mine = who.attributes

    def is_met(one: Seen) -> bool:
        return all(mine[attribute] in values for attribute, values in one.terms["only"].items())

    def offer(one: Seen) -> list[str]:
        only = one.terms["only"].items()
        return [
            f"{attribute} {', '.join(values)}" for attribute, values in only if mine[attribute] not in values
        ]

    return Condition("only", [f"{name} {value}" for name, value in mine.items()], is_met, offer)
