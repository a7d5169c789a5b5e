"""What the nodes of the last hour lack that a job asks for: each condition alone, and all together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations
from typing import Any

from diracx_tasks.matching.seen import CHOICES, Condition, Group, Nodes, Seen
from diracx_tasks.matching.words import (
    OURS,
    UPPER,
    joined,
    listed,
    phrase,
    quantity,
    shown,
    where_to_change,
)

# So many kinds that come near are named.
NEAR = 3
# To find more that clash would take too long.
CLASH = 4
ALIKE = 0.8


@dataclass(frozen=True)
class Unmet:
    """A condition that no kind of nodes meets, or not together with the others; the nearest offer, and where.

    `nearest` is None when no node says anything of it.
    """

    requirement: str
    wanted: Any
    nearest: Any
    site: str | None


@dataclass(frozen=True)
class Verdict:
    """Why nothing fits: what is unmet, sentences about it, and what to change."""

    unmet: list[Unmet]
    reasons: list[str]
    advice: list[str]


def verdict(wanted: Sequence[Condition], nodes: Nodes, found: Mapping[int, Group]) -> Verdict:
    """What keeps a job from running anywhere; no kind in `found` may meet all conditions."""
    never = [one for place, one in enumerate(wanted) if all(misses & (1 << place) for misses in found)]
    if not never:
        return _together(wanted, found)
    near = min(found.values(), key=lambda group: group.misses.bit_count()).last
    unmet = [_unmet(one, nodes, near) for one in never]
    both = list(zip(never, unmet, strict=True))
    return Verdict(
        unmet,
        [_sentence(one, what, nodes) for one, what in both],
        [_advice(one, what, nodes) for one, what in both],
    )


def not_seen(nodes: Nodes) -> str:
    """The sentence before the reasons."""
    if len(nodes.kinds) == 1:
        return "The only kind of nodes that asked within the last hour does not fit."
    return f"None of the {len(nodes.kinds)} kinds of nodes of the last hour fits."


def _unmet(condition: Condition, nodes: Nodes, near: Seen) -> Unmet:
    """Of a number the largest offer counts, of anything else that of the kind which misses least."""
    name, one = condition.name, near
    if isinstance(condition.wanted, int):
        if (best := _best(name, nodes)) is None:
            return Unmet(name, shown(name, condition.wanted), None, None)
        one = nodes.kinds[nodes.offers(name)[best][0]]
    offer = one.offer(name)
    if offer is None:
        return Unmet(name, shown(name, condition.wanted), None, None)
    return _missed(condition, one)


def _missed(condition: Condition, one: Seen) -> Unmet:
    name, offer = condition.name, one.offer(condition.name)
    nearest = None if offer is None else shown(name, condition.told(offer))
    return Unmet(name, shown(name, condition.wanted), nearest, one.site)


def _best(name: str, nodes: Nodes) -> int | None:
    return max((offer for offer in nodes.offers(name) if offer is not None), default=None)


def _together(wanted: Sequence[Condition], found: Mapping[int, Group]) -> Verdict:
    """Each condition is met somewhere: which are never met together, and which kinds come near."""
    order = sorted(found.values(), key=lambda group: (group.misses.bit_count(), group.last.ago))
    fewest = order[0].misses.bit_count()
    near = [group for group in order[:NEAR] if group.misses.bit_count() == fewest]
    clash = [phrase(wanted[place].name, wanted[place].wanted) for place in _clash(len(wanted), found)]
    reasons = [
        "Each requirement is met by some nodes of the last hour, but no node meets all: "
        f"{joined(clash)} are never together."
    ]
    unmet, advice = [], []
    for misses, last in near:
        missing = [one for place, one in enumerate(wanted) if misses & (1 << place)]
        unmet += [_missed(one, last) for one in missing]
        reasons.append(
            f"The nodes at {last.site} meet all but this: {joined([_lack(one, last) for one in missing])}."
        )
        without = joined([phrase(one.name, one.wanted) for one in missing])
        fields = joined(list(dict.fromkeys(where_to_change(one.name) for one in missing)))
        advice.append(f"Without {without} it fits nodes at {last.site}: change {fields}.")
    return Verdict(unmet, reasons, advice)


def _clash(count: int, found: Mapping[int, Group]) -> tuple[int, ...]:
    """The fewest conditions that no kind meets together; all, when they are more than a few."""
    for size in range(2, min(count, CLASH) + 1):
        for places in combinations(range(count), size):
            bits = sum(1 << place for place in places)
            if all(misses & bits for misses in found):
                return places
    return tuple(range(count))


def _lack(condition: Condition, one: Seen) -> str:
    """`64 cores (they have 8)`."""
    offer, words = one.offer(condition.name), phrase(condition.name, condition.wanted)
    if condition.name == "tags":
        return words
    if condition.name in ("required_tags", "only"):
        return f"they insist on {listed(condition.told(offer))}"
    if offer is None:
        return f"{words} (they do not say)"
    return f"{words} (they have {quantity(condition.name, offer) if isinstance(offer, int) else offer})"


def _sentence(condition: Condition, unmet: Unmet, nodes: Nodes) -> str:
    name, words = condition.name, phrase(condition.name, condition.wanted)
    if isinstance(condition.wanted, int):
        return f"It asks for {words}; {_most(name, unmet, nodes)}."
    if name == "required_tags":
        return f"All nodes of the last hour insist on tags that it lacks: {_insisted(unmet)}."
    if name == "only":
        return f"All nodes of the last hour take others' jobs only, as those of the {_insisted(unmet)}."
    if name == "banned_site":
        return f"It must not run at {listed(condition.wanted)}; nodes asked from nowhere else."
    if name == "site":
        sites = listed(_names(name, nodes))
        return f"It may only run at {listed(condition.wanted)}; nodes asked from {sites}."
    return f"It asks for {words}; {_others(name, words, nodes)}."


def _others(name: str, words: str, nodes: Nodes) -> str:
    """What the nodes have instead."""
    if name == "tags":
        return "every node of the last hour has it" if words.startswith("no tag") else "no node offers that"
    names = _names(name, nodes)
    return f"the nodes of the last hour have {listed(names)}" if names else "no node says what it has"


def _insisted(unmet: Unmet) -> str:
    return f"{listed(unmet.nearest)} ({unmet.site})"


def _most(name: str, unmet: Unmet, nodes: Nodes) -> str:
    best = _best(name, nodes)
    if best is None:
        return "no node of the last hour says that it has any"
    least = "less" if name in UPPER else "more"
    return f"no node of the last hour has {least} than {quantity(name, best)} ({unmet.site})"


def _advice(condition: Condition, unmet: Unmet, nodes: Nodes) -> str:
    name, fields = condition.name, where_to_change(condition.name)
    if isinstance(condition.wanted, int):
        if not (best := _best(name, nodes)):
            return f"Do not ask for it ({fields}), or have such pilots started."
        least = "at least" if name in UPPER else "at most"
        return f"Ask for {least} {quantity(name, best)} ({fields}), or have such pilots started."
    if meant := _meant(condition, nodes):
        return f"Is {meant} meant? Change {fields}."
    if name in ("site", "banned_site"):
        some = _names("site", nodes)[0]
        return f"Allow other sites ({fields}), such as {some}, or have pilots started at others."
    if name == "only":
        return f"Ask the operators for pilots that take your jobs, or change {fields}."
    is_ours = name == "tags" and condition.wanted in OURS
    change = f"Change {fields}, or have such pilots started."
    return "Have such pilots started: diracx-pilot is one." if is_ours else change


def _meant(condition: Condition, nodes: Nodes) -> str | None:
    """A name that nodes offer and that looks like the one that is asked for."""
    if condition.name == "tags" and condition.wanted not in OURS:
        wanted, offered = [condition.wanted], sorted(frozenset().union(*nodes.offers("tags")))
    elif condition.name in CHOICES:
        wanted, offered = condition.wanted, _names(condition.name, nodes)
    else:
        return None
    by_lower: dict[str, str] = {name.lower(): name for name in offered}
    for name in wanted[:NEAR]:
        for alike in get_close_matches(name.lower(), by_lower, 1, ALIKE):
            return by_lower[alike]
    return None


def _names(name: str, nodes: Nodes) -> list[str]:
    """What the kinds offer, what most of them do first."""
    found = [(-len(places), offer) for offer, places in nodes.offers(name).items() if offer is not None]
    return [offer for _, offer in sorted(found)]
