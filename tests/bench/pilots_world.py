"""The world of the simulated day: a hundred batch queues at LHCb's sites, and the jobs that arrive."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from diracx_tasks.matching.specification import needs_json, specifications
from diracx_tasks.matching.store import Class
from diracx_tasks.pilots.fits import Fits
from diracx_tasks.pilots.queues import Queue
from tests.bench.lhcb import SEED, Totals
from tests.bench.mixes import bursts, classes

QUEUES = 100
DAY = 86_400.0
# Jobs ask for CPU time of DIRAC's unit; so much of it is a second on these nodes.
POWER = 10.0
# Of the slots so much is busy over the day, and so many queues abort what they are sent for some hours.
LOAD = 0.75
BROKEN, BROKEN_HOURS = 3, 6


class Burst(NamedTuple):
    """Jobs of a class that arrive at once."""

    at: float
    class_no: int
    jobs: int


@dataclass(frozen=True)
class World:
    """What is the same for every rule: queues, their slots and pauses, when they are broken, and the jobs."""

    queues: Sequence[Queue]
    slots: Sequence[int]
    pauses: Sequence[float]
    broken: Mapping[int, tuple[float, float]]
    classes: Sequence[Class]
    cpu_times: Sequence[float]
    fits: Fits
    at: Sequence[Mapping[int, int]]
    arrivals: Sequence[Burst]


def world(jobs: int) -> World:
    """Queues at LHCb's sites and so many jobs of its task queues; always the same."""
    chance = random.Random(SEED)
    made = classes("lhcb", jobs)
    of = [_class(one.number, one.record, one) for one in made]
    cpu_times = [float(one.record["cpu_time"]) for one in made]
    places = {one.number: place for place, one in enumerate(made)}
    arrivals = sorted(Burst(_moment(chance), places[one.of.number], one.jobs) for one in bursts(made))
    demand = sum(one.jobs * cpu_times[one.class_no] / POWER / 2 for one in arrivals)
    queues, slots = _queues(chance, demand / DAY / LOAD)
    fits = Fits(queues)
    begins = [chance.uniform(0, DAY / 2) for _ in range(BROKEN)]
    return World(
        queues=queues,
        slots=slots,
        pauses=[min(900.0, chance.lognormvariate(5.0, 0.7)) for _ in queues],
        broken={n: (begin, begin + BROKEN_HOURS * 3600) for n, begin in enumerate(begins)},
        classes=of,
        cpu_times=cpu_times,
        fits=fits,
        at=[fits.of(one) for one in of],
        arrivals=arrivals,
    )


def _moment(chance: random.Random) -> float:
    """Half over the whole day, half in the working hours."""
    return chance.uniform(0, 0.9 * DAY) if chance.random() < 0.5 else chance.uniform(8, 18) * 3600


def _class(number: int, record: Mapping[str, Any], one: Any) -> Class:
    needs = needs_json(specifications(record))
    return Class(number, "lhcb", one.job_type, one.group, one.owner, one.priority, needs)


def _queues(chance: random.Random, cores: float) -> tuple[list[Queue], list[int]]:
    """Queues with so many cores in all, at the sites in the order of their size."""
    sites = sorted(Totals().sites.items(), key=lambda one: -one[1].jobs)
    names = [sites[number % len(sites)][0] for number in range(QUEUES)]
    weights = [chance.paretovariate(1.2) for _ in names]
    found, slots = [], []
    for number, (site, weight) in enumerate(zip(names, weights, strict=True)):
        processors = 8 if chance.random() < 0.3 else 1
        count = max(4, round(cores * weight / sum(weights) / processors))
        longest = 1_080_000 if number < len(sites) else chance.choice((345_600, 518_400, 864_000))
        most = max(10, count // 10)
        found.append(
            Queue(
                site,
                f"ce{number}.{site.lower()}",
                "lhcb",
                processors=processors,
                max_cpu_seconds=longest,
                platform=None if number < len(sites) else "x86_64_v3-any",
                max_waiting=most,
                max_total=count + most,
            )
        )
        slots.append(count)
    return found, slots
