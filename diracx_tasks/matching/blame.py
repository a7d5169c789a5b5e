"""Whose fault failures are, the node's or the job's: arithmetic without a database and without a clock.

A node is compared with how jobs of the same kind (group, owner, job type) do on other nodes. There a share of
them is Done; of so many here as many are expected to be. What is missing of that is the node's fault. Jobs
that fail everywhere are expected to fail, and jobs of which nothing is known elsewhere say next to nothing,
however many kinds of them an owner has.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

Kind = tuple[str, str, str]
# No node says more of a kind than so many jobs: one that fails very many must not speak for all others.
VOICE = 5.0
# Of a kind of which one job has ended elsewhere, up to so many count here.
TRUST = 2.0
# Of kinds of which nothing is known elsewhere so many jobs of an owner count, and of all owners: half of them
# may be missing, which is less than slows a node.
UNHEARD, UNHEARD_IN_ALL = 1.0, 4.0
# Before anything is known of a kind elsewhere, so many of its jobs may well fail.
DOUBT = 0.5


class Tally(NamedTuple):
    """Jobs that failed and that were Done; older ones count less than one."""

    failed: float = 0.0
    done: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.failed + self.done

    def times(self, factor: float) -> "Tally":
        """So many times as many."""
        return Tally(self.failed * factor, self.done * factor)

    def and_(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(self.failed + other.failed, self.done + other.done)

    def at_most(self, total: float) -> "Tally":
        """The same proportion of no more than so many."""
        return self if self.total <= total else self.times(total / self.total)


class Fault(NamedTuple):
    """So many jobs should have been Done and were not, of so many that should have been."""

    missing: float = 0.0
    expected: float = 0.0

    @property
    def share(self) -> float:
        """From 0, as good as elsewhere, to 1: everything fails."""
        return self.missing / self.expected if self.expected else 0.0


def fault_of(here: Mapping[Kind, Tally], elsewhere: Mapping[Kind, Tally]) -> Fault:
    """What is missing at a place, compared with all others."""
    missing = expected = 0.0
    unheard = _unheard(here)
    for kind, tally in here.items():
        other = elsewhere.get(kind, Tally())
        if not tally.total:
            continue
        failing = (other.failed + DOUBT) / (other.total + 1)
        counted = min(1.0, (unheard[kind] + TRUST * other.total) / tally.total)
        expected += tally.total * (1 - failing) * counted
        missing += max(0.0, tally.failed - tally.total * failing) * counted
    return Fault(missing, expected)


def _unheard(here: Mapping[Kind, Tally]) -> dict[Kind, float]:
    """How many jobs of each kind count when nothing is known of it elsewhere."""
    counts = {kind: min(UNHEARD, tally.total) for kind, tally in here.items()}
    owners: dict[str, float] = defaultdict(float)
    for (_, owner, _), count in counts.items():
        owners[owner] += count
    whole = sum(min(UNHEARD, count) for count in owners.values())
    factor = min(1.0, UNHEARD_IN_ALL / whole) if whole else 1.0
    return {
        (group, owner, job_type): count * factor * min(1.0, UNHEARD / owners[owner]) if count else 0.0
        for (group, owner, job_type), count in counts.items()
    }


def heard(tallies: Iterable[Mapping[Kind, Tally]]) -> dict[Kind, Tally]:
    """What several nodes say together, each with its voice."""
    found: dict[Kind, Tally] = defaultdict(Tally)
    for one in tallies:
        for kind, tally in one.items():
            found[kind] = found[kind].and_(tally.at_most(VOICE))
    return found


def less(whole: Mapping[Kind, Tally], part: Mapping[Kind, Tally]) -> dict[Kind, Tally]:
    """What the others say, of a part's kinds."""
    return {
        kind: Tally(max(0.0, whole[kind].failed - own.failed), max(0.0, whole[kind].done - own.done))
        for kind, own in part.items()
    }


def together(
    tallies: Iterable[Mapping[Kind, Tally]], unnamed: Mapping[Kind, Tally] | None = None
) -> dict[Kind, Tally]:
    """What happened at a site, no node of which counts for more than its voice in all, but the unnamed."""
    found: dict[Kind, Tally] = defaultdict(Tally)
    for one in tallies:
        total = sum(tally.total for tally in one.values())
        factor = min(1.0, VOICE / total) if total and one is not unnamed else 1.0
        for kind, tally in one.items():
            found[kind] = found[kind].and_(tally.times(factor))
    return found
