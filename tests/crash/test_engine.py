"""The task engine under fire: what was asked for takes effect, whatever is killed, flushed or away."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.core.schema import migrate
from diracx_tasks.engine import batches, fan, outbox
from diracx_tasks.engine.tables import DeadLetter, Outbox
from tests.builders import environment
from tests.crash.probe import effects as probe
from tests.crash.probe import registered
from tests.processes import Processes, installed
from tests.servers import MariaDB, Redis
from tests.system import wait_for

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]
KINDS = ("plain", "locked", "limited", "large")


@dataclass
class Engine:
    """Workers and a beat on a MariaDB and a Redis of their own."""

    processes: Processes
    redis: Redis
    folder: Path

    def ask(self, kind: str, numbers: range, seconds: float = 0) -> None:
        """Enqueue one task for each number, in transactions of a hundred."""
        for first in range(numbers.start, numbers.stop, 100):
            with database.session() as db:
                for number in range(first, min(first + 100, numbers.stop)):
                    arguments: dict[str, Any] = {"number": number, "seconds": seconds}
                    outbox.enqueue(db, f"probe.{kind}", f"{kind}-{number}", **arguments)

    def wait(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Until it holds."""
        wait_for(condition, seconds, lambda: f"{self.state()}\n{self.processes.log}")

    def wait_until_done(self, seconds: float = 120) -> None:
        """Until nothing waits any more; nothing may have died."""
        self.wait(lambda: self.count(Outbox) == 0, seconds)
        assert self.count(DeadLetter) == 0

    def wait_until_running(self, name: str) -> None:
        """Until the tasks with this kind and number have begun."""
        self.wait((self.folder / name).exists, 60)

    def count(self, table: Any) -> int:
        """How many rows there are."""
        with database.reading() as db:
            return int(db.scalar(select(func.count()).select_from(table)) or 0)

    def state(self) -> str:
        """What waits."""
        with database.reading() as db:
            rows = db.scalars(select(Outbox).limit(5)).all()
            return "\n".join(f"{row.key} {row.tries} {row.published} {row.due_at}" for row in rows)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    with MariaDB(folder / "mariadb") as mariadb, Redis(folder / "redis") as server:
        stated = {
            "DIRACX_DATABASE_URL": mariadb.url,
            "DIRACX_REDIS_URL": server.url,
            "DIRACX_DATA": str(folder),
        }
        extension = installed(folder, "tests.crash.probe.tasks")
        with environment(**stated), registered(), Processes(folder, {**stated, **extension}) as processes:
            migrate()
            probe.prepare()
            processes.beat()
            processes.worker()
            yield Engine(processes, server, folder)


@pytest.fixture
def engine(place: Engine) -> Engine:
    """The engine with all its parts running and nothing to do."""
    if "worker" not in place.processes.running:
        place.processes.worker()
    place.wait_until_done()
    return place


def test_a_worker_that_is_killed_in_the_middle_of_each_kind_of_task_loses_nothing(engine: Engine) -> None:
    for kind in KINDS:
        engine.ask(kind, range(4), seconds=3)
    with database.session() as db:
        batches.call_many(db, "probe.batched", [{"number": n, "seconds": 0.5} for n in range(8)])
        children = [{"number": n, "seconds": 0.5} for n in range(8)]
        fan.fan_out(db, "probe.child", children, then="probe.gathered", arguments={"number": 0}, chunk=4)
    for name in ("plain-0", "batched-0", "child-0", "large-0"):
        engine.wait_until_running(name)
        engine.processes.kill("worker")
        engine.processes.worker("worker", processes=4)
    engine.wait_until_done(200)
    for kind in KINDS:
        assert probe.effects(kind).keys() == set(range(4)), kind
    assert probe.effects("batched").keys() == probe.effects("child").keys() == set(range(8))
    assert probe.effects("gathered") == {0: 1}


def test_a_flush_with_thousands_of_tasks_queued_loses_none(engine: Engine) -> None:
    engine.processes.stop("worker")
    with database.session() as db:
        calls = [(f"plain-{number}", {"number": number}) for number in range(10_000, 13_000)]
        outbox.enqueue_many(db, "probe.plain", calls)
    engine.wait(lambda: bool(redis().llen("normal.small") >= 3000))
    engine.redis.flush()
    engine.processes.worker()
    engine.wait_until_done(200)
    assert len([number for number in probe.effects("plain") if number >= 10_000]) == 3000


def test_a_broker_that_is_away_for_half_a_minute_under_load_costs_time_only(engine: Engine) -> None:
    engine.ask("plain", range(30_000, 30_500), seconds=0.01)
    engine.redis.kill()
    away = time.monotonic()
    asked = 0
    while time.monotonic() < away + 30:
        number, asked = 31_000 + asked, asked + 1
        with database.session() as db:
            outbox.enqueue(db, "probe.plain", f"plain-{number}", number=number)
        time.sleep(0.5)
    engine.redis.start()
    engine.wait_until_done(200)
    effects = probe.effects("plain")
    assert {number for number in effects if 30_000 <= number < 30_500} == set(range(30_000, 30_500))
    assert {number for number in effects if 31_000 <= number < 32_000} == set(range(31_000, 31_000 + asked))


def test_every_message_delivered_three_times_has_its_effect_once(engine: Engine) -> None:
    engine.processes.stop("worker")
    for kind in KINDS:
        engine.ask(kind, range(50_000, 50_200))
    with database.reading() as db:
        rows = db.scalars(select(Outbox)).all()
    for row in [*rows, *rows]:
        outbox.publish(row.task, row.key, row.arguments)
    # One process: two at once may both begin, which locks are for.
    engine.processes.worker("worker", processes=1)
    engine.wait_until_done()
    engine.wait(lambda: sum(redis().llen(queue) for queue in ("normal.small", "background.large")) == 0)
    for kind in KINDS:
        found = {number: runs for number, runs in probe.effects(kind).items() if number >= 50_000}
        assert found == dict.fromkeys(range(50_000, 50_200), 1), kind
