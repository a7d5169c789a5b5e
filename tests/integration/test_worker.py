"""What a real worker does around tasks: priorities, limits of time and memory, deaths, shutdown, health."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from diracx_tasks.core import database
from diracx_tasks.engine import broker, outbox
from diracx_tasks.engine.tables import DeadLetter, Outbox, TaskRun
from tests.crash.probe import effects as probe
from tests.crash.probe import registered
from tests.processes import Processes, installed
from tests.servers import MariaDB, Redis
from tests.system import wait_for
from tests.unit.engine.scheduled import an_own_database

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@dataclass
class Place:
    """Where workers are started."""

    processes: Processes
    redis: Redis
    folder: Path

    def wait(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Until it holds."""
        wait_for(lambda: bool(condition()), seconds, lambda: self.processes.log)

    def wait_for_file(self, name: str) -> None:
        """Until a task, or a worker, has made the file."""
        self.wait((self.folder / name).exists)


@pytest.fixture
def place(mariadb: MariaDB, redis_server: Redis, tmp_path: Path) -> Iterator[Place]:
    redis_server.flush()
    more = {"DIRACX_HEALTH_FILES": str(tmp_path / "health"), "REMAP_SIGTERM": "SIGQUIT"}
    with an_own_database(mariadb, redis_server, tmp_path) as stated:
        extension = installed(tmp_path, "tests.crash.probe.tasks")
        with registered(), Processes(tmp_path, {**stated, **more, **extension}) as processes:
            probe.prepare()
            yield Place(processes, redis_server, tmp_path)


def ask(task: str, key: str, **arguments: Any) -> None:
    with database.session() as db:
        outbox.enqueue(db, f"probe.{task}", key, **arguments)


def is_fresh(file: Path) -> bool:
    """As a probe looks: it is there, and it was touched a short while ago (a worker does so every 5 s)."""
    return file.exists() and time.time() - file.stat().st_mtime < 15


def rows(table: Any) -> list[Any]:
    with database.reading() as db:
        return list(db.scalars(select(table)))


def test_all_of_a_higher_priority_goes_before_all_of_a_lower_one(place: Place) -> None:
    for number in range(8):
        ask("plain", f"plain-{number}", number=number)
    for number in range(8):
        ask("urgent", f"urgent-{number}", number=number)
    place.processes.worker(processes=1)
    place.wait(lambda: not rows(Outbox))
    place.wait(lambda: len(rows(TaskRun)) == 16)
    order = [run.task for run in sorted(rows(TaskRun), key=lambda run: run.started_at)]
    # The first messages are fetched before the queues are compared.
    assert order[2:10].count("probe.urgent") >= 6, order


def test_a_task_that_is_stuck_kills_its_process_or_wants_too_much_memory_becomes_a_dead_letter(
    place: Place,
) -> None:
    place.processes.worker()
    place.processes.beat()
    ask("deadly", "deadly-1", number=1)
    ask("hungry", "hungry-1", number=1, mib=2000)
    ask("hungry", "hungry-2", number=2, mib=20)
    ask("stuck", "stuck-1", number=1)
    place.wait(lambda: len(rows(DeadLetter)) == 3, 120)
    found = {letter.key: letter for letter in rows(DeadLetter)}
    assert found.keys() == {"deadly-1", "hungry-1", "stuck-1"}
    assert [letter.tries for letter in found.values()] == [2, 2, 2]
    assert all("WorkerLostError" in error["error"] for error in found["deadly-1"].errors)
    assert all("300 MiB" in error["error"] for error in found["hungry-1"].errors)
    assert all("TimeLimitExceeded" in error["error"] for error in found["stuck-1"].errors)
    ask("plain", "plain-1", number=1)
    place.wait(lambda: probe.effects("plain") == {1: 1})
    place.wait(lambda: not [one for one in rows(Outbox) if one.task.startswith("probe.")])


def test_a_run_knows_the_fencing_number_of_its_lock(place: Place) -> None:
    place.processes.worker()
    for number in (1, 2):
        ask("fenced", f"fenced-{number}", number=7)
        place.wait(lambda: not rows(Outbox))
    place.wait(lambda: len(rows(TaskRun)) == 2)
    first, second = [int(run.words) for run in rows(TaskRun)]
    assert first < second


def test_a_worker_that_is_told_to_stop_lets_short_tasks_end_and_puts_long_ones_back(place: Place) -> None:
    place.processes.worker(DIRACX_SHUTDOWN_SECONDS="4")
    ask("plain", "short", number=1, seconds=2)
    ask("plain", "long", number=2, seconds=8)
    place.wait_for_file("plain-1")
    place.wait_for_file("plain-2")
    assert place.processes.stop("worker") == 0
    assert probe.effects("plain") == {1: 1}
    assert broker.waiting()["normal.small"] == 1
    place.processes.worker("another")
    place.wait(lambda: probe.effects("plain") == {1: 1, 2: 1})
    place.wait(lambda: not rows(Outbox))


def test_a_worker_that_is_told_to_stop_ends_also_when_the_broker_is_gone(place: Place) -> None:
    """Its heartbeats were once sent again for ever, and its end waited for them."""
    place.processes.worker(DIRACX_SHUTDOWN_SECONDS="4")
    ask("plain", "long", number=1, seconds=8)
    place.wait_for_file("plain-1")
    place.redis.kill()
    try:
        assert place.processes.stop("worker") == 0
    finally:
        place.redis.start()
    assert probe.effects("plain") == {}


def test_files_say_whether_a_worker_lives_and_is_ready(place: Place) -> None:
    place.processes.worker()
    place.processes.beat()
    for name in ("worker-live", "worker-ready", "beat"):
        place.wait_for_file(f"health/{name}")
    place.redis.kill()
    try:
        place.wait(lambda: not is_fresh(place.folder / "health" / "worker-ready"))
        (place.folder / "health" / "worker-live").unlink()
        place.wait_for_file("health/worker-live")
    finally:
        place.redis.start()
    place.wait_for_file("health/worker-ready")
    place.processes.stop("worker")
    assert not (place.folder / "health" / "worker-live").exists()


def test_a_message_that_nobody_asked_for_in_the_outbox_is_tried_again_as_well(place: Place) -> None:
    from celery import current_app

    current_app.tasks["probe.deadly"].delay(number=5)
    place.processes.worker()
    place.wait(lambda: len(rows(DeadLetter)) == 1)
    (letter,) = rows(DeadLetter)
    assert (letter.task, letter.tries, len(letter.errors)) == ("probe.deadly", 2, 2)
