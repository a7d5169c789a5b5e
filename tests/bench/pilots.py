"""`python -m tests.bench pilots`: a day of LHCb-like jobs on a hundred queues, under our rule and DIRAC's.

The batch queues are simulated, what decides is `diracx_tasks/pilots`: the same functions as in production.
docs/where-pilots-are-sent.md says how to read it.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from diracx_tasks.core.scheduling import SiteDirector
from diracx_tasks.pilots.allocate import Want, allocate
from diracx_tasks.pilots.breaker import Breaker, Gate
from diracx_tasks.pilots.plan import room_of
from diracx_tasks.pilots.standing import HOUR, KEPT_WAITING, RECENT, Standing
from tests.bench.pilots_grid import Figures, QueueNow, Simulation
from tests.bench.pilots_world import World, world

JOBS = 40_000
# Ours plans every minute, DIRAC's SiteDirector every two and looks at its pilots in every tenth cycle, when
# it also learns which were aborted; such a queue is left alone for as long.
OURS, DIRACS, LOOKS = 60.0, 120.0, 1200.0
MOST = SiteDirector().MaxPilotsToSubmit
EPOCH = datetime(2026, 3, 28, tzinfo=UTC)


@dataclass
class Ours:
    """One allocation over all queues; what batch systems say is a minute old at most."""

    of: World
    stated: SiteDirector = field(default_factory=SiteDirector)
    opened: dict[int, tuple[float, float]] = field(default_factory=dict)

    def __call__(self, day: Simulation) -> Sequence[int]:
        """How many pilots each queue gets now."""
        rooms = [
            room_of(queue, self._standing(day, place), self._gate(day, place), MOST)[0]
            for place, queue in enumerate(self.of.queues)
        ]
        wants = [
            Want(self.of.classes[one].group, float(len(day.waiting[one])), self.of.at[one])
            for one in day.live
        ]
        found = allocate(wants, rooms)
        for place, (unneeded, queue) in enumerate(zip(found.unneeded, day.queues, strict=True)):
            if queue.waiting:
                count = self._standing(day, place).surplus(unneeded, is_met=found.is_met)
                day.withdraw(place, count, KEPT_WAITING)
        return found.new

    def _standing(self, day: Simulation, place: int) -> Standing:
        queue = day.queues[place]
        _forget(queue, day.now)
        return Standing(
            ages=[day.now - one.submitted for one in queue.waiting],
            running=queue.running,
            waits=[wait for _, wait in queue.waits],
            taken=len(queue.taken),
            aborted=len(queue.aborted),
        )

    def _gate(self, day: Simulation, place: int) -> Gate:
        """The breaker's rule, on what the queue did since it last changed."""
        queue, (until, backoff) = day.queues[place], self.opened.get(place, (0.0, 0.0))
        if day.now < until:
            return Gate(Breaker.OPEN)
        aborted = sum(moment >= until for moment in queue.aborted)
        started = sum(moment >= until for moment, _ in queue.waits)
        if backoff and started:
            del self.opened[place]
            return Gate()
        is_bad = aborted >= (1 if backoff else self.stated.AbortedLeast)
        if is_bad and aborted >= self.stated.AbortedFraction * (aborted + started):
            longer = min(2 * backoff, self.stated.MaxBackoffSeconds) or self.stated.BackoffSeconds
            self.opened[place] = (day.now + longer, longer)
            return Gate(Breaker.OPEN)
        return Gate(Breaker.HALF_OPEN if backoff else Breaker.CLOSED)


@dataclass
class Diracs:
    """Every queue by itself: its slots, or the jobs that match it without its waiting pilots, or 100."""

    of: World
    looked: float = 0.0
    ended: dict[int, int] = field(default_factory=dict)
    skipped: dict[int, float] = field(default_factory=dict)

    def __call__(self, day: Simulation) -> Sequence[int]:
        """How many pilots each queue gets now."""
        if day.now >= self.looked + LOOKS:
            self._look(day)
        return [self._of(day, place) for place in range(len(self.of.queues))]

    def _look(self, day: Simulation) -> None:
        self.looked = day.now
        for place, queue in enumerate(day.queues):
            queue.ended.clear()
            if queue.aborted:
                queue.aborted.clear()
                self.skipped[place] = day.now + LOOKS

    def _of(self, day: Simulation, place: int) -> int:
        if day.now < self.skipped.get(place, 0.0):
            return 0
        queue, about = day.queues[place], self.of.queues[place]
        # What has ended, or was aborted, still counts until the status is asked for again.
        waiting = len(queue.waiting) + len(queue.aborted)
        total = waiting + queue.running + len(queue.ended)
        slots = min(about.max_total - total, about.max_waiting - waiting)
        matching = sum(len(day.waiting[one]) for one in day.live if place in self.of.at[one])
        return max(0, min(slots, matching - waiting, MOST))


def main(jobs: int = JOBS) -> None:
    """Run the day under both rules and print what came of it."""
    made = world(jobs)
    cores = sum(queue.processors * slots for queue, slots in zip(made.queues, made.slots, strict=True))
    print(f"{jobs} jobs of {len(made.classes)} classes, {len(made.queues)} queues with {cores} cores")
    rules: tuple[tuple[str, float, Callable[[Simulation], Sequence[int]]], ...] = (
        ("this project", OURS, Ours(made)),
        ("DIRAC's rule", DIRACS, Diracs(made)),
    )
    print(HEADER)
    for name, every, rule in rules:
        began = time.monotonic()
        found = Simulation(made).run(every, rule)
        print(line(name, found, time.monotonic() - began), flush=True)


HEADER = (
    f"{'':14}{'jobs begun':>11}{'left':>7}{'wait p50':>10}{'p95':>9}{'mean':>9}{'pilots':>9}{'useless':>9}"
    f"{'over need':>11}{'aborted':>9}{'withdrawn':>11}{'most wait':>11}{'idle core h':>13}{'took':>8}"
)


def line(name: str, found: Figures, seconds: float) -> str:
    """The figures of one rule; waits in minutes."""
    waits = sorted(found.waits)
    p50, p95, mean = waits[len(waits) // 2], waits[int(len(waits) * 0.95)], statistics.fmean(waits)
    over = found.useless / max(1, found.submitted - found.useless - found.aborted - found.withdrawn)
    return (
        f"{name:14}{len(waits):>11}{found.left:>7}{p50 / 60:>10.1f}{p95 / 60:>9.1f}{mean / 60:>9.1f}"
        f"{found.submitted:>9}{found.useless:>9}{over:>11.1%}{found.aborted:>9}{found.withdrawn:>11}{found.most_waiting:>11}"
        f"{found.idle_core_seconds / 3600:>13.0f}{seconds:>7.1f}s"
    )


def _forget(queue: QueueNow, now: float) -> None:
    while queue.waits and queue.waits[0][0] < now - HOUR:
        queue.waits.popleft()
    for moments, seconds in ((queue.taken, RECENT), (queue.aborted, HOUR)):
        while moments and moments[0] < now - seconds:
            moments.popleft()
