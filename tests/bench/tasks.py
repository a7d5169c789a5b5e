"""`python -m tests.bench tasks [COUNT]`: what the task engine costs, beside diracx-tasks 0.7.0, in one run.

Rates are tasks per second from a backlog of COUNT (10 000): the clock runs from the first task that ends to
the last. Everything is on this machine: broker, MariaDB and two worker processes each.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from celery import current_app
from kombu.exceptions import ChannelError
from sqlalchemy import text

from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.core.schema import migrate
from diracx_tasks.engine import batches, fan, outbox
from tests.bench.measured import tasks as measured
from tests.bench.peer import measure
from tests.builders import environment
from tests.processes import Processes, installed
from tests.servers import MariaDB, RabbitMQ, Redis
from tests.system import wait_for

PROCESSES = 2
LATENCIES = 200
# Looking costs time as well.
POLL = 0.2
SECONDS = 300
ROWS = (
    ("enqueue_per_s", "enqueued/s, a message alone"),
    ("outbox_per_s", "enqueued/s, with the outbox"),
    ("noop_per_s", "no-op tasks/s"),
    ("update_per_s", "SQL-update tasks/s"),
    ("guarded_per_s", "... with a lock and two limits"),
    ("boxed_per_s", "... through the outbox"),
    ("fan_per_s", "... as children of a fan-out"),
    ("batched_per_s", "... in batches of 1000"),
    ("cpu_ms", "CPU of the workers per no-op, ms"),
    ("p50_ms", "latency p50, ms"),
    ("p99_ms", "latency p99, ms"),
    ("idle_cpu", "idle CPU of the workers, cores"),
    ("rss_mb", "memory of the workers, MB"),
)
Figures = dict[str, float]


def main(count: int = 10_000) -> None:
    """Measure all three and print them side by side."""
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with MariaDB(folder / "mariadb") as mariadb:
            with Redis(folder / "redis") as server:
                found["ours, Redis"] = ours(folder / "one", count, mariadb, server, server.url)
                with RabbitMQ(folder / "rabbitmq") as rabbitmq:
                    found["ours, RabbitMQ"] = ours(folder / "two", count, mariadb, server, rabbitmq.url)
            with Redis(folder / "theirs") as server:
                (folder / "three").mkdir()
                theirs = measure(folder / "three", server.url, mariadb.url, processes=PROCESSES, tasks=count)
                found["diracx-tasks 0.7"] = theirs
    print(f"{count} tasks, {PROCESSES} worker processes each\n")
    print(f"{'':36}" + "".join(f"{name:>18}" for name in found))
    for key, words in ROWS:
        print(f"{words:36}" + "".join(f"{_shown(figures.get(key)):>18}" for figures in found.values()))


def ours(folder: Path, count: int, mariadb: MariaDB, server: Redis, broker: str) -> Figures:
    """The figures of this engine with one broker."""
    folder.mkdir()
    server.flush()
    stated = {
        "DIRACX_DATABASE_URL": mariadb.url,
        "DIRACX_REDIS_URL": server.url,
        "DIRACX_BROKER_URL": broker,
        "DIRACX_DATA": str(folder),
    }
    extension = installed(folder, "tests.bench.measured.tasks")
    with environment(**stated), Processes(folder, {**stated, **extension}) as processes:
        migrate()
        _prepare()
        found = _throughput(processes, count)
        _settle(processes)
        found |= _latency() | _idle(processes)
    return found


def _throughput(processes: Processes, count: int) -> Figures:
    noop, began = current_app.tasks["measured.noop"], time.perf_counter()
    for number in range(count):
        noop.delay(number=number)
    found = {"enqueue_per_s": count / (time.perf_counter() - began)}
    cpu: list[float] = []
    found["noop_per_s"] = _drain(processes, count, _handled(count, processes, cpu))
    found["cpu_ms"] = (cpu[-1] - cpu[0]) / count * 1000
    for name in ("update", "guarded"):
        for number in range(count):
            current_app.tasks[f"measured.{name}"].delay(number=number)
        found[f"{name}_per_s"] = _drain(processes, count, _updated(count))
    began = time.perf_counter()
    for first in range(0, count, 100):
        with database.session() as db:
            for number in range(first, first + 100):
                outbox.enqueue(db, "measured.update", f"bench-{number}", number=number)
    found["outbox_per_s"] = count / (time.perf_counter() - began)
    found["boxed_per_s"] = _drain(processes, count, _updated(count))
    with database.session() as db:
        fan.fan_out(db, "measured.guarded", ({"number": number} for number in range(count)))
    found["fan_per_s"] = _drain(processes, count, _updated(count))
    with database.session() as db:
        batches.call_many(db, "measured.batched", ({"id": number} for number in range(10 * count)))
    found["batched_per_s"] = _drain(processes, 10 * count, _updated(10 * count))
    return found


def _drain(processes: Processes, count: int, ended: Callable[[], int]) -> float:
    """Tasks per second between the first that has ended and the last."""
    processes.worker(processes=PROCESSES)
    wait_for(lambda: ended() > 0, 60, lambda: processes.log)
    first, began = ended(), time.perf_counter()
    until = began + SECONDS
    while ended() < count:
        assert time.perf_counter() < until, processes.log
        time.sleep(POLL)
    took = time.perf_counter() - began
    processes.stop("worker")
    return (count - first) / took if count > first else float("inf")


def _handled(count: int, processes: Processes, cpu: list[float]) -> Callable[[], int]:
    """How many messages left the queue; notes the workers' CPU on the way."""

    def ended() -> int:
        left = _length("normal.small")
        tree = [psutil.Process(processes.running["worker"].pid), *processes.children("worker")]
        if left < count:
            cpu.append(sum(sum(one.cpu_times()[:2]) for one in tree))
        return count - left

    return ended


def _length(queue: str) -> int:
    with current_app.connection_for_read() as connection:
        try:
            return int(connection.default_channel.queue_declare(queue=queue, passive=True).message_count)
        except ChannelError:
            return 0


def _updated(count: int) -> Callable[[], int]:
    with database.reading() as db:
        before = int(db.execute(text("SELECT SUM(n) FROM bench")).scalar_one())

    def ended() -> int:
        with database.reading() as db:
            return int(db.execute(text("SELECT SUM(n) FROM bench")).scalar_one()) - before

    return ended


def _latency() -> Figures:
    redis().delete(measured.STAMPS)
    for number in range(LATENCIES):
        current_app.tasks["measured.stamp"].delay(number=number, sent=time.time())
        time.sleep(0.05)
    wait_for(lambda: redis().llen(measured.STAMPS) == LATENCIES, 60, lambda: "stamps are missing")
    stamps = sorted(float(one) for one in redis().lrange(measured.STAMPS, 0, -1))
    return {"p50_ms": statistics.median(stamps), "p99_ms": stamps[int(len(stamps) * 0.99)]}


def _idle(processes: Processes) -> Figures:
    tree = [psutil.Process(processes.running["worker"].pid), *processes.children("worker")]
    before = sum(sum(one.cpu_times()[:2]) for one in tree)
    time.sleep(10)
    after = sum(sum(one.cpu_times()[:2]) for one in tree)
    return {
        "idle_cpu": (after - before) / 10,
        "rss_mb": sum(one.memory_info().rss for one in tree) / 1e6,
    }


def _settle(processes: Processes) -> None:
    processes.worker(processes=PROCESSES)
    redis().delete(measured.STAMPS)
    current_app.tasks["measured.stamp"].delay(number=0, sent=time.time())
    wait_for(lambda: redis().llen(measured.STAMPS) == 1, 60, lambda: processes.log)


def _prepare() -> None:
    with database.session() as db:
        db.execute(text("CREATE TABLE IF NOT EXISTS bench (id INT PRIMARY KEY, n INT)"))
        db.execute(text("DELETE FROM bench"))
        db.execute(text("INSERT INTO bench VALUES " + ", ".join(f"({i}, 0)" for i in range(1, 1001))))


def _shown(figure: float | None) -> str:
    if figure is None:
        return "-"
    return f"{figure:.3f}" if figure < 1 else f"{figure:.2f}" if figure < 100 else f"{figure:,.0f}"
