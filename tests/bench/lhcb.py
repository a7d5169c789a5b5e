"""LHCb's task queues of 2026-03-28: 871 885 waiting jobs in 498 queues, drawn from the files beside.

The files give each queue's size, CPU time and group, and of sites, platforms and job types only the totals.
What a queue has of these is drawn so that both totals, of queues and of jobs, come out, always the same.
"""

import csv
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent / "distributions"
SEED = 843
DRAWS = 1000

MC = "lhcb_mc"
USERS = "lhcb_user"
# The job types that run in a group; the last one has what the others leave.
_TYPES = {
    MC: ("MCFastSimulation", "MCSimulation"),
    "lhcb_data": ("Sprucing", "Merge", "APMerge", "APPostProc", "WGProduction"),
    "lhcb_mcproc": ("MCMerge", "MCReconstruction"),
    USERS: ("LbAPI", "User"),
}
# The totals of platforms leave only this: for each group (a platform, queues, jobs). A queue that has the
# platform has all those that are in as many queues and jobs, and all in `_ALSO`; without one it runs on any.
_PLATFORMS = {
    MC: (("x86_64_v3-slc6", 7, 28891), ("x86_64_v3-el9", 5, 18232), ("x86_64_v3-centos7", 257, 661039)),
    "lhcb_data": (("x86_64_v3-el9", 32, 36886), ("armv8.2_a-el9", 178, 125777)),
    "lhcb_mcproc": (("nehalem-el9", 6, 1002), ("x86_64_v3-el9", 4, 10)),
    USERS: (("", 1, 7), ("nehalem-el9", 3, 10), ("x86_64_v3-el9", 5, 7)),
}
_ALSO = {
    "x86_64_v3-slc6": ("x86_64_v3-any", "x86_64_v2-any"),
    "x86_64_v3-centos7": ("x86_64_v3-any", "x86_64_v2-any"),
    "x86_64_v3-el9": ("x86_64_v3-any",),
    "nehalem-el9": ("x86_64_v3-any", "x86_64_v2-any", "x86_64_v3-el9"),
}


@dataclass(eq=False)
class TaskQueue:
    """Jobs that ask for the same; CPU time in seconds. A queue is equal to itself only."""

    cpu_time: int
    group: str
    jobs: int
    owner: str = ""
    job_type: str = ""
    sites: set[str] = field(default_factory=set)
    banned_sites: set[str] = field(default_factory=set)
    platforms: tuple[str, ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """What its jobs ask for, as it is stored of a job."""
        return {
            "cores": 1,
            "ram_mb": 1,
            "cpu_time": self.cpu_time,
            "sites": sorted(self.sites),
            "banned_sites": sorted(self.banned_sites),
            "platforms": sorted(self.platforms),
            "tags": [],
        }


@dataclass(frozen=True)
class Total:
    """Of one value: how many queues have it, and how many jobs are in these."""

    queues: int
    jobs: int


class Totals:
    """The files."""

    @cached_property
    def queues(self) -> list[TaskQueue]:
        """Every queue with what the files say of it alone, the largest first."""
        rows = _rows("jobs_per_tq")
        return [TaskQueue(int(row["CPUTime"]), row["OwnerGroup"], int(row["n_jobs"])) for row in rows]

    @cached_property
    def sites(self) -> dict[str, Total]:
        """By site, of the queues that name it."""
        return _totals("site_distribution", "site")

    @cached_property
    def banned_sites(self) -> dict[str, Total]:
        """By site, of the queues that ban it."""
        return _totals("banned_sites", "banned_site")

    @cached_property
    def platforms(self) -> dict[str, Total]:
        """By platform; those that no waiting job has are left out."""
        return {name: one for name, one in _totals("platform_distribution", "platform").items() if one.jobs}

    @cached_property
    def types(self) -> dict[str, Total]:
        """By job type."""
        return _totals("jobtype_distribution", "job_type")

    @cached_property
    def cpu_times(self) -> dict[int, Total]:
        """By CPU time in seconds."""
        found = _totals("cputime_distribution", "cpu_segment_seconds")
        return {int(seconds): one for seconds, one in found.items()}

    @cached_property
    def owners(self) -> dict[str, dict[str, Total]]:
        """By group, then owner."""
        found: dict[str, dict[str, Total]] = {}
        for row in _rows("owner_distribution"):
            found.setdefault(row["OwnerGroup"], {})[row["Owner"]] = _total(row)
        return found


def task_queues(totals: Totals | None = None) -> list[TaskQueue]:
    """The 498 queues; the same at each call."""
    totals = totals or Totals()
    chance = random.Random(SEED)
    queues = totals.queues
    for group, types in _TYPES.items():
        members = [one for one in queues if one.group == group]
        for queue, name in _dealt(chance, members, [(name, totals.types[name]) for name in types]):
            queue.job_type = name
        platforms = [(name, Total(count, jobs)) for name, count, jobs in _PLATFORMS[group]]
        for queue, name in _dealt(chance, members, platforms):
            queue.platforms = _family(totals, name)
        owners = sorted(totals.owners[group].items(), key=lambda one: one[1].queues)
        for queue, name in _dealt(chance, members, owners):
            queue.owner = name
    _give_sites(chance, totals, queues)
    return queues


def _give_sites(chance: random.Random, totals: Totals, queues: list[TaskQueue]) -> None:
    """All sites run simulation but for a few queues; the other queues have some of the large sites each."""
    anywhere = min((one for one in queues if one.group == USERS), key=lambda one: abs(one.jobs - 7))
    simulation = [one for one in queues if one.group == MC]
    others = [one for one in queues if one.group != MC and one is not anywhere]
    number, jobs = len(simulation), sum(one.jobs for one in simulation)
    for name, total in sorted(totals.sites.items(), key=lambda one: -one[1].queues):
        without = _drawn(chance, simulation, Total(max(0, number - total.queues), max(0, jobs - total.jobs)))
        wanted = Total(max(0, total.queues - number), max(0, total.jobs - jobs))
        bare = [one for one in others if not one.sites]
        is_enough = len(bare) >= wanted.queues
        chosen = _drawn(chance, bare, wanted) if is_enough else bare + _more(chance, others, bare, wanted)
        for queue in [*chosen, *(one for one in simulation if one not in without)]:
            queue.sites.add(name)
    for name, total in totals.banned_sites.items():
        free = [anywhere, *(one for one in others if name not in one.sites)]
        min(free, key=lambda one: abs(one.jobs - total.jobs)).banned_sites.add(name)


def _family(totals: Totals, platform: str) -> tuple[str, ...]:
    named = {platform, *_ALSO.get(platform, ())} - {""}
    alike = {totals.platforms[name] for name in named}
    return tuple(name for name, total in totals.platforms.items() if total in alike)


def _more(
    chance: random.Random, queues: Sequence[TaskQueue], chosen: Collection[TaskQueue], total: Total
) -> list[TaskQueue]:
    """Those that bring the chosen ones to a total."""
    rest = Total(total.queues - len(chosen), total.jobs - sum(one.jobs for one in chosen))
    return _drawn(chance, [one for one in queues if one not in chosen], rest)


def _dealt(
    chance: random.Random, queues: Collection[TaskQueue], values: Sequence[tuple[str, Total]]
) -> list[tuple[TaskQueue, str]]:
    """Each queue with a value; the last value goes to those that are left."""
    left, dealt = list(queues), list[tuple[TaskQueue, str]]()
    for value, total in values[:-1]:
        chosen = _drawn(chance, left, total)
        dealt += [(queue, value) for queue in chosen]
        left = [one for one in left if one not in chosen]
    return dealt + [(queue, values[-1][0]) for queue in left]


def _drawn(chance: random.Random, queues: Sequence[TaskQueue], total: Total) -> list[TaskQueue]:
    """So many queues, drawn again and again: the draw whose jobs come nearest."""
    draws = (chance.sample(queues, total.queues) for _ in range(DRAWS if total.queues else 1))
    return min(draws, key=lambda draw: abs(sum(one.jobs for one in draw) - total.jobs))


def _totals(name: str, column: str) -> dict[str, Total]:
    return {row[column]: _total(row) for row in _rows(name)}


def _total(row: dict[str, str]) -> Total:
    return Total(int(row["n_tqs"]), int(row["total_jobs"]))


def _rows(name: str) -> list[dict[str, str]]:
    with (FILES / f"{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))
