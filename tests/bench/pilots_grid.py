"""Simulated batch queues on a day of jobs: pilots wait, start, run jobs, idle and end."""

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.lhcb import SEED
from tests.bench.pilots_world import DAY, POWER, Burst, World

# A pilot that finds nothing for so long ends.
IDLE = 300.0


@dataclass(eq=False)
class SimulatedPilot:
    """One pilot; `free` are its cores without a job, `ends` is when its time is over."""

    queue: int
    submitted: float
    free: int = 0
    ends: float = 0.0
    ran: int = 0
    since: float = 0.0
    is_over: bool = False


@dataclass
class QueueNow:
    """A batch queue at a moment, and what happened there lately."""

    free_slots: int
    waiting: deque[SimulatedPilot] = field(default_factory=deque)
    running: int = 0
    idle: dict[SimulatedPilot, None] = field(default_factory=dict)
    waits: deque[tuple[float, float]] = field(default_factory=deque)
    taken: deque[float] = field(default_factory=deque)
    aborted: deque[float] = field(default_factory=deque)
    ended: deque[float] = field(default_factory=deque)
    wakes: bool = False


@dataclass
class Figures:
    """What a day came to, times in s; `useless` pilots began and got no job, `left` jobs had no pilot.

    `with_room` of those fit a queue that had a free slot when pilots were sent for the last time.
    """

    waits: list[float] = field(default_factory=list)
    submitted: int = 0
    useless: int = 0
    aborted: int = 0
    withdrawn: int = 0
    idle_core_seconds: float = 0.0
    left: int = 0
    with_room: int = 0
    most_waiting: int = 0


class Simulation:
    """One day under one rule."""

    def __init__(self, of: World) -> None:
        self.world, self.now, self.figures = of, 0.0, Figures()
        self.queues = [QueueNow(slots) for slots in of.slots]
        self.waiting: list[deque[float]] = [deque() for _ in of.classes]
        # Classes with jobs, those that began to wait first before others.
        self.live: dict[int, None] = {}
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        # The queues without a free slot when pilots were sent last.
        self._full: set[int] = set()
        self._chance = random.Random(SEED)

    def at(self, moment: float, what: Callable[..., None], *arguments: Any) -> None:
        """Have something happen at a moment."""
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, what, arguments))

    def run(self, every: float, rule: Callable[["Simulation"], Sequence[int]]) -> Figures:
        """The figures of a day on which pilots are sent by a rule every so many seconds."""
        for burst in self.world.arrivals:
            self.at(burst.at, self._arrive, burst)
        for number in range(int(DAY / every)):
            self.at(number * every, self._plan, rule)
        while self._events:
            self.now, _, what, arguments = heapq.heappop(self._events)
            what(*arguments)
        self.figures.left = sum(map(len, self.waiting))
        self.figures.with_room = sum(
            len(self.waiting[one]) for one in self.live if not self._full.issuperset(self.world.at[one])
        )
        return self.figures

    def _count_idle(self, pilot: SimulatedPilot) -> None:
        self.figures.idle_core_seconds += pilot.free * (self.now - pilot.since)
        pilot.since = self.now

    def withdraw(self, place: int, count: int, seconds: float) -> None:
        """Take so many of the last pilots out of a queue that have waited for so many seconds."""
        queue = self.queues[place]
        old = [one for one in queue.waiting if self.now - one.submitted > seconds]
        gone = set(old[len(old) - count :]) if count > 0 else set()
        queue.waiting = deque(one for one in queue.waiting if one not in gone)
        self.figures.withdrawn += len(gone)

    def _plan(self, rule: Callable[["Simulation"], Sequence[int]]) -> None:
        for place, count in enumerate(rule(self)):
            if count:
                self.figures.submitted += count
                queue = self.queues[place]
                queue.waiting.extend(SimulatedPilot(place, self.now) for _ in range(count))
                self._wake(place)
        self._full = {place for place, one in enumerate(self.queues) if not one.free_slots}
        waiting = sum(len(one.waiting) for one in self.queues)
        self.figures.most_waiting = max(self.figures.most_waiting, waiting)

    def _arrive(self, burst: Burst) -> None:
        self.waiting[burst.class_no].extend([self.now] * burst.jobs)
        self.live.setdefault(burst.class_no)
        for place in self.world.at[burst.class_no]:
            for pilot in list(self.queues[place].idle):
                self._match(pilot)
            if burst.class_no not in self.live:
                return

    def _wake(self, place: int) -> None:
        """Start what may be started, and come again when the next one may."""
        queue, pause = self.queues[place], self.world.pauses[place]
        queue.wakes = False
        while queue.waiting and queue.free_slots and queue.waiting[0].submitted + pause <= self.now:
            self._start(place, queue.waiting.popleft())
        if queue.waiting and queue.free_slots and not queue.wakes:
            queue.wakes = True
            self.at(queue.waiting[0].submitted + pause, self._wake, place)

    def _start(self, place: int, pilot: SimulatedPilot) -> None:
        queue, about = self.queues[place], self.world.queues[place]
        begin, end = self.world.broken.get(place, (DAY, DAY))
        if begin <= self.now < end:
            self.figures.aborted += 1
            queue.aborted.append(self.now)
            return
        queue.free_slots -= 1
        queue.running += 1
        queue.waits.append((self.now, self.now - pilot.submitted))
        pilot.since, pilot.free = self.now, about.processors
        pilot.ends = self.now + (about.max_cpu_seconds or DAY) / POWER
        self._match(pilot)

    def _match(self, pilot: SimulatedPilot) -> None:
        """Take jobs while there are such for its free cores; a pilot without any waits for a while."""
        queue = self.queues[pilot.queue]
        while pilot.free and (class_no := self._fitting(pilot)) is not None:
            self._take(pilot, class_no)
        if not pilot.free:
            queue.idle.pop(pilot, None)
        elif pilot not in queue.idle:
            queue.idle[pilot] = None
        if pilot.free == self.world.queues[pilot.queue].processors:
            self.at(self.now + IDLE, self._give_up, pilot, pilot.ran)

    def _fitting(self, pilot: SimulatedPilot) -> int | None:
        """A class that the pilot can run: a group by lot, as equal shares are, the oldest of its classes."""
        left, found = (pilot.ends - self.now) * POWER + 1, dict[str, int]()
        for class_no in self.live:
            if pilot.queue in self.world.at[class_no] and self.world.cpu_times[class_no] <= left:
                found.setdefault(self.world.classes[class_no].group, class_no)
        return self._chance.choice(list(found.values())) if found else None

    def _take(self, pilot: SimulatedPilot, class_no: int) -> None:
        jobs = self.waiting[class_no]
        self.figures.waits.append(self.now - jobs.popleft())
        if not jobs:
            del self.live[class_no]
        if pilot.ran:
            self.queues[pilot.queue].taken.append(self.now)
        self._count_idle(pilot)
        pilot.ran += 1
        pilot.free -= 1
        seconds = self.world.cpu_times[class_no] / POWER * self._chance.uniform(0.2, 0.8)
        self.at(self.now + seconds, self._finish, pilot)

    def _finish(self, pilot: SimulatedPilot) -> None:
        self._count_idle(pilot)
        pilot.free += 1
        self._match(pilot)

    def _give_up(self, pilot: SimulatedPilot, ran: int) -> None:
        """End a pilot that has been without a job since it had run so many."""
        is_idle = pilot.free == self.world.queues[pilot.queue].processors
        if pilot.is_over or not is_idle or pilot.ran != ran:
            return
        pilot.is_over = True
        queue = self.queues[pilot.queue]
        queue.idle.pop(pilot, None)
        queue.free_slots += 1
        queue.running -= 1
        queue.ended.append(self.now)
        self.figures.useless += not pilot.ran
        self._count_idle(pilot)
        self._wake(pilot.queue)
