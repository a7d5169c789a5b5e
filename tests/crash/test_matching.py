"""Matching under fire: whatever is killed in the middle, each job is given once, and none is stuck."""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from sqlalchemy import func, select

from diracx_tasks.auth import keys as signing
from diracx_tasks.auth.tokens import issue_pilot
from diracx_tasks.core.database import reading, session
from diracx_tasks.core.schema import migrate
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import status as door
from diracx_tasks.jobs.optimize import WAITING
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.submit import create
from diracx_tasks.jobs.tables import Attempt, Job
from diracx_tasks.matching import queue, store, sweep
from diracx_tasks.matching.tables import Queued
from tests.builders import ANYWHERE, VO, a_new_job, environment
from tests.crash import askers
from tests.processes import Processes
from tests.servers import MariaDB, Redis
from tests.servers.ports import HOST, free_port, listens
from tests.system import wait_for

pytestmark = [pytest.mark.crash, pytest.mark.integration, pytest.mark.timeout(3000)]
# MATCHING_JOBS=100000 for the whole measure; a multiple of CHUNK.
JOBS = int(os.environ.get("MATCHING_JOBS", "2000"))
OWNERS, CHUNK, LEASE = 8, 2000, 2
DIRECT, THROUGH_API, FAULTS = 6, 2, 6
FORK = multiprocessing.get_context("forkserver")


@dataclass
class Field:
    """MariaDB, Redis, an API, and eight that ask for jobs."""

    folder: Path
    redis: Redis
    environment: dict[str, str]
    programs: Processes
    port: int = field(default_factory=free_port)
    askers: dict[str, ForkServerProcess] = field(default_factory=dict)
    begun: int = 0
    killed: set[str] = field(default_factory=set)

    def ask(self) -> None:
        """One more process matches jobs by itself."""
        self.begun += 1
        self._begin(f"direct-{self.begun}", askers.ask, self.environment)

    def ask_api(self) -> None:
        """One more process asks the API."""
        self.begun += 1
        stamp = f"api-{self.begun}"
        token = issue_pilot(VO, stamp, seconds=3600)
        self._begin(stamp, askers.ask_api, f"http://{HOST}:{self.port}", token)

    def _begin(self, stamp: str, work: object, *arguments: object) -> None:
        process = FORK.Process(target=work, args=(stamp, self.folder, *arguments), daemon=True)  # type: ignore[arg-type]
        process.start()
        self.askers[stamp] = process

    def start_api(self) -> None:
        """The API at its port."""
        command = ("uvicorn", "--factory", "diracx_api.app:create_app", f"--port={self.port}")
        self.programs.start("api", *command, "--log-level=warning")

    def kill(self, number: int) -> None:
        """kill -9 of one part after the other; it is started again, a process under another name."""
        if number % 3 == 0:
            stamp = next(one for one in self.askers if one.startswith("direct"))
            self.askers[stamp].kill()
            self.askers.pop(stamp).join()
            self.killed.add(stamp)
            self.ask()
        elif number % 3 == 1:
            self.programs.kill("api")
            self.start_api()
        else:
            self.redis.kill()
            time.sleep(0.5)
            self.redis.start()

    def stop(self) -> None:
        """Nobody asks any more."""
        (self.folder / "over").touch()
        for process in self.askers.values():
            process.join(60)


@pytest.fixture
def battle(tmp_path: Path) -> Iterator[Field]:
    """Everything runs, and JOBS jobs wait."""
    with MariaDB(tmp_path / "mariadb") as mariadb, Redis(tmp_path / "redis") as server:
        stated = {
            "DIRACX_DATA": str(tmp_path),
            "DIRACX_DATABASE_URL": mariadb.url,
            "DIRACX_REDIS_URL": server.url,
            "DIRACX_LEASE_SECONDS": str(LEASE),
            "DIRACX_MATCHED_SECONDS": "3600",
        }
        with environment(**stated), Processes(tmp_path, stated) as programs:
            signing.create(settings().keys_file)
            migrate()
            found = Field(tmp_path, server, stated, programs)
            load()
            FORK.set_forkserver_preload(["tests.crash.askers"])
            found.start_api()
            wait_for(lambda: listens(found.port), 60, lambda: programs.log)
            yield found
            found.stop()


def load() -> None:
    """Jobs of several owners, groups and needs."""
    for start in range(0, JOBS, CHUNK):
        for owner in range(OWNERS):
            wait(f"owner-{owner}", len(range(start, min(start + CHUNK, JOBS))) // OWNERS)
    with reading() as db:
        sweep.rebuild(db, VO)


def wait(owner: str, jobs: int) -> None:
    """So many jobs of an owner wait."""
    new = a_new_job(owner=owner, group=f"group-{owner[-1:] < '4'}", job_type="MC")
    with session() as db:
        ids = door.move_many(db, create(db, [new] * jobs), WAITING, frm=(Status.RECEIVED,))
        about = (VO, "MC", new.group, owner)
        entries = [queue.Entry(n, *about, n % 3, {**ANYWHERE, "cores": 1 + n % 2}) for n in ids]
        queue.add(db, entries)


def left() -> int:
    """How many wait in the database."""
    with reading() as db:
        return db.scalar(select(func.count()).select_from(Queued)) or 0


def one_sweep() -> None:
    """What the periodic tasks do, once."""
    time.sleep(LEASE + 1)
    with reading() as db:
        sweep.expire(db, VO)
    with reading() as db:
        chunks = sweep.chunks(db, VO)
    for chunk in chunks:
        with reading() as db:
            sweep.compare(db, VO, chunk)


def test_each_of_many_jobs_is_matched_once_while_api_processes_and_redis_are_killed(battle: Field) -> None:
    for _ in range(DIRECT):
        battle.ask()
    for _ in range(THROUGH_API):
        battle.ask_api()
    for number in range(FAULTS):
        goal = JOBS - (number + 1) * JOBS // (FAULTS + 2)
        wait_for(lambda goal=goal: left() <= goal, 900, lambda: f"{left()} wait\n{battle.programs.log}")  # type: ignore[misc]
        assert left() > 0, "it was over before the last fault"
        battle.kill(number)
    wait_for(lambda: not store.waiting(VO), 900, lambda: f"{store.waiting(VO)} wait in Redis")
    one_sweep()
    wait_for(lambda: left() == 0, 60, lambda: f"{left()} are stuck after a sweep")
    battle.stop()
    assert_each_was_given_once(battle.folder, battle.killed)


def assert_each_was_given_once(folder: Path, killed: Collection[str]) -> None:
    """Every job is Matched, under one attempt, and nobody was told of a job that another has.

    Whoever was killed may have got nothing by then.
    """
    with reading() as db:
        assert dict(db.execute(select(Job.status, func.count()).group_by(Job.status)).all()) == {
            "Matched": JOBS
        }
        rows = db.execute(select(Attempt.job_id, Attempt.attempt, Attempt.pilot)).all()
    assert Counter(attempt for _, attempt, _ in rows) == {1: JOBS}
    holders = {job_id: pilot for job_id, _, pilot in rows}
    assert len(holders) == JOBS
    told = askers.given(folder)
    assert len(told) > DIRECT + THROUGH_API
    for stamp, jobs in told.items():
        assert jobs or stamp in killed, f"{stamp} got nothing"
        assert all(attempt == 1 and holders[job_id] == stamp for job_id, attempt in jobs)
    # What a process got in its last moment it could not write down, or could not send.
    assert sum(map(len, told.values())) >= JOBS - (FAULTS + 1) * 2 * askers.AT_ONCE
