"""The matcher and the reference, given the same jobs and asked by the same nodes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from diracx_tasks.core.redis import redis
from diracx_tasks.matching import keys, limits, store
from diracx_tasks.matching.match import take
from diracx_tasks.matching.node import Node, node_of
from diracx_tasks.matching.queue import Entry
from diracx_tasks.matching.specification import specifications
from diracx_tasks.matching.store import Class
from tests.unit.matching.asked import CES, FIELDS, PLATFORMS, SITES, TAGS, records
from tests.unit.matching.asked import nodes as plain_nodes
from tests.unit.matching.reference import Reference, Room, alternatives

TYPES, GROUPS, OWNERS = ["MC", "Merge", "User"], ["user", "prod", "pool"], ["alice", "bob", "carol"]
TIERS = {"Merge": "urgent"}
WEIGHTS = {"tier:urgent": 3.0, "group:prod": 2.5, "owner:user/bob": 0.1}
SHARING = ["pool"]


@dataclass(frozen=True)
class Wish:
    """What a job is to be."""

    record: dict[str, Any]
    job_type: str
    group: str
    owner: str
    priority: int

    def entry(self, job_id: int, vo: str) -> Entry:
        """The job, with its number."""
        return Entry(job_id, vo, self.job_type, self.group, self.owner, self.priority, self.record)


def _few(names: str) -> dict[str, st.SearchStrategy[Any]]:
    return {name: FIELDS[name] for name in names.split()}


# Most ask for little: of jobs that fit nowhere, and nodes that fit nothing, nothing is learnt.
light = st.fixed_dictionaries({}, optional=_few("cores max_cores ram_per_core_mb tags banned_sites"))
wishes = st.builds(
    Wish,
    st.one_of(st.just({}), light, light, records),
    st.sampled_from(TYPES),
    st.sampled_from(GROUPS),
    st.sampled_from(OWNERS),
    st.integers(0, 10),
)
ROOMY = node_of(
    site=SITES[0],
    ce=CES[0],
    cores=16,
    ram_mb=64_000,
    platform=PLATFORMS[0],
    system="Linux",
    glibc=2034,
    user_namespaces=True,
    architecture="x86_64",
    level=3,
    gpus=2,
    gpu_ram_mb=16_000,
    gpu_vendor="nvidia",
    capability=900,
    scratch_mb=1_000_000,
    lan_mbits=1000,
    tags=TAGS,
)


def _particular(node: Node, stated: dict[str, Any]) -> Node:
    given = {name: value for name, value in stated.items() if name != "required_tags"}
    required = tuple(tag for tag in node.tags if tag in stated.get("required_tags", ()))
    return replace(node, **given, required_tags=required)


PARTICULAR = {
    "site": st.sampled_from(SITES),
    "cores": st.sampled_from([2, 3, 8]),
    "ram_mb": st.sampled_from([2000, 4095, 64_000]),
    "tags": st.sampled_from([("GPU",), ("cvmfs:lhcb", "os:el9"), ()]),
    "required_tags": st.sampled_from([["GPU"], ["os:el9"], ["WholeNode"]]),
    "job_types": st.sampled_from([("MC",), ("MC", "User"), ()]),
    "groups": st.sampled_from([("prod",), ("pool", "user"), ("nobody",)]),
    "owner": st.sampled_from([*OWNERS, "nobody"]),
}
nodes = st.one_of(
    st.just(ROOMY),
    *[
        st.builds(_particular, base, st.fixed_dictionaries({}, optional=PARTICULAR))
        for base in (st.just(ROOMY), plain_nodes)
    ],
)


@dataclass(frozen=True)
class Given:
    """A job that a pilot got, what it may use, and by which of its alternatives, if that is known."""

    job_id: int
    cores: int
    ram_mb: int
    alternative: int | None = None


@dataclass
class Together:
    """A VO's queue in Redis beside the reference; each step is taken by both and compared."""

    vo: str
    reference: Reference = field(default_factory=lambda: Reference(TIERS, WEIGHTS, SHARING))
    jobs: dict[int, Entry] = field(default_factory=dict)
    leased: dict[int, tuple[str, str]] = field(default_factory=dict)
    classes: dict[Any, Class] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.set_policy()

    def set_policy(self) -> None:
        """Tell Redis of tiers, weights and groups that share."""
        set_policy(self.vo, TIERS, WEIGHTS, SHARING)

    def class_of(self, job: Entry) -> Class:
        """The job's class, with a number of its own."""
        number = len(self.classes) + 1
        return self.classes.setdefault(job.identity, Class(number, *job.identity))

    def push(self, jobs: Iterable[Entry], *, is_return: bool = False) -> None:
        """Jobs begin to wait, or return."""
        jobs = sorted(jobs, key=lambda one: one.job_id)
        of_class: dict[Class, list[int]] = {}
        for job in jobs:
            self.jobs[job.job_id] = job
            of_class.setdefault(self.class_of(job), []).append(job.job_id)
        store.push(of_class, store.Which.RETURN if is_return else store.Which.ALL)
        self.reference.push(jobs, is_return=is_return)

    def drop(self, job_ids: Sequence[int]) -> None:
        """Jobs wait no more."""
        store.drop(self.vo, {one: self.class_of(self.jobs[one]).class_no for one in job_ids})
        self.reference.drop(job_ids)

    def ask(self, node: Node, count: int = 1, *, in_turn: bool = False) -> list[int]:
        """A node asks; answers the jobs that are under a lease now."""
        taken = take(self.vo, node, count, in_turn=in_turn).taken
        given = [Given(one.job_id, one.cores, one.ram_mb, one.alternative) for one in taken]
        self.check(node, count, given, in_turn=in_turn)
        self.leased.update((one.job_id, (node.site, node.ce)) for one in taken)
        return [one.job_id for one in taken]

    def check(self, node: Node, count: int, given: Sequence[Given], *, in_turn: bool = False) -> None:
        """These jobs, in this order, with so much of the node, are what the reference gives."""
        room, rules = Room.of(node, count), limits.rules(self.vo, node.site, node.ce)
        for one in given:
            job = self.reference.next(room, rules)
            assert job is not None, f"{one} was given, and nothing is to be given"
            assert one.job_id == job.job_id
            room.use(_stated(room, job, one))
            self.reference.take(job, rules)
            if in_turn:
                room = Room.of(node, count)
        if len(given) < count:
            assert self.reference.next(room, rules) is None

    def expire(self) -> None:
        """What is under a lease returns."""
        back, self.leased = [self.jobs[one] for one in self.leased], {}
        self.push(back, is_return=True)
        assert redis().zcard(keys.leases(self.vo)) == 0

    def forget_classes(self) -> None:
        """Redis forgets the classes without jobs."""
        empty = len(store.classes(self.vo)) - sum(1 for _ in self.reference.firsts())
        assert store.forget(self.vo, store.classes(self.vo)) == empty

    def set_tiers(self, tiers: dict[str, str]) -> None:
        """Other tiers are configured."""
        store.set_tiers(self.vo, tiers)
        self.reference.set_tiers(tiers)

    def flush(self) -> None:
        """Redis forgets everything; what waited or was under a lease is queued again."""
        redis().flushall()
        self.set_policy()
        jobs = [self.jobs[one] for one in {*self.reference.waits, *self.leased}]
        self.leased.clear()
        self.reference.forget()
        self.reference.tiers = TIERS
        self.push(jobs)


def set_policy(vo: str, tiers: dict[str, str], weights: dict[str, float], sharing: Iterable[str]) -> None:
    """What `shares.recompute` tells Redis of a VO."""
    store.set_tiers(vo, tiers)
    prefix = keys.prefix(vo)
    redis().delete(f"{prefix}weights", f"{prefix}sharing")
    if weights:
        redis().hset(f"{prefix}weights", mapping={name: repr(value) for name, value in weights.items()})
    if names := list(sharing):
        redis().sadd(f"{prefix}sharing", *names)


def _stated(room: Room, job: Entry, given: Given) -> dict[str, Any]:
    """The alternative by which a job was given, as it was stated; it fits, and gets what it should get."""
    record = dict(job.requirements)
    found = alternatives(record)
    if given.alternative is not None:
        # The matcher's own number of it: it puts them into an order.
        wanted = specifications(record)[given.alternative]
        found = [one for one in found if specifications(one) == (wanted,)]
    fitting = [one for one in found if room.fits(one) and room.grants(one, given.cores, given.ram_mb)]
    assert fitting, f"{given} of {found} in {room}"
    return fitting[0]
