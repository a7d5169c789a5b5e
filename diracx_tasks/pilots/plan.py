"""How many pilots go where: one allocation of a VO's waiting jobs over all queues, rows first.

Jobs for which pilots are planned, submitted or waiting already get no second one, at whatever queue.
"""

import math
import secrets
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, database_time, plain, utc_now
from diracx_tasks.core.many import insert_many
from diracx_tasks.core.operations import site_director
from diracx_tasks.core.unless_there import add_unless_there
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.matching.demand import Demand, demand, group_weights
from diracx_tasks.matching.limits import Limit
from diracx_tasks.matching.match import TEST
from diracx_tasks.matching.obstacles import Measured, measure
from diracx_tasks.matching.seen import Who, seen
from diracx_tasks.pilots import breaker, withdraw
from diracx_tasks.pilots.allocate import Allocation, Room, Want, allocate
from diracx_tasks.pilots.breaker import Breaker, Gate
from diracx_tasks.pilots.fits import Fits
from diracx_tasks.pilots.queues import Queue, stated
from diracx_tasks.pilots.standing import PLANNED, Standing, note_starts, standings
from diracx_tasks.pilots.tables import Pilot, Planning, Submission

# Pilots that are aborted, and tests that failed, make a queue seem so much slower; a test that failed leaves
# it a part of its room.
FAILING_COSTS, TEST_COSTS, TEST_LEAVES = 4.0, 4.0, 0.1
PILOT = (
    "PilotStamp",
    "PilotJobReference",
    "DestinationSite",
    "Queue",
    "GridSite",
    "VO",
    "GridType",
    "SubmissionTime",
    "LastUpdateTime",
    "Status",
    "StatusReason",
    "InitialJobID",
    "CurrentJobID",
    "BenchMark",
    "AccountingSent",
)


@dataclass(frozen=True)
class Line:
    """What is planned for a queue, how it stands, and what holds it back; `surplus` waiting pilots go."""

    queue: Queue
    standing: Standing
    gate: Gate
    room: Room
    new: int
    surplus: int
    words: str


@dataclass(frozen=True)
class Plan:
    """What a VO's queues get; `jobs` wait, `homeless` of them fit no queue that may be used."""

    vo: str
    jobs: int
    homeless: int
    lines: Sequence[Line]

    @property
    def new(self) -> int:
        """How many pilots are to be started."""
        return sum(line.new for line in self.lines)


def plan(db: Session, vo: str) -> Plan:
    """What would be started now; nothing is changed. Raises Unavailable when the matcher's Redis is away."""
    queues = stated(vo)
    if not queues:
        return Plan(vo, 0, 0, [])
    stands, gates = standings(db, vo), breaker.gates(db, vo)
    most = site_director(vo).MaxPilotsToSubmit
    about = [_about(one, stands.get(one.key, Standing()), gates.get(one.key, Gate()), most) for one in queues]
    # More jobs of a class than could get pilots change nothing.
    capacity = math.ceil(sum(one.room.pilots * one.queue.processors for one in about)) + 1
    waiting = demand(db, vo, capacity)
    fits = Fits(queues, seen(vo) if waiting else ())
    measured = measure(vo, {(one.site, one.ce) for one in queues})
    wants = [_want(one, fits, measured) for one in waiting]
    found = allocate(wants, [one.room for one in about], group_weights(vo), _may(measured))
    lines = [_line(one, place, found) for place, one in enumerate(about)]
    homeless = sum(one.jobs for one, want in zip(waiting, wants, strict=True) if not want.at)
    return Plan(vo, sum(one.jobs for one in waiting), homeless, lines)


def plan_pilots(db: Session, vo: str) -> Plan:
    """Plan a VO's pilots, write them down as Planned, and have them submitted after this transaction.

    Those that wait and that nobody needs are withdrawn.

    Of two who do so at once the second counts what the first has planned. Two who do so for the first time
    ever may end each other's transactions: call it `patiently`.
    """
    _hold(db, vo)
    note_starts(db, vo)
    breaker.judge(db, vo)
    db.flush()
    found = plan(db, vo)
    write(db, vo, {line.queue: line.new for line in found.lines if line.new})
    for line in found.lines:
        if line.surplus:
            withdraw.withdraw(db, vo, line.queue.key, line.surplus)
    return found


def _hold(db: Session, vo: str) -> None:
    """Wait until nobody else plans for the VO, and let nobody do so until the transaction ends."""
    held = update(Planning).where(Planning.vo == vo).values(planned_at=utc_now())
    if not changed(db, held):
        add_unless_there(db, Planning, [{"VO": vo, "PlannedAt": database_time(db)}])
        changed(db, held)


def write(db: Session, vo: str, new: dict[Queue, int]) -> list[str]:
    """Rows of pilots that are to be submitted; answers their stamps."""
    moment = database_time(db)
    pilots, submissions = [], []
    for queue, count in new.items():
        for _ in range(count):
            stamp = secrets.token_hex(16)
            place = (queue.ce, queue.name, queue.site, vo, queue.ce_type)
            times = (moment.replace(microsecond=0),) * 2
            pilots.append((stamp, stamp, *place, *times, PLANNED, "planned", 0, 0, 0.0, "False"))
            submissions.append((stamp, vo, queue.ce, queue.name, moment, 0))
        enqueue(db, "pilots.submit_pilots", f"ce-{vo}/{queue.ce}.submit", vo=vo, ce=queue.ce)
    insert_many(db, plain(Pilot), PILOT, pilots)
    names = ("PilotStamp", "VO", "CE", "Queue", "PlannedAt", "ToKill")
    insert_many(db, plain(Submission), names, submissions)
    return [row[0] for row in submissions]


@dataclass(frozen=True)
class _About:
    queue: Queue
    standing: Standing
    gate: Gate
    room: Room
    words: str


def room_of(queue: Queue, standing: Standing, gate: Gate, most: int) -> tuple[Room, str]:
    """What a queue takes now, of at most so many, and in words what holds it back."""
    waiting, running = standing.waiting, standing.running
    free = min(queue.max_waiting - waiting, queue.max_total - waiting - running)
    words = (
        f"{waiting} wait and {running} run of {queue.max_waiting} and {queue.max_total}" if free < 1 else ""
    )
    if standing.is_stuck:
        free, words = 0, f"{standing.late} have waited for long and none has started within the hour"
    if gate.test:
        free, words = math.ceil(free * TEST_LEAVES), f"its last test failed: {gate.test}"
    if gate.breaker is Breaker.HALF_OPEN:
        free, words = min(free, 1 - waiting), f"one pilot tries whether it works again: {gate.reason}"
    if gate.breaker is Breaker.OPEN:
        until = f"{gate.until:%Y-%m-%d %H:%M} UTC" if gate.until else ""
        free, words = 0, f"no pilots until {until}: {gate.reason}"
    if queue.barred:
        # For a test of it only: other jobs are not counted there.
        free, words = min(free, 1 - waiting), queue.barred
    cost = standing.wait * (1 + FAILING_COSTS * standing.failing) * (TEST_COSTS if gate.test else 1)
    turns = standing.turns(queue.processors)
    return Room(standing.coming, max(0, min(free, most)), cost, turns, queue.processors), words


def _about(queue: Queue, standing: Standing, gate: Gate, most: int) -> _About:
    room, words = room_of(queue, standing, gate, most)
    return _About(queue, standing, gate, room, words)


def _line(one: _About, place: int, found: Allocation) -> Line:
    surplus = one.standing.surplus(found.unneeded[place], is_met=found.is_met)
    return Line(one.queue, one.standing, one.gate, one.room, found.new[place], surplus, one.words)


def _want(one: Demand, fits: Fits, measured: Measured) -> Want:
    usable = fits.of(one.of)
    if one.of.job_type != TEST:
        # As in the matcher: where other jobs may not go, tests may.
        usable = {place: count for place, count in usable.items() if not fits.queues[place].barred}
    who = Who(one.of.job_type, one.of.group, one.of.owner).attributes
    limits = {place: _limits(fits.queues[place], measured, who) for place in usable}
    return Want(
        one.of.group, float(one.jobs), usable, {place: found for place, found in limits.items() if found}
    )


def _limits(queue: Queue, measured: Measured, who: Mapping[str, str]) -> list[Limit]:
    """The running limits that jobs of somebody are counted under at a queue."""
    rules = measured.rules[queue.site, queue.ce]
    return [limit for limit in rules.limits if who[limit[1]] == limit[2]]


def _may(measured: Measured) -> dict[Hashable, float]:
    """How many more jobs each running limit lets run; as many as you like while that is not counted."""
    return {
        limit: math.inf if running is None else max(0.0, limit[3] - running)
        for limit, running in measured.running.items()
    }
