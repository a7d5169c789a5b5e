"""A server of ours whose database, Redis and OpenSearch can be taken away, and users who go on meanwhile."""

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
from sqlalchemy import func, select

from diracx_tasks.auth.keys import create
from diracx_tasks.core.database import reading, session
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job, JobEvent, JobJDL, Parameter
from tests.builders import a_job, a_user, bearer
from tests.integration.official import SERVER, answers
from tests.opensearch import OpenSearchDouble
from tests.processes import ROOT, Processes
from tests.servers import MariaDB, Redis, free_port
from tests.system import wait_for
from tests.unit.engine.scheduled import an_own_database

ALICE = a_user()
# A server that waits for its database answers within this; a user waits longer.
PATIENCE = 30
KINDS = ("submit", "status", "heartbeat", "search")
GOOD = (200, 201, 206)


@dataclass(frozen=True)
class Answer:
    """What a request got, and when: 0 stands for no answer at all."""

    at: float
    kind: str
    status: int
    seconds: float
    retry_after: str | None


@dataclass
class World:
    """The parts."""

    url: str
    mariadb: MariaDB
    redis: Redis
    opensearch: OpenSearchDouble
    jobs: list[int] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, key: str = "") -> urllib3.BaseHTTPResponse:
        """The answer to one request, which is sent once."""
        headers = {**bearer(ALICE), "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        sent = None if body is None else json.dumps(body)
        return POOL.request(method, self.url + path, body=sent, headers=headers)


POOL = urllib3.PoolManager(maxsize=20, retries=False, timeout=PATIENCE)


@contextmanager
def a_world(folder: Path, disk: Path) -> Iterator[World]:
    """All parts, running; the database's files are on `disk`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        mariadb = stack.enter_context(MariaDB(disk / "mariadb"))
        redis = stack.enter_context(Redis(folder / "redis"))
        double = stack.enter_context(OpenSearchDouble())
        stated = {
            "DIRACX_URL": url,
            "DIRACX_DATABASE_SECONDS": "3",
            "DIRACX_OPENSEARCH_URL": double.url,
            "DIRACX_OPENSEARCH_PREFIX": "faults-",
        }
        (folder / "data").mkdir()
        create(folder / "data" / "keys" / "jwks.json")
        stack.enter_context(an_own_database(mariadb, redis, folder / "data", **stated))
        processes = stack.enter_context(Processes(folder, {"PYTHONPATH": str(ROOT)}))
        processes.start("api", *SERVER, f"--port={port}")
        wait_for(lambda: answers(f"{url}/api/health/ready"), 60, lambda: processes.log)
        with session() as db:
            jobs = [a_job(db, Status.RUNNING, pilot=f"stamp-{number}") for number in range(6)]
        yield World(url, mariadb, redis, double, jobs)


class Load:
    """Users who submit jobs, tell their status, send heartbeats and search; what fails is repeated."""

    def __init__(self, world: World, *, users: int = 2, size: int = 0) -> None:
        self.world, self.size = world, size
        self.answers: list[Answer] = []
        self.submitted: dict[str, int] = {}
        self.told: set[tuple[int, str]] = set()
        self._over = threading.Event()
        work = {"submit": self._submit, "status": self._tell, "heartbeat": self._beat, "search": self._search}
        self._threads = [
            threading.Thread(target=self._work, args=(kind, work[kind], number))
            for kind in KINDS
            for number in range(users)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def all_go_on(self, since: float) -> bool:
        """Whether each kind of request has succeeded since."""
        good = {one.kind for one in self.answers if one.status in GOOD and one.at > since}
        return good == set(KINDS)

    def statuses(self) -> Counter[int]:
        """How often there was which status."""
        return Counter(one.status for one in self.answers)

    def _work(self, kind: str, send: Callable[[int, str], urllib3.BaseHTTPResponse], number: int) -> None:
        mark = secrets.token_hex(8)
        while not self._over.is_set():
            begin = time.monotonic()
            try:
                found = send(number, mark)
            except urllib3.exceptions.HTTPError:
                self._note(kind, 0, begin, None)
                continue
            self._note(kind, found.status, begin, found.headers.get("Retry-After"))
            if found.status in GOOD:
                self._acknowledged(kind, number, mark, found)
                mark = secrets.token_hex(8)
            time.sleep(0.02)

    def _note(self, kind: str, status: int, begin: float, retry_after: str | None) -> None:
        now = time.monotonic()
        self.answers.append(Answer(now, kind, status, now - begin, retry_after))

    def _acknowledged(self, kind: str, number: int, mark: str, found: urllib3.BaseHTTPResponse) -> None:
        if kind == "submit":
            self.submitted[mark] = found.json()[0]["JobID"]
        if kind == "status":
            self.told.add((self._job(number), mark))

    def _job(self, number: int) -> int:
        return self.world.jobs[number % len(self.world.jobs)]

    def _submit(self, number: int, mark: str) -> urllib3.BaseHTTPResponse:
        filling = secrets.token_hex(self.size // 2)
        jdl = f'Executable = "echo"; JobName = "{mark}"; Arguments = "{filling}";'
        return self.world.ask("POST", "/api/jobs/jdl", [jdl], key=mark)

    def _tell(self, number: int, mark: str) -> urllib3.BaseHTTPResponse:
        update = {datetime.now(UTC).isoformat(): {"ApplicationStatus": mark, "Source": "JobWrapper"}}
        return self.world.ask("PATCH", "/api/jobs/status", {str(self._job(number)): update})

    def _beat(self, number: int, mark: str) -> urllib3.BaseHTTPResponse:
        job_id = self._job(number + 2)
        return self.world.ask("PATCH", "/api/jobs/heartbeat", {str(job_id): {"CPUConsumed": 12.5}})

    def _search(self, number: int, mark: str) -> urllib3.BaseHTTPResponse:
        return self.world.ask("POST", "/api/jobs/search?per_page=5", {"parameters": ["JobID", "Status"]})


def lost(load: Load) -> tuple[set[str], set[tuple[int, str]]]:
    """What was acknowledged and is not stored: names of jobs, and status updates."""
    with reading() as db:
        names = dict(db.execute(select(Job.name, Job.job_id).where(Job.name.in_(load.submitted))).all())
        words = (JobEvent.job_id, JobEvent.application_status)
        told = {(row[0], row[1]) for row in db.execute(select(*words))}
    wrong = {mark for mark, job_id in load.submitted.items() if names.get(mark) != job_id}
    return wrong, load.told - told


def halves() -> dict[str, int]:
    """How many jobs are there only in part, or twice under one name."""
    name, jdl, event = Job.name, JobJDL.job_id, JobEvent.job_id
    with reading() as db:
        jobs, jdls = set(db.scalars(select(Job.job_id))), set(db.scalars(select(jdl)))
        events = set(db.scalars(select(event).distinct()))
        twice = db.execute(select(name).where(name != "job").group_by(name).having(func.count() > 1)).all()
        strays = set(db.scalars(select(Parameter.job_id).distinct())) - jobs
    return {
        "jobs without JDL": len(jobs - jdls),
        "JDLs without job": len(jdls - jobs),
        "jobs without event": len(jobs - events),
        "events without job": len(events - jobs),
        "parameters without job": len(strays),
        "jobs twice": len(twice),
    }
