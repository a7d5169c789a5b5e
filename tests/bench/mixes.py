"""Classes of jobs made from LHCb's task queues: as they are, and three mixes that are harder for a matcher.

A task queue is a class even where the files do not tell two apart. All draws are always the same.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

from tests.bench.lhcb import SEED, USERS, TaskQueue, task_queues

OWNERS = 300
CLASSES_OF_AN_OWNER = 20
EXPRESSIONS = 300
# Users' share of the jobs in the mix `users`.
USERS_SHARE = 0.1
# Jobs with following numbers in one class: a production submits so many at once.
BURST = 1000
SYSTEMS = ("el8", "el9", "el10", "ubuntu24", "ubuntu26")
SOFTWARE = tuple(
    f"software:{name}-{number}" for name in ("gauss", "boole", "davinci") for number in range(50)
)
NETWORKS = ("network:ipv6", "network:lhcone", "network:outbound")
DATA = tuple(f"data:{year}-{stream}" for year in range(2011, 2027) for stream in ("raw", "full", "turbo"))
SCRATCH_MB = (1024, 5120, 10240, 20480)
RAM_MB = (1000, 1500, 2000, 2560, 3000, 4000, 5120, 6000, 8192, 12000)


@dataclass(frozen=True)
class JobClass:
    """Jobs that ask for the same; `record` is what is stored of each one's requirements."""

    number: int
    record: dict[str, Any]
    job_type: str
    group: str
    owner: str
    jobs: int
    priority: int = 1


class Burst(NamedTuple):
    """Jobs with following numbers, submitted at once into a class."""

    first: int
    jobs: int
    of: JobClass


def classes(mix: str, jobs: int) -> list[JobClass]:
    """The classes of a mix with so many jobs in all; where these are too few, the smallest are left out."""
    made = [replace(one, number=number) for number, one in enumerate(MIXES[mix](), 1)]
    return list(_scaled(made, jobs))


def bursts(made: Sequence[JobClass]) -> list[Burst]:
    """All jobs in the order of their numbers, from 1: classes come in turns as they do in a year."""
    parts = [(one, min(BURST, one.jobs - begun)) for one in made for begun in range(0, one.jobs, BURST)]
    random.Random(SEED).shuffle(parts)
    found, first = [], 1
    for one, jobs in parts:
        found.append(Burst(first, jobs, one))
        first += jobs
    return found


def expressions(sites: Sequence[str]) -> list[str]:
    """Different expressions over tags, as the match-making specification writes them."""
    chance = random.Random(SEED)
    found: dict[str, None] = {}
    while len(found) < EXPRESSIONS:
        one, other = sorted(chance.sample(SYSTEMS, 2))
        parts = [f"(os:{one} | os:{other})", f"~diracx:site:{chance.choice(sites)}"]
        parts += [chance.choice(NETWORKS)] * (chance.random() < 0.3)
        parts += [f"({' | '.join(sorted(chance.sample(SOFTWARE, 3)))})"] * (chance.random() < 0.4)
        parts += [chance.choice(DATA)] * (chance.random() < 0.2)
        parts += [f"~({' & '.join(sorted(chance.sample(NETWORKS, 2)))})"] * (chance.random() < 0.1)
        found[" & ".join(["cvmfs:lhcb", *parts])] = None
    return list(found)


def _scaled(made: Sequence[JobClass], jobs: int) -> Iterator[JobClass]:
    """The largest remainders get what rounding leaves."""
    kept = sorted(made, key=lambda one: -one.jobs)[:jobs]
    total, left = sum(one.jobs for one in kept), jobs - len(kept)
    exact = [one.jobs * left / total for one in kept]
    most = sorted(range(len(kept)), key=lambda place: int(exact[place]) - exact[place])
    more = set(most[: left - sum(map(int, exact))])
    for place, one in enumerate(kept):
        yield replace(one, jobs=1 + int(exact[place]) + (place in more))


def _lhcb() -> list[JobClass]:
    return [JobClass(0, one.record, one.job_type, one.group, one.owner, one.jobs) for one in _queues()]


def _tags() -> list[JobClass]:
    """Ten classes of each queue, each with one of 300 expressions."""
    known, chance = expressions(_sites()), random.Random(SEED)
    return [
        replace(one, record={**one.record, "tags": chance.choice(known)}, jobs=-(-one.jobs // 10))
        for one in _lhcb()
        for _ in range(10)
    ]


def _users() -> list[JobClass]:
    """LHCb's queues, and 20 classes of each of 300 owners, who do not share."""
    made, chance, sites = _lhcb(), random.Random(SEED), _sites()
    number = OWNERS * CLASSES_OF_AN_OWNER
    each = max(1, round(sum(one.jobs for one in made) * USERS_SHARE / (1 - USERS_SHARE) / number))
    queues = _queues()
    for place in range(number):
        record = _analysis(chance, chance.choice(queues), sites)
        made.append(JobClass(0, record, "User", USERS, f"user{place % OWNERS:03}", each))
    return made


def _explosion() -> list[JobClass]:
    """A hundred classes of each queue, which differ in all that users vary."""
    known, chance, sites = expressions(_sites()), random.Random(SEED), _sites()
    made = []
    for queue in _queues():
        for _ in range(100):
            record = _analysis(chance, queue, sites) | {"tags": chance.choice(known)}
            owner = queue.owner if queue.group != USERS else f"user{chance.randrange(OWNERS):03}"
            made.append(JobClass(0, record, queue.job_type, queue.group, owner, -(-queue.jobs // 100)))
    return made


def _analysis(chance: random.Random, queue: TaskQueue, sites: Sequence[str]) -> dict[str, Any]:
    """What a queue asks for, at the sites that have some data, with a user's own idea of its size."""
    return queue.record | {
        "sites": sorted(chance.sample(sites, chance.randint(1, 8))),
        "banned_sites": [],
        "cores": chance.choice((1, 1, 1, 1, 2, 4, 8)),
        "ram_mb": chance.choice(RAM_MB),
        "io": {"scratch_mb": chance.choice(SCRATCH_MB)},
    }


@cache
def _queues() -> list[TaskQueue]:
    return task_queues()


def _sites() -> list[str]:
    return sorted({site for one in _queues() for site in one.sites})


MIXES = {"lhcb": _lhcb, "tags": _tags, "users": _users, "explosion": _explosion}
