"""What the nodes of the last hour lack that a job asks for: each condition alone, and all together."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations
from typing import Any

from diracx_tasks.matching.seen import Condition, Group, Seen
from diracx_tasks.matching.words import UPPER, counted, listed, phrase, quantity, shown, where_to_change

# So many kinds that come near are named.
NEAR = 3
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


def verdict(wanted: Sequence[Condition], kinds: Sequence[Seen], found: Mapping[int, Group]) -> Verdict:
    """What keeps a job from running anywhere; no kind in `found` may meet all conditions."""
    never = [
        (place, one) for place, one in enumerate(wanted) if all(misses & (1 << place) for misses in found)
    ]
    if not never:
        return _together(wanted, found)
    pairs = [_unmet(one, place, kinds, found) for place, one in never]
    reasons = [_sentence(one, unmet, kinds) for (_, one), unmet in zip(never, pairs, strict=True)]
    advice = [_advice(one, unmet, kinds) for (_, one), unmet in zip(never, pairs, strict=True)]
    return Verdict(pairs, reasons, advice)


def _unmet(condition: Condition, place: int, kinds: Sequence[Seen], found: Mapping[int, Group]) -> Unmet:
    name, wanted = condition.name, condition.wanted
    offers = [(value, one) for one in kinds if (value := condition.offer(one)) is not None]
    if not offers:
        return Unmet(name, shown(name, wanted), None, None)
    if isinstance(wanted, int):
        value, one = max(offers, key=lambda pair: pair[0])
    else:
        one = min(found.values(), key=lambda group: group.misses.bit_count()).last
        value = condition.offer(one)
    return Unmet(name, shown(name, wanted), shown(name, value), one.site)


def _together(wanted: Sequence[Condition], found: Mapping[int, Group]) -> Verdict:
    """Each condition is met somewhere: which are never met together, and which kinds come near."""
    near = sorted(found.values(), key=lambda group: (group.misses.bit_count(), group.last.ago))
    near = [group for group in near if group.misses.bit_count() == near[0].misses.bit_count()][:NEAR]
    clash = [phrase(wanted[place].name, wanted[place].wanted) for place in _clash(len(wanted), found)]
    reasons = [
        f"Each requirement is met by some nodes of the last hour, but no node meets all: "
        f"{', '.join(clash[:-1])} and {clash[-1]} are never together."
    ]
    unmet, advice = [], []
    for group in near:
        missing = [one for place, one in enumerate(wanted) if group.misses & (1 << place)]
        unmet += [_missed(one, group.last) for one in missing]
        lacks = " and ".join(_lack(one, group.last) for one in missing)
        reasons.append(f"The nodes at {group.last.site} meet all but this: {lacks}.")
        fields = " and ".join(where_to_change(one.name) for one in missing)
        without = " and ".join(phrase(one.name, one.wanted) for one in missing)
        advice.append(f"Without {without} it fits nodes at {group.last.site}: change {fields}.")
    return Verdict(unmet, reasons, list(dict.fromkeys(advice)))


def _clash(count: int, found: Mapping[int, Group]) -> tuple[int, ...]:
    """The fewest conditions that no kind meets together."""
    for size in range(2, count + 1):
        for places in combinations(range(count), size):
            bits = sum(1 << place for place in places)
            if all(misses & bits for misses in found):
                return places
    return tuple(range(count))


def _missed(condition: Condition, one: Seen) -> Unmet:
    name = condition.name
    return Unmet(name, shown(name, condition.wanted), shown(name, condition.offer(one)), one.site)


def _lack(condition: Condition, one: Seen) -> str:
    """`64 cores (they have 8)`."""
    offer, words = condition.offer(one), phrase(condition.name, condition.wanted)
    if condition.name == "tags":
        return words
    if condition.name in ("required_tags", "only"):
        return f"they insist on {listed(offer)}"
    if offer is None:
        return f"{words} (they do not say)"
    has = quantity(condition.name, offer) if isinstance(offer, int) else offer
    return f"{words} (they have {has})"


def _sentence(condition: Condition, unmet: Unmet, kinds: Sequence[Seen]) -> str:
    name, words = condition.name, phrase(condition.name, condition.wanted)
    others = [value for value, _ in _offers(condition, kinds)]
    if isinstance(condition.wanted, int):
        return f"It asks for {words}; {_most(condition, unmet, kinds)}."
    if name == "tags":
        has = "every node of the last hour has it" if words.startswith("no tag") else "no node offers that"
        return f"It asks for {words}; {has}."
    sentences = {
        "site": f"It may only run at {listed(condition.wanted)}; nodes asked from {listed(others)}.",
        "banned_site": f"It must not run at {listed(condition.wanted)}; nodes asked from nowhere else.",
        "required_tags": f"All nodes of the last hour insist on tags that it lacks: {_insisted(unmet)}.",
        "only": f"All nodes of the last hour take others' jobs only, as those of the {_insisted(unmet)}.",
    }
    has = f"the nodes of the last hour have {listed(others)}" if others else "no node says what it has"
    return sentences.get(name, f"It asks for {words}; {has}.")


def _insisted(unmet: Unmet) -> str:
    return f"{listed(unmet.nearest)} ({unmet.site})" if isinstance(unmet.nearest, list) else ""


def _most(condition: Condition, unmet: Unmet, kinds: Sequence[Seen]) -> str:
    name = condition.name
    values = [value for one in kinds if (value := condition.offer(one)) is not None]
    if not values:
        return "no node of the last hour says that it has any"
    least = "less" if name in UPPER else "more"
    return f"no node of the last hour has {least} than {quantity(name, max(values))} ({unmet.site})"


def _advice(condition: Condition, unmet: Unmet, kinds: Sequence[Seen]) -> str:
    name, fields = condition.name, where_to_change(condition.name)
    if isinstance(condition.wanted, int):
        if unmet.nearest in (None, 0):
            return f"Do not ask for it ({fields}), or have such pilots started."
        best = max(value for one in kinds if (value := condition.offer(one)) is not None)
        least = "at least" if name in UPPER else "at most"
        return f"Ask for {least} {quantity(name, best)} ({fields}), or have such pilots started."
    if meant := _meant(condition, kinds):
        return f"Is {meant} meant? Change {fields}."
    if name in ("site", "banned_site"):
        some = [value for value, _ in _offers(condition, kinds)]
        return f"Allow other sites ({fields}), such as {some[0]}, or have pilots started at these."
    if name == "only":
        return f"Ask the operators for pilots that take your jobs, or change {fields}."
    return f"Change {fields}, or have such pilots started."


def _meant(condition: Condition, kinds: Sequence[Seen]) -> str | None:
    """A name that nodes offer and that looks like the one that is asked for."""
    if condition.name == "tags":
        names, offered = [condition.wanted], sorted({tag for one in kinds for tag in one.tags})
    elif isinstance(condition.wanted, list) and condition.name not in (
        "banned_site",
        "required_tags",
        "only",
    ):
        names, offered = condition.wanted, [value for value, _ in _offers(condition, kinds)]
    else:
        return None
    by_lower = {name.lower(): name for name in offered}
    for name in names[:NEAR]:
        for alike in get_close_matches(name.lower(), by_lower, 1, ALIKE):
            return by_lower[alike]
    return None


def _offers(condition: Condition, kinds: Sequence[Seen]) -> list[tuple[str, int]]:
    """What the kinds offer, what most of them do first."""
    return Counter(_names(condition, kinds)).most_common()


def _names(condition: Condition, kinds: Sequence[Seen]) -> Iterator[str]:
    for one in kinds:
        value = condition.offer(one)
        if isinstance(value, str):
            yield value


def not_seen(kinds: Sequence[Seen]) -> str:
    """The sentence before the reasons."""
    one = len(kinds) == 1
    return (
        "The only kind of nodes that asked within the last hour does not fit."
        if one
        else f"None of the {counted(len(kinds), 'kind')} of nodes of the last hour fits."
    )
