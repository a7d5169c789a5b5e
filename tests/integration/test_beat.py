"""Two real beats on MariaDB and Redis: each time is enqueued once, one goes on when the other dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.engine import schedules
from diracx_tasks.engine.tables import Leader, Outbox, Schedule
from tests.servers import MariaDB, Redis
from tests.system import wait_for
from tests.unit.engine.scheduled import an_own_database, entry

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
TASK = "jobs.check_stalled"
EACH_SECOND = f"Operations: {{Defaults: {{Tasks: {{{TASK}: {{every: 1}}}}}}}}"
EACH_HOUR = f"Operations: {{Defaults: {{Tasks: {{{TASK}: {{every: 3600}}}}}}}}"


@dataclass
class Beats:
    """Processes of `celery beat`; no worker runs."""

    folder: Path
    environment: dict[str, str]
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        """One more."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("DIRACX_")}
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "diracx_tasks", "beat", "--pidfile=", "-l", "info"],
                env={**others, **self.environment},
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self.processes[process.pid] = process

    def end(self, pid: int, how: signal.Signals) -> None:
        """Send one a signal and wait until it is gone."""
        process = self.processes.pop(pid)
        process.send_signal(how)
        process.wait(60)

    @property
    def leader(self) -> int | None:
        """Who leads now, by its process id."""
        with database.reading() as db:
            found = schedules.leader(db)
        return int(found[0].rpartition("-")[2]) if found and found[1] else None

    @property
    def log(self) -> str:
        """What they printed."""
        return (self.folder / "log").read_text()

    def wait_for_leader(self) -> int:
        """Who leads, as soon as one of those that run does."""
        wait_for(lambda: self.leader in self.processes, 60, lambda: self.log[-5000:])
        assert self.leader
        return self.leader


@pytest.fixture
def beats(mariadb: MariaDB, redis_server: Redis, tmp_path: Path) -> Iterator[Beats]:
    file = tmp_path / "configuration.yml"
    file.write_text(EACH_SECOND)
    with an_own_database(
        mariadb, redis_server, tmp_path, DIRACX_CONFIG_BACKEND_URL=f"file://{file}"
    ) as stated:
        found = Beats(tmp_path, stated)
        found.start()
        found.start()
        try:
            yield found
        finally:
            for pid in list(found.processes):
                found.end(pid, signal.SIGTERM)


def ran() -> tuple[int, datetime] | None:
    """How often the entry was enqueued, and for which time last."""
    with database.reading() as db:
        query = select(Outbox.asked, Schedule.last_due_at).join(Schedule, Schedule.name == Outbox.key)
        found = db.execute(query.where(Outbox.key == TASK, Schedule.last_due_at.is_not(None))).one_or_none()
    return (found[0], found[1]) if found and found[1] else None


def watch(beats: Beats, times: int) -> None:
    """Wait until the entry was due so many more times, and check that each was enqueued once."""
    wait_for(lambda: ran() is not None, 60, lambda: beats.log[-5000:])
    seen = [ran()]

    def is_enough() -> bool:
        if (now := ran()) != seen[-1]:
            seen.append(now)
        return len(seen) > times

    wait_for(is_enough, 60 + 5 * times, lambda: f"{seen}\n{beats.log[-5000:]}")
    (first, since), (last, until) = (one for one in (seen[0], seen[-1]) if one)
    # Times are a second apart or, when a look was late, more.
    assert len(seen) - 1 <= last - first <= (until - since) / timedelta(seconds=1)


def test_two_beats_enqueue_each_time_once_and_one_goes_on_when_the_other_dies(beats: Beats) -> None:
    first = beats.wait_for_leader()
    watch(beats, 5)
    assert beats.leader == first
    beats.end(first, signal.SIGKILL)
    second = beats.wait_for_leader()
    assert second != first
    watch(beats, 3)
    beats.start()
    watch(beats, 3)
    assert beats.leader == second
    beats.end(second, signal.SIGTERM)
    third = beats.wait_for_leader()
    assert third not in (first, second)
    watch(beats, 3)


def test_a_beat_that_is_asked_to_stop_amid_a_transaction_ends_and_resigns(beats: Beats) -> None:
    """Its handler once began a transaction that waited for the one it had interrupted."""
    watch(beats, 1)
    pid = beats.wait_for_leader()
    waiting = text("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
    with database.session() as db:
        db.execute(select(Leader).with_for_update())
        wait_for(lambda: bool(db.execute(waiting).scalar()), 60, lambda: beats.log[-5000:])
        for _ in range(3):
            beats.processes[pid].send_signal(signal.SIGTERM)
            time.sleep(0.2)
    assert beats.processes[pid].wait(20) == 0
    assert beats.wait_for_leader() != pid
    assert "Traceback" not in beats.log


def test_a_changed_configuration_is_taken_over_without_a_restart_and_a_broken_one_is_not(
    beats: Beats,
) -> None:
    watch(beats, 1)
    pids, file = set(beats.processes), beats.folder / "configuration.yml"
    file.write_text(f"Operations: {{Defaults: {{Tasks: {{{TASK}: {{evry: 5}}}}}}}}")
    place = f"{file}:1: Operations.Defaults.Tasks.{TASK}.evry"
    wait_for(lambda: place in beats.log, 60, lambda: beats.log[-5000:])
    watch(beats, 1)
    file.write_text(EACH_HOUR)
    wait_for(lambda: entry(TASK).timing == {"every": 3600}, 60, lambda: beats.log[-5000:])
    found = entry(TASK)
    assert found.last_due_at and found.next_at > found.last_due_at + timedelta(seconds=3000)
    file.write_text(f"Operations: {{Defaults: {{Tasks: {{{TASK}: {{enabled: false}}}}}}}}")
    wait_for(lambda: TASK not in names(), 60, lambda: beats.log[-5000:])
    assert "engine.clean_history" in names()
    assert {pid for pid, process in beats.processes.items() if process.poll() is None} == pids


def test_after_a_flush_of_redis_what_waits_is_published_again(beats: Beats) -> None:
    watch(beats, 1)
    (beats.folder / "configuration.yml").write_text(EACH_HOUR)
    wait_for(lambda: entry(TASK).timing == {"every": 3600}, 60, lambda: beats.log[-5000:])
    wait_for(lambda: TASK in queued(), 60, lambda: beats.log[-5000:])
    before = ran()
    redis().flushall()
    wait_for(lambda: TASK in queued(), 60, lambda: beats.log[-5000:])
    assert ran() == before


def names() -> set[str]:
    """The entries of the schedule."""
    with database.reading() as db:
        return {row.name for row in schedules.entries(db)}


def queued() -> list[str]:
    """The keys of the messages that wait in the task's queue."""
    return [json.loads(str(one))["headers"]["id"] for one in redis().lrange("normal.small", 0, -1)]
