"""The figures of `diracx-tasks`, upstream DiracX's tasks on Redis Streams, for `python -m tests.bench tasks`.

Its workers are started by its own command line, with its default settings, from a virtual environment of
their own; the tasks come to it as an extension of DiracX, and are submitted with its `schedule()`.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import redis
from sqlalchemy import Engine, create_engine, make_url, text

REQUIREMENT = "diracx-tasks==0.7.0"
CONCURRENCY = 10  # what its help names as the default of --max-concurrent-tasks, though it must be given
LONGEST = 120.0
LONGEST_INSTALL = 600.0
ROWS = 1000
PROBES = 200
IDLE = 10.0

# `schedule()` sends to this stream whatever size and priority the task's class has.
STREAM = "diracx:tasks:normal:medium"
LATENCIES = "bench:latencies"
READY = "bench:ready"
GATE = "bench:gate"

ENTRY_POINTS = """\
[diracx]
extension = peer_tasks

[diracx.dbs.sql]
BenchDB = peer_tasks:BenchDB

[diracx.tasks.bench]
NoOp = peer_tasks:NoOp
AddOne = peer_tasks:AddOne
Stamp = peer_tasks:Stamp
"""

TASKS = f"""\
import asyncio, contextlib, dataclasses, os, sys, time

from diracx.db.sql.utils import BaseSQLDB
from diracx.tasks.plumbing import BaseTask, load_task_registry
from diracx.tasks.plumbing.broker import RedisStreamBroker
from diracx.tasks.plumbing.factory import create_task_bindings
from redis.asyncio import Redis
from sqlalchemy import MetaData, text

redis = Redis.from_url(os.environ["DIRACX_TASKS_REDIS_URL"], socket_timeout=None)
statement = text("UPDATE bench SET n = n + 1 WHERE id = :id")


class BenchDB(BaseSQLDB):
    metadata = MetaData()

    @contextlib.asynccontextmanager
    async def engine_context(self):
        # The last thing that a worker does before it asks for messages.
        await redis.rpush("{READY}", os.getpid())
        await redis.blpop("{GATE}", timeout=0)
        async with super().engine_context():
            yield


class NoOp(BaseTask):
    async def execute(self) -> None:
        pass


@dataclasses.dataclass
class AddOne(BaseTask):
    row_id: int

    async def execute(self, db: BenchDB) -> None:
        await db.conn.execute(statement, {{"id": self.row_id}})


@dataclasses.dataclass
class Stamp(BaseTask):
    sent: float

    async def execute(self) -> None:
        await redis.rpush("{LATENCIES}", 1000 * (time.time() - self.sent))


MAKERS = {{
    "NoOp": lambda number: NoOp(),
    "AddOne": lambda number: AddOne(number % {ROWS} + 1),
    "Stamp": lambda number: Stamp(time.time()),
}}


async def submit():
    name, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    broker = RedisStreamBroker(url=os.environ["DIRACX_TASKS_REDIS_URL"])
    await broker.startup()
    BaseTask.bind_broker(create_task_bindings(broker, load_task_registry())[0])
    began = time.perf_counter()
    for number in range(count):
        await MAKERS[name](number).schedule()
        if pause:
            await asyncio.sleep(pause)
    print(time.perf_counter() - began)
    await broker.shutdown()
"""


class PeerFailed(Exception):
    """A phase of the measurement failed or took too long; the message ends with the workers' logs."""


class Workers:
    """Worker processes of diracx-tasks, stopped on leaving the block, and how to give them tasks."""

    def __init__(self, home: Path, folder: Path, environment: dict[str, str], processes: int) -> None:
        self.home = home
        self.folder = folder
        self.environment = environment
        self.logs = [folder / f"worker-{number}.log" for number in range(processes)]
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Workers":
        command = [str(self.home / "bin" / "diracx-tasks"), "worker", "--worker-size", "medium"]
        command += ["--max-concurrent-tasks", str(CONCURRENCY)]
        settings: dict[str, Any] = {"cwd": self.folder, "env": self.environment, "stderr": subprocess.STDOUT}
        for path in self.logs:
            with path.open("wb") as log:
                self._processes.append(subprocess.Popen(command, stdout=log, **settings))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def submit(self, name: str, count: int, pause: float = 0) -> float:
        """Seconds that one process takes to submit tasks, one after another."""
        program = "import asyncio, peer_tasks; asyncio.run(peer_tasks.submit())"
        command = [str(self.home / "bin" / "python"), "-c", program, name, str(count), str(pause)]
        settings: dict[str, Any] = {"cwd": self.folder, "env": self.environment, "timeout": LONGEST}
        try:
            return float(subprocess.run(command, capture_output=True, check=True, **settings).stdout)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            shown = (error.stderr or b"").decode(errors="replace")
            raise self.failure(f"submitting {count} {name}: {error}\n{shown}") from error

    def wait(self, what: str, is_done: Callable[[], bool]) -> float:
        """Seconds until `is_done`; raises PeerFailed when a worker ends or time is over."""
        began = time.perf_counter()
        while not is_done():
            if any(process.poll() is not None for process in self._processes):
                raise self.failure(f"{what}: a worker ended")
            if time.perf_counter() - began > LONGEST:
                raise self.failure(f"{what}: not in {LONGEST:.0f} s")
            time.sleep(0.02)
        return time.perf_counter() - began

    def cpu_seconds(self) -> float:
        """CPU time that all workers have used so far."""
        times = [psutil.Process(process.pid).cpu_times() for process in self._processes]
        return sum(each.user + each.system for each in times)

    def rss_mb(self) -> float:
        """Resident memory of all workers now, in MB."""
        return sum(psutil.Process(process.pid).memory_info().rss for process in self._processes) / 1e6

    def failure(self, what: str) -> PeerFailed:
        """An error with the last lines of the workers' logs."""
        lines = [f"diracx-tasks, {what}"]
        for log in self.logs:
            lines += [str(log), *log.read_text(errors="replace").splitlines()[-20:]]
        return PeerFailed("\n".join(lines))


def measure(
    folder: Path, redis_url: str, database_url: str, *, processes: int, tasks: int, cache: Path | None = None
) -> dict[str, float]:
    """Figures of diracx-tasks with so many worker processes of ten concurrent tasks each.

    Tasks per second are of a backlog: from the moment that started workers, held back while it grew, may ask
    for messages, until the last acknowledgement. Enqueued per second: one process, one `schedule()` after
    another. CPU and memory are of all workers together, memory after work. Streams of diracx-tasks in this
    Redis are emptied, the table `bench` is made unless it is there; the virtual environment stays in `cache`.
    """
    folder = folder.resolve()
    home = environment_with(REQUIREMENT, (cache or Path.home() / ".cache" / "diracx-bench").resolve())
    _write_extension(folder)
    environment = _environment(folder, redis_url, database_url)
    with ExitStack() as stack:
        client = stack.enter_context(closing(redis.Redis.from_url(redis_url)))
        engine = create_engine(database_url)
        stack.callback(engine.dispose)
        _make_table(engine)
        _empty(client)
        with Workers(home, folder, environment, processes) as workers:
            enqueue, noop = _drain(workers, client, "NoOp", tasks)
        _empty(client)
        before = _sum(engine)
        with Workers(home, folder, environment, processes) as workers:
            _, update = _drain(workers, client, "AddOne", tasks)
            if (done := _sum(engine) - before) != tasks:
                raise workers.failure(f"update: {done} of {tasks} are in the database")
            figures = {"enqueue_per_s": enqueue, "noop_per_s": noop, "update_per_s": update}
            return figures | _latency(workers, client) | _idle(workers)


def environment_with(requirement: str, cache: Path) -> Path:
    """A virtual environment with this package, made on the first call."""
    home = cache / requirement.replace("==", "-")
    complete = home / "complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, timeout=LONGEST)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-qq"]
        # MariaDB's asynchronous driver comes with the package.
        subprocess.run([*pip, requirement], check=True, timeout=LONGEST_INSTALL)
        complete.touch()
    return home


def _write_extension(folder: Path) -> None:
    """Make the folder, put on PYTHONPATH, an installed extension of DiracX."""
    installed = folder / "peer_tasks-1.dist-info"
    installed.mkdir(parents=True, exist_ok=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: peer-tasks\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "peer_tasks.py").write_text(TASKS)


def _environment(folder: Path, redis_url: str, database_url: str) -> dict[str, str]:
    """The environment of workers and submitter, without any settings of ours."""
    kept = {key: os.environ[key] for key in os.environ if not key.startswith(("DIRACX", "OTEL", "PYTHON"))}
    url = make_url(database_url).set(drivername="mysql+aiomysql")
    return kept | {
        "PYTHONPATH": str(folder),
        "DIRACX_TASKS_REDIS_URL": redis_url,
        "DIRACX_DB_URL_BENCHDB": url.render_as_string(hide_password=False),
    }


def _make_table(engine: Engine) -> None:
    with engine.begin() as db:
        db.execute(text("CREATE TABLE IF NOT EXISTS bench (id INT PRIMARY KEY, n INT NOT NULL)"))
        rows = [{"id": number} for number in range(1, ROWS + 1)]
        db.execute(text("INSERT IGNORE INTO bench (id, n) VALUES (:id, 0)"), rows)


def _empty(client: "redis.Redis") -> None:
    for key in [*client.scan_iter("diracx:tasks:*"), LATENCIES, READY, GATE]:
        client.delete(key)


def _drain(workers: Workers, client: "redis.Redis", name: str, tasks: int) -> tuple[float, float]:
    """Tasks submitted per second, and tasks acknowledged per second from the opening of the gate."""
    count = len(workers.logs)
    workers.wait("start", lambda: client.llen(READY) == count)
    submitting = workers.submit(name, tasks)
    client.rpush(GATE, *["open"] * count)
    return tasks / submitting, tasks / workers.wait(f"{tasks} {name}", lambda: _is_drained(client))


def _latency(workers: Workers, client: "redis.Redis") -> dict[str, float]:
    """Milliseconds from `schedule()` to the first line of the task, at twenty tasks a second."""
    workers.submit("Stamp", PROBES, pause=0.05)
    workers.wait("latency", lambda: client.llen(LATENCIES) == PROBES)
    found: Any = client.lrange(LATENCIES, 0, -1)
    percentiles = statistics.quantiles([float(each) for each in found], n=100, method="inclusive")
    return {"p50_ms": percentiles[49], "p99_ms": percentiles[98]}


def _idle(workers: Workers) -> dict[str, float]:
    before, began = workers.cpu_seconds(), time.perf_counter()
    time.sleep(IDLE)
    used = workers.cpu_seconds() - before
    return {"idle_cpu": used / (time.perf_counter() - began), "rss_mb": workers.rss_mb()}


def _is_drained(client: "redis.Redis") -> bool:
    groups: Any = client.xinfo_groups(STREAM)
    stream: Any = client.xinfo_stream(STREAM)
    return bool(groups[0]["last-delivered-id"] == stream["last-generated-id"] and groups[0]["pending"] == 0)


def _sum(engine: Engine) -> int:
    with engine.connect() as db:
        return int(db.scalar(text("SELECT SUM(n) FROM bench")) or 0)
