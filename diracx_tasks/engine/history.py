"""What ran, when, how long, how it ended: written in batches, and counted for Prometheus.

Failures are written at once. Of small tasks that went well a process keeps `FULL` a second and one in
`ONE_IN` of the rest, with its weight; nothing that must happen depends on any of it.
"""

import atexit
import logging
import os
import threading
import time
from collections import Counter
from datetime import datetime
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, session, utc_now
from diracx_tasks.core.redis import redis
from diracx_tasks.engine.tables import TaskRun

log = logging.getLogger(__name__)
DONE, FAILED, DEAD, REVOKED = "Done", "Failed", "Dead", "Revoked"
PERIOD = 2.0
FULL = 20
ONE_IN = 10
MOST = 10_000
PAGE = 5_000
COUNTERS = "diracx:engine:counters"
# Upper bounds of the histogram of run times in seconds.
BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
Row = dict[str, Any]


def note(row: Row, *, is_small: bool) -> None:
    """Keep a run that went well, when its turn comes."""
    _BUFFER.count(row["task"], row["outcome"], row["seconds"])
    weight = _BUFFER.weight() if is_small else 1
    if weight:
        _BUFFER.add({**row, "weight": weight})


def write(db: Session, row: Row) -> None:
    """Keep a run that failed, in this transaction."""
    _BUFFER.count(row["task"], row["outcome"], row["seconds"])
    db.execute(insert(TaskRun), [row])


def flush() -> None:
    """Write what waits; for processes that end."""
    _BUFFER.flush()


def errors(db: Session, key: str, since: datetime | None = None) -> list[Row]:
    """Every failed try of a task, oldest first."""
    query = select(TaskRun).where(TaskRun.key == key, TaskRun.outcome != DONE).order_by(TaskRun.run_id)
    rows = db.scalars(query.where(TaskRun.started_at >= since) if since else query)
    return [
        {"at": f"{row.started_at.isoformat()}Z", "try": row.tries, "worker": row.worker, "error": row.words}
        for row in rows
    ]


def of_key(db: Session, key: str, limit: int = 100) -> list[TaskRun]:
    """The runs under a key, newest first."""
    query = select(TaskRun).where(TaskRun.key == key)
    return list(db.scalars(query.order_by(TaskRun.run_id.desc()).limit(limit)))


def children(db: Session, key: str, limit: int = 100) -> list[str]:
    """Keys of what the runs under a key have asked for."""
    return list(db.scalars(select(TaskRun.key).where(TaskRun.parent == key).distinct().limit(limit)))


def search(
    db: Session,
    *,
    task: str | None = None,
    outcome: str | None = None,
    subject: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[TaskRun]:
    """Runs that fit, newest first; `before` is the number of the last one seen."""
    query = select(TaskRun).order_by(TaskRun.run_id.desc()).limit(limit)
    given = ((TaskRun.task, task), (TaskRun.outcome, outcome), (TaskRun.subject, subject))
    for column, value in given:
        query = query.where(column == value) if value else query
    return list(db.scalars(query.where(TaskRun.run_id < before) if before else query))


def clean(db: Session, days: float) -> int:
    """Forget a page of runs that are older; answers how many."""
    oldest = select(TaskRun.run_id).where(TaskRun.started_at < utc_now(-days * 86400)).limit(PAGE)
    ids = list(db.scalars(oldest))
    return changed(db, delete(TaskRun).where(TaskRun.run_id.in_(ids))) if ids else 0


def counters() -> dict[tuple[str, str, str], float]:
    """What all workers counted, by (what, task, outcome or bucket); since Redis last lost its memory."""
    found = {}
    for name, value in redis().hgetall(COUNTERS).items():
        what, task, label = str(name).split("|")
        found[what, task, label] = float(value)
    return found


class _Buffer:
    """What one process has not written yet, and the thread that writes it."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.pid = os.getpid()
        self.rows: list[Row] = []
        self.counts: Counter[str] = Counter()
        self.second, self.kept, self.passed = 0, 0, 0
        self.lock, self.writing = threading.Lock(), threading.Lock()
        self.is_started = False

    def add(self, row: Row) -> None:
        self._start()
        with self.lock:
            if len(self.rows) < MOST:
                self.rows.append(row)

    def count(self, task: str, outcome: str, seconds: float) -> None:
        self._start()
        with self.lock:
            self.counts[f"runs|{task}|{outcome}"] += 1
            self.counts[f"seconds|{task}|sum"] += seconds  # type: ignore[assignment]
            bound = next((one for one in BUCKETS if seconds <= one), None)
            self.counts[f"bucket|{task}|{bound or '+Inf'}"] += 1

    def weight(self) -> int:
        """How many runs the next row stands for; 0: it is not kept."""
        second = int(time.monotonic())
        if second != self.second:
            self.second, self.kept = second, 0
        self.kept += 1
        if self.kept <= FULL:
            return 1
        self.passed = (self.passed + 1) % ONE_IN
        return 0 if self.passed else ONE_IN

    def flush(self) -> None:
        if self.pid != os.getpid():
            return
        # Who flushes at the end of a process waits for what its thread is just writing.
        with self.writing:
            with self.lock:
                rows, counts = self.rows, self.counts
                self.rows, self.counts = [], Counter()
            self._write(rows, counts)

    def _write(self, rows: list[Row], counts: "Counter[str]") -> None:
        try:
            if rows:
                with session() as db:
                    db.execute(insert(TaskRun), rows)
        except SQLAlchemyError as error:
            log.warning("%d runs are missing in the history: %s", len(rows), error)
        try:
            if counts:
                pipeline = redis().pipeline(transaction=False)
                for name, value in counts.items():
                    pipeline.hincrbyfloat(COUNTERS, name, value)
                pipeline.execute()
        except RedisError as error:
            log.warning("%d runs are not counted: %s", len(counts), error)

    def _start(self) -> None:
        if self.pid != os.getpid():
            self._forget()
        if not self.is_started:
            self.is_started = True
            threading.Thread(target=self._work, daemon=True, name="history").start()

    def _work(self) -> None:
        pause = threading.Event()
        while not pause.wait(PERIOD):
            try:
                self.flush()
            except Exception:
                log.exception("the history goes on without some runs")


_BUFFER = _Buffer()
atexit.register(flush)
