"""The installation in which jobs live: real servers, an API, a worker, a beat and pilots that only report."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from diracx_tasks.auth.rights import USER
from diracx_tasks.auth.tokens import User, issue, issue_pilot
from diracx_tasks.core.schema import migrate
from tests.bench.installations import ROOT, SUBJECT, TOKEN_SECONDS, Database, Ours, configuration
from tests.bench.lifecycle_model import Model
from tests.bench.lifecycle_pilots import OVER, Orders
from tests.bench.population import VO
from tests.builders import environment
from tests.processes import Processes
from tests.servers import Redis, Server

RESCHEDULES = 4
# Lost pilots are noticed soon: nobody waits for DIRAC's hours.
QUICK = {
    "DIRACX_HEARTBEAT_SECONDS": "1",
    "DIRACX_MISSED_HEARTBEATS": "2",
    "DIRACX_SILENT_SECONDS": "10",
    "DIRACX_STALLED_SECONDS": "7",
    "DIRACX_MATCHED_SECONDS": "10",
    "DIRACX_LEASE_SECONDS": "5",
    "DIRACX_MAX_RESCHEDULES": str(RESCHEDULES),
}
OPERATIONS = """{JobScheduling: {RescheduleDelays: []}, JobDescription: {
    AllowedJobTypes: [User, LbAPI, MCFastSimulation, MCSimulation, Sprucing, Merge, APMerge, APPostProc,
    WGProduction, MCMerge, MCReconstruction]}}"""


@dataclass(frozen=True)
class Plan:
    """What is to be run: so many jobs, by so many pilots that have `together` jobs at a time."""

    jobs: int
    database: str = "mariadb"
    pilots: int = 40
    together: int = 50
    workers: int = 2
    apis: int = 1
    seed: int = 1
    faults: bool = False
    # With faults so many parts are killed on the way: worker, broker, API, pilots, and MariaDB if it says so.
    kills: int = 0
    kills_database: bool = False
    stated: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        """What becomes of the jobs."""
        return Model(self.seed, RESCHEDULES, self.faults, self.faults and self.kills > 0)


@dataclass
class System:
    """Everything that runs; `told` are the files in which pilots note what was acknowledged."""

    plan: Plan
    folder: Path
    redis: Redis
    mariadb: Database | None
    api: Ours
    programs: Processes
    told: list[Path] = field(default_factory=list)
    crews: Iterator[int] = field(default_factory=itertools.count)
    # Of processes that run under their names.
    pilots: str = ""

    def start_worker(self) -> None:
        """A worker on all queues."""
        self.programs.worker("worker", processes=self.plan.workers)

    def start_pilots(self) -> None:
        """Pilots that were never there before, in a process of their own."""
        number = next(self.crews)
        stamps = [f"bench-{number}-{one:04}" for one in range(self.plan.pilots)]
        tokens = [issue_pilot(VO, stamp, seconds=TOKEN_SECONDS) for stamp in stamps]
        ledger = self.folder / f"told-{number}"
        model = asdict(self.plan.model)
        orders = Orders(
            str(self.folder),
            str(ledger),
            self.api.url,
            self.api.token,
            stamps,
            tokens,
            self.plan.together,
            model,
        )
        path = self.folder / f"orders-{number}.json"
        orders.write(path)
        self.told.append(ledger)
        self.pilots = f"pilots-{number}"
        self.programs.start(self.pilots, "tests.bench.lifecycle_pilots", str(path))

    def token(self, owner: str, group: str) -> str:
        """A token of somebody who submits."""
        return issue(User(owner, group, VO, SUBJECT, frozenset({USER})), seconds=TOKEN_SECONDS)

    def pids(self) -> dict[str, list[int]]:
        """The processes of each part that run now."""
        found = {"API": [self.api.pid], "Redis": [self.redis.pid]}
        if self.mariadb:
            found["database"] = [self.mariadb.pid]
        running = {name: one.pid for name, one in list(self.programs.running.items())}
        found |= {name: [running.get(name)] for name in ("worker", "beat")}
        found["pilots"] = [running.get(self.pilots)]
        return {name: [pid for pid in pids if pid] for name, pids in found.items()}

    def fault(self, number: int) -> str:
        """kill -9 of one part after the other, which is started again; answers which."""
        parts = ["worker", "redis", "api", "pilots", *(["mariadb"] if self.plan.kills_database else [])]
        part = parts[number % len(parts)]
        if part == "worker":
            self.programs.kill("worker")
            self.start_worker()
        elif part == "pilots":
            self.programs.kill(self.pilots)
            self.start_pilots()
        else:
            server: Server | None = {"redis": self.redis, "api": self.api, "mariadb": self.mariadb}[part]
            assert server is not None
            server.kill()
            server.start()
        return part

    def stop_pilots(self) -> None:
        """Have the pilots end when they have said what they have to say."""
        (self.folder / OVER).touch()
        try:
            self.programs.running[self.pilots].wait(60)
        except subprocess.TimeoutExpired:
            self.programs.kill(self.pilots)


class Lives(Ours):
    """Our API with as many processes as the plan says."""

    processes = 1

    def command(self) -> list[str]:
        """The same with more processes."""
        command = super().command()
        return [*command[:-1], str(self.processes)]

    def kill(self) -> None:
        """Also the processes below it."""
        if self.pid and self.processes > 1:
            os.killpg(self.pid, 9)
        super().kill()


@contextmanager
def system(plan: Plan, folder: Path) -> Iterator[System]:
    """An installation of its own with everything running but the pilots; all is stopped at the end."""
    with ExitStack() as stack:
        redis = stack.enter_context(Redis(folder / "redis"))
        mariadb = stack.enter_context(Database(folder / "mariadb")) if plan.database == "mariadb" else None
        stated = {
            "DIRACX_REDIS_URL": redis.url,
            "DIRACX_DATA": str(folder),
            "DIRACX_CONFIG_BACKEND_URL": configuration(folder, OPERATIONS),
            "PYTHONPATH": str(ROOT),
            **QUICK,
            **plan.stated,
        }
        if mariadb:
            stated["DIRACX_DATABASE_URL"] = mariadb.url
        api = Lives(folder, Path(sys.executable), stated)
        api.processes = plan.apis
        stated["DIRACX_URL"] = api.url
        stack.enter_context(environment(**stated))
        migrate()
        programs = stack.enter_context(Processes(folder, stated))
        found = System(plan, folder, redis, mariadb, api, programs)
        stack.enter_context(api)
        found.start_worker()
        programs.beat()
        yield found
