"""What is looked at while jobs live and when they have ended: counts, statements, CPU, histories."""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import BindParameter, Double, bindparam, cast, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from diracx_tasks.accounting.tables import UsageHour, UsageRecord
from diracx_tasks.core.database import reading, session
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs.states import FINAL
from diracx_tasks.jobs.tables import Attempt, Job, JobEvent, ToCount
from diracx_tasks.matching.tables import Queued
from tests.bench.lifecycle_model import Event, Life
from tests.bench.lifecycle_system import System

PAGE = 5000
# Of so many jobs the latencies are taken.
SAMPLED = 20_000
GOING_ON = ("Received", "Waiting", "Matched", "Running", "Stalled")
END = "end"
STEPS = {
    ("Received", "Waiting"): "submit to Waiting",
    ("Waiting", "Matched"): "Waiting to Matched",
    ("Matched", "Running"): "Matched to Running",
    ("Running", END): "Running to the end",
}
COUNTED = [
    *("Com_select", "Com_insert", "Com_insert_select", "Com_update", "Com_update_multi"),
    *("Com_delete", "Com_delete_multi", "Com_commit", "Questions"),
]
PERIODIC = ("jobs.check_stalled", "matching.expire_leases", "matching.reconcile")
log = logging.getLogger(__name__)
NAMES: BindParameter[Any] = bindparam("names", COUNTED, expanding=True)


@dataclass
class Watch:
    """Figures that grow while a system runs, also when its parts are killed and begin anew."""

    system: System
    cpu: dict[tuple[str, int], float] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    # Statements: what earlier servers had, and what this one has.
    before: dict[str, int] = field(default_factory=dict)
    now: dict[str, int] = field(default_factory=dict)
    looks: int = 0
    cpu_begun: dict[tuple[str, int], float] = field(default_factory=dict)
    statements_begun: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Count from now on."""
        self.look()
        self.cpu_begun, self.statements_begun = dict(self.cpu), dict(self.now)
        self.most.clear()
        self.looks = 0

    def look(self) -> dict[str, int]:
        """Take down what there is; answers how many jobs are in each status in which they do not stay."""
        for name, pids in self.system.pids().items():
            for pid in pids:
                for one, spent in _cpu(pid):
                    self.cpu[name, one] = spent
        if self.system.mariadb is not None:
            with reading() as db:
                self._note(_statements(db))
        found = waiting()
        self.looks += 1
        for status, jobs in found.items():
            self.most[status] = max(self.most.get(status, 0), jobs)
        return found

    def cpu_seconds(self) -> dict[str, float]:
        """What each part has used since the beginning, in s."""
        found: dict[str, float] = defaultdict(float)
        for (name, pid), spent in self.cpu.items():
            found[name] += spent - self.cpu_begun.get((name, pid), 0.0)
        return dict(found)

    def statements(self) -> dict[str, int]:
        """How many of each kind the database has carried out since, without ours."""
        total = {
            name: self.before.get(name, 0) + number - self.statements_begun.get(name, 0)
            for name, number in self.now.items()
        }
        # Each look is one SHOW and one SELECT.
        for name, ours in (("Questions", 2), ("Com_select", 1)):
            if name in total:
                total[name] -= ours * self.looks
        return total

    def _note(self, found: Mapping[str, int]) -> None:
        if found.get("Questions", 0) < self.now.get("Questions", 0):
            self.before = {name: self.before.get(name, 0) + number for name, number in self.now.items()}
        self.now = dict(found)


def waiting() -> dict[str, int]:
    """How many jobs are in each status in which they do not stay."""
    query = select(Job.status, func.count()).where(Job.status.in_(GOING_ON)).group_by(Job.status)
    with reading() as db:
        return dict(db.execute(query).all())


def hurry() -> None:
    """Have the tasks run now that find what was lost: nobody has to wait for their time to come."""
    try:
        with session() as db:
            for task in PERIODIC:
                enqueue(db, task, task)
    except SQLAlchemyError:
        log.info("the database is away")


def count_all(seconds: float) -> bool:
    """Have every attempt that has ended accounted for; False when that takes longer than so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with session() as db:
            left = db.scalar(select(func.count()).select_from(ToCount))
            if not left:
                return True
            enqueue(db, "accounting.gather", "accounting.gather")
        time.sleep(0.5)
    return False


def lives() -> dict[int, Life]:
    """Everything of every job that the model has an opinion on."""
    found: dict[int, Life] = {}
    with reading() as db:
        last = 0
        while page := _page(db, last):
            found |= page
            last = max(page)
    return found


def left_over() -> list[str]:
    """What must be empty or equal when all jobs have ended, in words."""
    with reading() as db:
        going_on = db.scalar(select(func.count()).select_from(Job).where(Job.status.not_in(FINAL)))
        queued = db.scalar(select(func.count()).select_from(Queued))
        attempts = db.scalar(select(func.count()).select_from(Attempt))
        is_open = db.scalar(select(func.count()).select_from(Attempt).where(Attempt.ended_at.is_(None)))
        summed = db.execute(select(func.sum(UsageHour.attempts), func.sum(UsageHour.cpu_seconds))).one()
        used = db.scalar(select(func.sum(UsageRecord.cpu_seconds))) or 0.0
    wrong = [
        f"{number} {words}"
        for number, words in (
            (going_on, "jobs have not ended"),
            (queued, "jobs are queued"),
            (is_open, "attempts are open"),
        )
        if number
    ]
    if int(summed[0] or 0) != attempts:
        wrong.append(f"{summed[0]} attempts are in the sums, there are {attempts}")
    if abs(float(summed[1] or 0) - used) > 1:
        wrong.append(f"{summed[1]} s of CPU are in the sums, {used} in the records")
    return wrong


def ends_told(paths: list[Path]) -> tuple[dict[int, dict[int, str]], list[str]]:
    """The ends that pilots know to be stored, by job and attempt, and what they took to be wrong."""
    found: dict[int, dict[int, str]] = defaultdict(dict)
    wrong = []
    for line in (line for path in paths if path.exists() for line in path.read_text().splitlines(True)):
        if line.startswith("wrong: "):
            wrong.append(line.strip())
        # The last line of pilots that were killed may not be whole.
        elif line.endswith("\n"):
            job_id, attempt, status = line.split()
            found[int(job_id)][int(attempt)] = status
    return found, wrong


def latencies(jobs: int) -> dict[str, tuple[float, float]]:
    """Of each step the median and the 95th percentile in s, from the histories of a part of the jobs."""
    spent: dict[str, list[float]] = {name: [] for name in STEPS.values()}
    query = select(JobEvent.job_id, JobEvent.status, cast(JobEvent.order, Double).label("at"))
    part = query.where(JobEvent.job_id % max(1, jobs // SAMPLED) == 0)
    with reading() as db:
        rows = db.execute(part.order_by(JobEvent.job_id, JobEvent.order, JobEvent.number))
        for _, history in groupby(rows, key=lambda row: row.job_id):
            firsts = [next(alike) for _, alike in groupby(history, key=lambda row: row.status)]
            for before, after in pairwise(firsts):
                step = (before.status, END if after.status in FINAL else after.status)
                if step in STEPS:
                    spent[STEPS[step]].append(after.at - before.at)
    return {name: (_percentile(found, 50), _percentile(found, 95)) for name, found in spent.items()}


def _page(db: Session, last: int) -> dict[int, Life]:
    """The next jobs after one."""
    jobs = select(Job.job_id, Job.status, Job.minor_status, Job.attempt).where(Job.job_id > last)
    found = {row[0]: Life(*row[1:]) for row in db.execute(jobs.order_by(Job.job_id).limit(PAGE))}
    if not found:
        return found
    first, end = min(found), max(found)
    attempts = select(Attempt.job_id, Attempt.attempt, Attempt.status)
    for job_id, attempt, status in db.execute(attempts.where(Attempt.job_id.between(first, end))):
        found[job_id].attempts[attempt] = status
    stated = (UsageRecord.status, UsageRecord.measured, UsageRecord.cpu_seconds)
    records = select(UsageRecord.job_id, UsageRecord.attempt, *stated)
    for job_id, attempt, status, measured, used in db.execute(
        records.where(UsageRecord.job_id.between(first, end))
    ):
        found[job_id].records[attempt] = status, used if measured else None
    texts = (JobEvent.status, JobEvent.minor_status, JobEvent.application_status)
    events = select(JobEvent.job_id, *texts, cast(JobEvent.order, Double), JobEvent.source)
    written = events.where(JobEvent.job_id.between(first, end)).order_by(JobEvent.job_id, JobEvent.number)
    for row in db.execute(written):
        found[row[0]].events.append(Event(*row[1:]))
    return found


def _statements(db: Session) -> dict[str, int]:
    found = db.execute(text("SHOW GLOBAL STATUS WHERE Variable_name IN :names").bindparams(NAMES))
    return {name: int(value) for name, value in found}


def _cpu(pid: int) -> Iterator[tuple[int, float]]:
    """CPU seconds of a process and those below it; none of what has ended."""
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            yield one.pid, sum(one.cpu_times()[:2])
    except psutil.NoSuchProcess:
        return


def _percentile(found: list[float], percent: float) -> float:
    ordered = sorted(found)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
