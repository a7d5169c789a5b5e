"""The one allocation: waiting jobs over all queues, each job spent once. Pure: no database, no clock."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

# Less than this part of a pilot is a matter of rounding.
NOTHING = 1e-6


class Want(NamedTuple):
    """Jobs of a group that ask for the same; `at` is how many of them a pilot of a queue runs at once.

    `limits` are the names of what bounds, at a queue, how many of them and others may run.
    """

    group: str
    jobs: float
    at: Mapping[int, int]
    limits: Mapping[int, Sequence[Hashable]] = MappingProxyType({})


class Room(NamedTuple):
    """Of one queue: pilots that are to come anyway, how many more it takes, and what it costs to wait there.

    The cost is in seconds; the cheapest queue that fits is taken first. `turns` are pilots' worth of jobs
    that running pilots take one by one, each in a slot of a pilot that has so many `slots`: larger jobs,
    which need several at the same time, may wait for those for ever.
    """

    coming: int
    free: int
    cost: float
    turns: float = 0.0
    slots: int = 1

    @property
    def pilots(self) -> float:
        """How many pilots' worth of jobs there can be at most."""
        return self.turns + self.coming + self.free


class Allocation(NamedTuple):
    """Per queue: how many new pilots go there, and how many of those that are to come nobody needs.

    `is_met` says that all jobs have pilots without new ones.
    """

    new: list[int]
    unneeded: list[float]
    is_met: bool


@dataclass
class _Rest:
    """A want, how many of its jobs no pilot comes for yet, and how many more each limit lets run, of all."""

    want: Want
    jobs: float
    may: dict[Hashable, float]

    @property
    def pilots(self) -> float:
        """How many pilots they need at least."""
        return self.jobs / max(self.want.at.values())

    def at_most(self, place: int) -> float:
        """How many of its jobs may go to a queue, whatever room there is."""
        return max(0.0, min([self.jobs, *(self.may[one] for one in self.want.limits.get(place, ()))]))

    def send(self, jobs: float, place: int) -> None:
        """Pilots of a queue come for so many more."""
        self.jobs -= jobs
        for one in self.want.limits.get(place, ()):
            self.may[one] -= jobs


def allocate(
    wants: Sequence[Want],
    rooms: Sequence[Room],
    weights: Mapping[str, float] | None = None,
    may: Mapping[Hashable, float] = MappingProxyType({}),
) -> Allocation:
    """How many new pilots go to each queue, and how many are too many.

    Jobs go first to pilots that are to come anyway, then to those that run. What is left gets new ones, where
    groups share by their weights what cannot be for all; those that fit few queues choose before those that
    fit many. `may` is how many more jobs each limit lets run.
    """
    order = sorted(range(len(rooms)), key=lambda place: rooms[place].cost)
    more = dict(may)
    rest = [_Rest(one, one.jobs, more) for one in wants if one.jobs and one.at]
    rest.sort(key=lambda one: len(one.want.at))
    unneeded = [float(one.coming) for one in rooms]
    _spend(rest, unneeded, order)
    _spend(rest, [one.turns for one in rooms], order, least=[one.slots for one in rooms])
    is_met = all(one.jobs <= NOTHING for one in rest)
    left = [float(one.free) for one in rooms]
    if (room := sum(left)) and sum(one.pilots for one in rest) > room:
        _spend(rest, left, order, quotas=_quotas(rest, room, weights or {}))
    _spend(rest, left, order)
    new = [math.ceil(one.free - free - NOTHING) for one, free in zip(rooms, left, strict=True)]
    return Allocation(new, unneeded, is_met)


def fair(wanted: Mapping[str, float], room: float, weights: Mapping[str, float]) -> dict[str, float]:
    """Room shared by weights (1 where none is stated); what one does not want the others get."""
    found, left = dict.fromkeys(wanted, 0.0), dict(wanted)
    while left and room > NOTHING:
        whole = sum(weights.get(name, 1.0) for name in left)
        given = {name: room * weights.get(name, 1.0) / whole for name in left}
        sated = [name for name in left if left[name] <= given[name]]
        if not sated:
            return found | given
        for name in sated:
            found[name] = left.pop(name)
            room -= found[name]
    return found


def _quotas(rest: Sequence[_Rest], room: float, weights: Mapping[str, float]) -> dict[str, float]:
    wanted: dict[str, float] = {}
    for one in rest:
        wanted[one.want.group] = wanted.get(one.want.group, 0.0) + one.pilots
    return fair(wanted, room, weights)


def _spend(
    rest: Sequence[_Rest],
    left: list[float],
    order: Sequence[int],
    *,
    quotas: dict[str, float] | None = None,
    least: Sequence[int] | None = None,
) -> None:
    """Give jobs the pilots that are left, the cheapest first; both become fewer.

    With `least` only jobs of which a pilot of the queue runs so many at once.
    """
    usable = [place for place in order if left[place] > NOTHING]
    for one in rest:
        if one.jobs <= NOTHING or not usable:
            continue
        group, most = one.want.group, math.inf if quotas is None else quotas[one.want.group]
        for place in usable:
            at_once = one.want.at.get(place)
            if not at_once or (least and at_once < least[place]):
                continue
            pilots = min(one.at_most(place) / at_once, left[place], most)
            left[place] -= pilots
            one.send(pilots * at_once, place)
            most -= pilots
            if one.jobs <= NOTHING or most <= NOTHING:
                break
        if quotas is not None:
            quotas[group] = most
        usable = [place for place in usable if left[place] > NOTHING]
