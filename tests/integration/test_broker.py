"""What is asked of a broker, on Redis and on RabbitMQ, with a worker on each."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from sqlalchemy import select

from diracx_tasks.core import database
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.engine import broker, outbox
from diracx_tasks.engine.queues import QUEUES
from diracx_tasks.engine.tables import Outbox
from tests.builders import use_broker
from tests.crash.probe import effects as probe
from tests.crash.probe import registered
from tests.processes import Processes, installed
from tests.servers import MariaDB, RabbitMQ, Redis, free_port
from tests.system import wait_for
from tests.unit.engine.scheduled import an_own_database

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(params=["redis", "rabbitmq"])
def processes(
    request: pytest.FixtureRequest, mariadb: MariaDB, redis_server: Redis, tmp_path: Path
) -> Iterator[Processes]:
    server: Redis | RabbitMQ = redis_server
    if request.param == "rabbitmq":
        server = request.getfixturevalue("rabbitmq")
    with an_own_database(mariadb, redis_server, tmp_path, DIRACX_BROKER_URL=server.url) as stated:
        extension = installed(tmp_path, "tests.crash.probe.tasks")
        with registered(), Processes(tmp_path, {**stated, **extension}) as found:
            probe.prepare()
            yield found


def ask(numbers: range) -> None:
    with database.session() as db:
        for number in numbers:
            outbox.enqueue(db, "probe.plain", f"plain-{number}", number=number)


def pending() -> int:
    with database.reading() as db:
        return len(db.scalars(select(Outbox)).all())


def test_queues_tell_their_length_and_the_age_of_what_is_next(processes: Processes) -> None:
    # The first worker makes the queues.
    processes.worker()
    ask(range(3))
    wait_for(lambda: pending() == 0, 60, lambda: processes.log)
    processes.stop("worker")
    assert broker.waiting() == dict.fromkeys(QUEUES, 0)
    assert broker.oldest("normal.small") is None
    ask(range(10, 12))
    assert broker.waiting()["normal.small"] == 2
    first = broker.oldest("normal.small")
    ask(range(12, 13))
    # To look does not change anything, and the oldest stays the oldest.
    assert first is not None and broker.oldest("normal.small") == first
    assert broker.waiting()["normal.small"] == 3
    processes.worker()
    wait_for(lambda: pending() == 0, 60, lambda: processes.log)
    assert probe.effects("plain") == dict.fromkeys([0, 1, 2, 10, 11, 12], 1)


def test_workers_are_seen_with_what_they_run(
    processes: Processes, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broker.is_redis():
        # It knows who listens: nobody is waited for who is not there.
        monkeypatch.setattr(broker, "PATIENCE", 3600)
        monkeypatch.setattr(broker, "TOLD_AGAIN", 1)
        broker.remember()
        with closing(redis.Redis.from_url(redis_server.url)) as client:
            wait_for(lambda: not client.exists(broker.NEW_MARK), 60, lambda: "the mark stays new")
    assert broker.workers() == []
    processes.worker(processes=1)
    with database.session() as db:
        outbox.enqueue(db, "probe.plain", "slow", number=1, seconds=5)
    keys = [{"slow"}]
    wait_for(
        lambda: [{one["key"] for one in worker["running"]} for worker in broker.workers()] == keys,
        60,
        lambda: processes.log,
    )
    (worker,) = broker.workers()
    assert set(worker["queues"]) == set(QUEUES) and worker["processes"] == 1
    wait_for(lambda: pending() == 0, 60, lambda: processes.log)


@pytest.mark.parametrize("processes", ["redis"], indirect=True)
def test_workers_are_seen_after_the_broker_has_lost_its_memory(
    processes: Processes, redis_server: Redis
) -> None:
    broker.remember()
    processes.worker(processes=1)
    wait_for(lambda: len(broker.workers()) == 1, 60, lambda: processes.log)
    redis_server.flush()
    assert len(broker.workers()) == 1
    broker.remember()
    assert len(broker.workers()) == 1


def test_a_broker_that_is_away_is_said_in_words(processes: Processes) -> None:
    use_broker(f"amqp://127.0.0.1:{free_port()}//")
    with pytest.raises(Unavailable, match="DIRACX_BROKER_URL"):
        broker.waiting()
    with pytest.raises(Unavailable, match="DIRACX_BROKER_URL"):
        broker.workers()
