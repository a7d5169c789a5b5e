"""What becomes of simulated jobs, in plain Python: a pure function of a seed, and what is wrong with others.

Nothing here knows the server. A job's fate is drawn from its number: the same at each call, in each process.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

DONE = ("Done", "Execution Complete")
FAILED = ("Failed", "Application Finished With Errors")
KILLED = ("Killed", "Marked for termination")
LOST = ("Failed", "Maximum of reschedulings reached")
RESCHEDULED = "Rescheduled"
# How far a pilot comes with an attempt that it loses.
STAGES = ("Matched", "Running", "Beaten", "Application")
# Of ten thousand jobs.
FAIL, KILL, LOSE, DOOM = 800, 50, 300, 30
MINOR_STEPS = ("Events processed: 1000", "Events processed: 2000")


class Fate(NamedTuple):
    """How a job ends, and how many attempts before that are lost with their pilots."""

    status: str
    minor: str
    losses: int

    @property
    def attempts(self) -> int:
        """How many there are when nothing else is lost."""
        return self.losses + (self.minor != LOST[1])


class Event(NamedTuple):
    """One line of a job's history; `order` is its time."""

    status: str
    minor: str
    application: str
    order: float
    source: str


@dataclass
class Life:
    """What the database has of one job: attempts and usage records by number, the history as it was written.

    A record is the status, and the CPU seconds that were measured or None.
    """

    status: str = ""
    minor: str = ""
    attempt: int = 0
    attempts: dict[int, str] = field(default_factory=dict)
    records: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True)
class Model:
    """Fates of a run; with faults some pilots are lost, with `kills` more than the model knows of may be."""

    seed: int
    reschedules: int
    faults: bool = False
    kills: bool = False

    def fate(self, job_id: int) -> Fate:
        """How a job ends."""
        losses = self._draw(job_id, "pilot") if self.faults else LOSE
        if losses < DOOM:
            return Fate(*LOST, self.reschedules + 1)
        drawn = self._draw(job_id, "end")
        end = FAILED if drawn < FAIL else KILLED if drawn < FAIL + KILL else DONE
        return Fate(*end, int(losses < LOSE))

    def loses(self, job_id: int, attempt: int) -> str:
        """After which stage the pilot of an attempt is lost; empty: it is not."""
        fate = self.fate(job_id)
        if attempt > fate.losses:
            return ""
        # A job that ends its pilots does so at once.
        return STAGES[0 if fate[:2] == LOST else self._draw(job_id, "stage") % len(STAGES)]

    def cpu_seconds(self, job_id: int, attempt: int) -> float:
        """What an attempt that comes to its end uses."""
        return float(self._draw(job_id, f"cpu {attempt}"))

    def wrong(self, job_id: int, life: Life, told: Mapping[int, str]) -> Iterator[str]:
        """What is not as it must be; `told` are the ends, by attempt, that the server has acknowledged."""
        fate, last = self.fate(job_id), max(life.attempts, default=0)
        if (life.status, life.minor) != fate[:2]:
            yield f"is {life.status} ({life.minor}), must be {fate.status} ({fate.minor})"
        if sorted(life.attempts) != list(range(1, life.attempt + 1)):
            yield f"has the attempts {sorted(life.attempts)}, is on {life.attempt}"
        if last < fate.attempts or (last > fate.attempts and not self.kills):
            yield f"has {last} attempts, must have {fate.attempts}"
        ends = {one: life.status if one == last else RESCHEDULED for one in life.attempts}
        if life.attempts != ends:
            yield f"has attempts that ended {life.attempts}, must be {ends}"
        if any((one, status) != (last, life.status) for one, status in told.items()):
            yield f"ended as {dict(told)} for its pilots, is {life.status} on attempt {last}"
        yield from self._wrong_records(job_id, life, told)
        yield from self._wrong_history(life)

    def _wrong_records(self, job_id: int, life: Life, told: Mapping[int, str]) -> Iterator[str]:
        if {one: status for one, (status, _) in life.records.items()} != life.attempts:
            yield f"is accounted for as {life.records}, its attempts are {life.attempts}"
        for attempt, (status, used) in life.records.items():
            wanted = self.cpu_seconds(job_id, attempt) if life.minor in (DONE[1], FAILED[1]) else None
            wanted = wanted if status in ("Done", "Failed") else None
            if used != wanted:
                yield f"has used {used} s in attempt {attempt}, must be {wanted}"

    def _wrong_history(self, life: Life) -> Iterator[str]:
        twice = [event for event, times in Counter(life.events).items() if times > 1]
        if twice:
            yield f"has events that are recorded twice: {twice[:3]}"
        times = Counter(event.status for event in life.events)
        expected = {"Matched": life.attempt, RESCHEDULED: life.attempt - 1, life.status: 1}
        for status, number in expected.items():
            if times[status] != number:
                yield f"has {times[status]} events {status}, must have {number}"
        if not life.events or life.events[0].status != "Received":
            yield "does not begin as Received"

    def _draw(self, job_id: int, what: str) -> int:
        """A number below ten thousand."""
        digest = hashlib.blake2b(f"{self.seed} {what} {job_id}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) % 10_000


def differences(
    model: Model, lives: Mapping[int, Life], told: Mapping[int, Mapping[int, str]], wanted: int
) -> Sequence[str]:
    """Each difference between the database and the model in words; none when all is as it must be."""
    found = [
        f"job {job_id} {words}"
        for job_id, life in lives.items()
        for words in model.wrong(job_id, life, told.get(job_id, {}))
    ]
    if len(lives) != wanted:
        found.insert(0, f"{wanted} jobs were submitted, {len(lives)} are there")
    return found
