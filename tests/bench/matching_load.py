"""Clients that ask the matcher for jobs as fast as they get answers, each in a process of its own."""

import multiprocessing
import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle, islice
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any, TypeAlias

from diracx_tasks.core.redis import redis
from diracx_tasks.matching import match, store
from diracx_tasks.matching.node import Node, node_of
from diracx_tasks.matching.specification import needs_json, specifications
from tests.bench.mixes import Burst, JobClass
from tests.bench.nodes import nodes
from tests.bench.population import VO

# A call of the load: how many jobs came of it.
Call: TypeAlias = Callable[[Node, int], int]
CHUNK = 100
START = 60.0
NOTHING = "return 1"
# Before the clock starts so many nodes ask, whichever clients they ask through.
WARM_UP = 2500


@dataclass(frozen=True)
class Client:
    """One process of several: what it asks for how long, and how many jobs at once."""

    what: str
    number: int
    warm_up: int
    seconds: float
    count: int


@dataclass
class Rates:
    """What some clients got in so many seconds; CPU of Redis in seconds."""

    seconds: float = 0.0
    jobs: int = 0
    empty: int = 0
    redis_cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def calls_per_s(self) -> float:
        """Answers a second, those without a job as well."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def jobs_per_s(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds if self.seconds else 0.0

    @property
    def redis_ms(self) -> float:
        """CPU of Redis for one answer, in ms; 1000 of these is the most in a second."""
        return 1000 * self.redis_cpu / len(self.latencies) if self.latencies else 0.0

    @property
    def empty_share(self) -> float:
        """The part of the answers that had no job."""
        return self.empty / len(self.latencies) if self.latencies else 0.0

    def percentile(self, percent: float) -> float:
        """So many percent of the answers came within this time, in milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def stored(of: JobClass) -> store.Class:
    """A class as the matcher knows it."""
    needs = needs_json(specifications(of.record))
    return store.Class(of.number, VO, of.job_type, of.group, of.owner, of.priority, needs)


def insert(parts: Sequence[Burst]) -> float:
    """Put all jobs into Redis in the order of their numbers; answers the seconds that it took."""
    known = {burst.of.number: stored(burst.of) for burst in parts}
    began, left = time.perf_counter(), iter(parts)
    while chunk := list(islice(left, CHUNK)):
        jobs: dict[store.Class, list[int]] = {}
        for burst in chunk:
            jobs.setdefault(known[burst.of.number], []).extend(range(burst.first, burst.first + burst.jobs))
        store.push(jobs)
    store.set_ready(VO)
    return time.perf_counter() - began


def press(what: str, clients: int, seconds: float, count: int = 1, *, warm_up: int = WARM_UP) -> Rates:
    """What clients get that all begin at once: `take` asks for `count` jobs, `nothing` for no work at all.

    Before that, nodes have asked `warm_up` times.
    """
    # Forked, so that no client spends its start on imports and nodes.
    context = multiprocessing.get_context("fork")
    _nodes()
    barrier, answers = context.Barrier(clients + 1), context.SimpleQueue()
    processes = [
        context.Process(target=_run, args=(one, barrier, answers))
        for one in (Client(what, number, warm_up // clients, seconds, count) for number in range(clients))
    ]
    for one in processes:
        one.start()
    try:
        barrier.wait(START)
        cpu = _redis_cpu()
        found = [_told(answers, processes, seconds) for _ in processes]
        cpu = _redis_cpu() - cpu
    except BrokenBarrierError:
        raise RuntimeError("a client of the matcher ended before the start") from None
    finally:
        for one in processes:
            one.join(START)
            one.kill()
    rates = Rates(max(one.seconds for one in found), sum(one.jobs for one in found), redis_cpu=cpu)
    rates.empty = sum(one.empty for one in found)
    rates.latencies = [latency for one in found for latency in one.latencies]
    return rates


def asked(seed: int = 0) -> Iterator[Node]:
    """Nodes that ask for work, for ever, in an order of one's own."""
    made = [*_nodes()]
    random.Random(seed).shuffle(made)
    return cycle(made)


@cache
def _nodes() -> list[Node]:
    return [node_of(**values) for values in nodes()]


def _redis_cpu() -> float:
    """Seconds of CPU that Redis has used, its threads with it."""
    found = redis().info("cpu")
    return sum(float(found[name]) for name in ("used_cpu_user", "used_cpu_sys"))


def _told(answers: Any, processes: Sequence[Any], seconds: float) -> Rates:
    """The next client's answer; a client that ends without one ends the measurement."""
    until = time.monotonic() + START + 2 * seconds
    while answers.empty():
        if any(one.exitcode for one in processes) or time.monotonic() > until:
            raise RuntimeError("a client of the matcher ended without an answer")
        time.sleep(0.01)
    found = answers.get()
    assert isinstance(found, Rates)
    return found


def _run(client: Client, barrier: Barrier, answers: Any) -> None:
    try:
        call, those = _CALLS[client.what](client.number), asked(client.number)
        # Connections, scripts and kinds of nodes are known before the clock starts.
        for node in islice(those, client.warm_up):
            call(node, client.count)
        barrier.wait(START)
    except BaseException:
        barrier.abort()
        raise
    answers.put(_measured(client, call, those))


def _measured(client: Client, call: Call, those: Iterator[Node]) -> Rates:
    rates, latencies = Rates(), array("d")
    began = ended = time.perf_counter()
    until = began + client.seconds
    while ended < until:
        begun = ended
        jobs = call(next(those), client.count)
        ended = time.perf_counter()
        latencies.append(ended - begun)
        rates.jobs += jobs
        rates.empty += not jobs
    rates.seconds, rates.latencies = ended - began, latencies.tolist()
    return rates


def _taking(_: int) -> Call:
    def call(node: Node, count: int) -> int:
        return len(match.take(VO, node, count).taken)

    return call


def _nothing(number: int) -> Call:
    """A script that does nothing: what Redis and its client can do at most."""
    script = redis().register_script(NOTHING)

    def call(node: Node, count: int) -> int:
        return int(script(keys=["bench"], args=[number]))

    return call


_CALLS: dict[str, Callable[[int], Call]] = {"take": _taking, "nothing": _nothing}
