"""A reference matcher: which job a pilot gets next, in plain Python, from the jobs' records and the node.

Of the matcher it uses the grid of numbers only, and which records make one class.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from typing import Any

from diracx_tasks.matching import grid
from diracx_tasks.matching.limits import Rules
from diracx_tasks.matching.node import Node
from diracx_tasks.matching.queue import Entry
from tests.unit.matching.asked import plainly_fits

CREDIT = 32
COUNTED = re.compile("([0-9]+)Processors").fullmatch


def alternatives(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Each of a record's alternatives with everything that it asks for."""
    rest = {name: value for name, value in record.items() if name != "alternatives"}
    return [{**rest, **other} for other in record.get("alternatives") or [{}]]


def cores(record: dict[str, Any]) -> int:
    """The least number of cores."""
    counted = [int(found[1]) for tag in record.get("tags", []) if (found := COUNTED(tag))]
    several = 2 if "MultiProcessor" in record.get("tags", []) else 1
    return max(int(record.get("cores", 1)), several, *counted)


def most_cores(record: dict[str, Any]) -> int:
    """The largest number of cores that it can use."""
    return max(record.get("max_cores") or 1, cores(record))


def ram(record: dict[str, Any]) -> tuple[int, int]:
    """The constant part of its memory, and that of each core."""
    per_core = grid.up("ram_per_core", record.get("ram_per_core_mb", 0))
    return grid.up("ram", record.get("ram_mb", 0 if per_core else 256)), per_core


@lru_cache(10_000)
def always_offered(tags: tuple[str, ...]) -> frozenset[str]:
    """The tags without which no node meets all the expressions; those of processors are counted as cores."""
    left = [tag for tag in tags if not COUNTED(tag)]
    names = sorted({name for tag in left for name in re.findall(r"[^&|~()\s]+", tag)})
    words = {"&": " and ", "|": " or ", "~": " not ", "(": "(", ")": ")"}
    texts = [
        "".join(words.get(one) or f"({one!r} in has)" for one in re.findall(r"[&|~()]|[^&|~()\s]+", tag))
        for tag in left
    ]
    offers = [
        {name for name, is_there in zip(names, given, strict=True) if is_there}
        for given in product([False, True], repeat=len(names))
    ]
    met = [has for has in offers if all(eval(text, {"has": has}) for text in texts)]
    return frozenset(set.intersection(*met)) if met else frozenset(names)


def known_by(record: dict[str, Any]) -> set[str]:
    """The tags that a node may require of the job."""
    found = set(always_offered(tuple(record.get("tags", []))))
    if cores(record) > 1:
        found.add("MultiProcessor")
        if most_cores(record) == cores(record):
            found.add(f"{cores(record)}Processors")
    return found


def is_whole(record: dict[str, Any]) -> bool:
    """Whether it wants the node for itself."""
    return "WholeNode" in known_by(record)


def fits(record: dict[str, Any], node: Node) -> bool:
    """Whether a node can run one alternative, and takes it."""
    return set(node.required_tags) <= known_by(record) and plainly_fits(record, node)


def welcome(job: Entry, node: Node) -> bool:
    """Whether a node takes jobs of this type, group and owner."""
    return (
        (node.job_types is None or job.job_type in node.job_types)
        and (node.groups is None or job.group in node.groups)
        and node.owner in (None, job.owner)
    )


def is_eligible(job: Entry, node: Node) -> bool:
    """Whether a node may run a job by any of its alternatives."""
    return welcome(job, node) and any(fits(one, node) for one in alternatives(dict(job.requirements)))


@dataclass
class Room:
    """What a node has left, and whether anything runs there already."""

    node: Node
    is_shared: bool = False

    @classmethod
    def of(cls, node: Node, count: int) -> "Room":
        """All of it; for several jobs its numbers are rounded as jobs are compared with them."""
        if count == 1:
            return cls(node)
        memory = None if node.ram_mb is None else grid.down("ram", node.ram_mb)
        scratch = None if node.scratch_mb is None else grid.down("scratch", node.scratch_mb)
        return cls(replace(node, ram_mb=memory, scratch_mb=scratch))

    def fits(self, record: dict[str, Any]) -> bool:
        """Whether there is room for this alternative of a job."""
        return not (self.is_shared and is_whole(record)) and fits(record, self.node)

    def granted(self, record: dict[str, Any]) -> tuple[int, int | None]:
        """How many cores and how much memory a job gets; None: what is left without limit."""
        node, (constant, per_core) = self.node, ram(record)
        if is_whole(record):
            return node.cores, node.ram_mb
        most = min(most_cores(record), node.cores)
        if per_core and node.ram_mb is not None:
            most = min(most, (node.ram_mb - constant) // per_core)
        most = max(most, cores(record))
        return most, constant + per_core * most

    def grants(self, record: dict[str, Any], taken: int, memory: int) -> bool:
        """Whether a job gets just so much; of memory without limit any amount is right."""
        expected, most = self.granted(record)
        return taken == expected and most in (None, memory)

    def use(self, record: dict[str, Any]) -> None:
        """Take away what a job gets."""
        node, (taken, memory) = self.node, self.granted(record)
        gpu = record.get("gpu")
        gpus = 0 if gpu is None or gpu == {} else gpu.get("count", {}).get("min", 1)
        scratch = grid.up("scratch", record.get("io", {}).get("scratch_mb", 0))
        self.node = replace(
            node,
            cores=node.cores - taken,
            ram_mb=None if node.ram_mb is None or memory is None else node.ram_mb - memory,
            gpus=node.gpus - gpus,
            scratch_mb=None if node.scratch_mb is None else node.scratch_mb - scratch,
        )
        self.is_shared = True


@dataclass
class Ring:
    """Who takes turns, with their passes: the lowest goes first."""

    passes: dict[str, float] = field(default_factory=dict)
    # The passes of those who have no work any more.
    left: dict[str, float] = field(default_factory=dict)
    turn: float = 0.0
    is_alone: bool = False

    def enter(self, name: str) -> None:
        """Have work again."""
        self.passes[name] = max(self.passes.get(name, 0.0), self.left.pop(name, 0.0), self.turn)

    def advance(self, name: str, weight: float) -> None:
        """Have had a turn."""
        if self.is_alone:
            return
        step, before, mine = 1 / weight, self.turn, self.passes[name]
        self.turn = max(self.turn, mine)
        self.passes[name] = max(mine, before - CREDIT * step) + step


class Reference:
    """A VO's queue: jobs by class in their order, and whose turn it is."""

    def __init__(
        self,
        tiers: dict[str, str] | None = None,
        weights: dict[str, float] | None = None,
        sharing: Iterable[str] = (),
    ) -> None:
        self.tiers, self.weights, self.sharing = tiers or {}, weights or {}, set(sharing)
        self.jobs: dict[int, Entry] = {}
        self.waits: set[int] = set()
        self.running: Counter[tuple[str, str, str]] = Counter()
        self.is_counted = False
        self.forget()

    def forget(self) -> None:
        """What a flush does."""
        self.lists: dict[Any, list[int]] = defaultdict(list)
        self.rings: dict[tuple[str, ...], Ring] = defaultdict(Ring)
        self.turns = 0
        self.waits.clear()
        self.started: Counter[tuple[str, str, str]] = Counter()
        self.is_counted = False

    def levels(self, job: Entry) -> tuple[str, str, str]:
        """Its tier, group and owner."""
        return self.tiers.get(job.job_type, "default"), job.group, job.owner

    def push(self, jobs: Iterable[Entry], *, is_return: bool = False) -> None:
        """Jobs begin to wait; those that return from a lease in front of their class."""
        of_class = defaultdict(list)
        for job in sorted(jobs, key=lambda one: one.job_id):
            self.jobs[job.job_id] = job
            if job.job_id not in self.waits:
                of_class[job.identity].append(job.job_id)
        for identity, ids in of_class.items():
            queued = self.lists[identity]
            first = queued[0] if queued else 0
            front = ids if is_return else [n for n in ids if n < first]
            self.lists[identity] = front + queued + [n for n in ids if n not in front]
            self.waits.update(ids)
            for depth, name in enumerate(() if queued else self.levels(self.jobs[ids[0]])):
                self.rings[self.levels(self.jobs[ids[0]])[:depth]].enter(name)

    def set_tiers(self, tiers: dict[str, str]) -> None:
        """Job types change their tiers; those who have work enter the rings of the new ones."""
        before, self.tiers = self.tiers, tiers
        for job in self.firsts():
            levels = self.levels(job)
            moved = before.get(job.job_type, "default") != levels[0]
            for depth, name in enumerate(levels if moved else ()):
                self.rings[levels[:depth]].enter(name)
        self._leave()

    def drop(self, job_ids: Iterable[int]) -> None:
        """Jobs wait no more; one that comes back has its old place unless it was the first."""
        self.waits.difference_update(job_ids)
        for queued in self.lists.values():
            while queued and queued[0] not in self.waits:
                queued.pop(0)
        self._leave()

    def _leave(self) -> None:
        """Who has no job any more leaves the ring."""
        alive = {self.levels(job)[: depth + 1] for job in self.firsts() for depth in range(3)}
        for above, ring in self.rings.items():
            for name in [name for name in ring.passes if (*above, name) not in alive]:
                ring.left[name] = ring.passes.pop(name)

    def firsts(self) -> Iterator[Entry]:
        """The first job of each class."""
        return (self.jobs[queued[0]] for queued in self.lists.values() if queued)

    def is_blocked(self, job: Entry, rules: Rules) -> bool:
        """Whether a limit is full or a delay has not passed; delays are for ever here."""
        about = {"type": job.job_type, "group": job.group, "owner": job.owner}
        full = any(
            about[one] == value and (not self.is_counted or self.running[scope, one, value] >= most)
            for scope, one, value, most in rules.limits
        )
        return full or any(
            about[one] == value and self.started[scope, one, value] >= burst
            for scope, one, value, _, burst in rules.delays
        )

    def next(self, room: Room, rules: Rules = Rules()) -> Entry | None:  # noqa: B008
        """The job that comes next; `take` says that it was given."""
        left = [
            job
            for job in self.firsts()
            if welcome(job, room.node)
            and any(room.fits(one) for one in alternatives(dict(job.requirements)))
            and not self.is_blocked(job, rules)
        ]
        if not left:
            return None
        entity: tuple[str, ...] = ()
        while len(entity) < 2 or (len(entity) == 2 and entity[1] not in self.sharing):
            entity = (*entity, self._turn(entity, left))
            left = [job for job in left if self.levels(job)[: len(entity)] == entity]
        self.turns += 1
        by_age = self.turns * 40503 % 65536 < 4096
        return min(left, key=lambda job: (0 if by_age else -job.priority, job.job_id))

    def take(self, job: Entry, rules: Rules = Rules()) -> None:  # noqa: B008
        """A job was given away."""
        levels = self.levels(job)
        names = ("tier:{}", "group:{1}", "owner:{1}/{2}")
        for depth in range(2 if job.group in self.sharing else 3):
            weight = self.weights.get(names[depth].format(*levels), 1.0)
            self.rings[levels[:depth]].advance(levels[depth], weight)
        self.drop([job.job_id])
        about = {"type": job.job_type, "group": job.group, "owner": job.owner}
        self.running.update({one[:3]: 1 for one in rules.limits if about[one[1]] == one[2]})
        self.started.update({one[:3]: 1 for one in rules.delays if about[one[1]] == one[2]})

    def _turn(self, above: tuple[str, ...], left: list[Entry]) -> str:
        ring, depth = self.rings[above].passes, len(above)
        self.rings[above].is_alone = len(ring) == 1
        if len(ring) == 1:
            return next(iter(ring))
        for name in sorted(ring, key=lambda one: (ring[one], one.encode())):
            if any(self.levels(job)[: depth + 1] == (*above, name) for job in left):
                return name
        raise AssertionError(f"{left} can run, but nobody's turn comes")
