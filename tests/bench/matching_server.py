"""What is measured with the matcher: an installation around it, its memory, and the route that pilots ask."""

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

from diracx_tasks.auth.tokens import issue_pilot
from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.core.schema import migrate
from diracx_tasks.matching import sweep
from tests.bench.installations import TOKEN_SECONDS, Database, Ours, configuration
from tests.bench.load import Answer, Load, Maker, Target, press
from tests.bench.matching_sql import fill_jobs, fill_queue
from tests.bench.mixes import Burst, JobClass
from tests.bench.nodes import nodes, slot
from tests.bench.population import VO
from tests.builders import environment
from tests.servers import Redis, Server

# Pilots with a token each go round; a server keeps 10 000 tokens in mind.
PILOTS = 2000
WARM_UP = 2.0
LOGGED = 60.0


@dataclass
class Asked:
    """What pilots got over HTTP; CPU of API and database in ms an answer."""

    load: Load
    jobs: int
    empty: int
    api_ms: float
    db_ms: float


class Pilots:
    """The requests of pilots in turn, and a count of the jobs that they got."""

    def __init__(self, api: Ours) -> None:
        self.stamps = [f"bench-{number:05}" for number in range(PILOTS)]
        self.nodes = nodes(PILOTS)
        tokens = [issue_pilot(VO, stamp, seconds=TOKEN_SECONDS) for stamp in self.stamps]
        self._requests = [
            Target(api.url, token).request("POST", "/api/pilots/match", {"stamp": stamp, **slot(node)})
            for stamp, token, node in zip(self.stamps, tokens, self.nodes, strict=True)
        ]
        self.jobs = self.empty = 0

    def maker(self) -> Maker:
        """The requests, for ever."""
        return itertools.cycle(self._requests).__next__

    def wrong(self, answer: Answer) -> str:
        """What is wrong with an answer; an answer without a job is counted and right."""
        if answer.status != 200:
            return str(answer)
        jobs = len(orjson.loads(answer.content)["jobs"])
        self.jobs += jobs
        self.empty += not jobs
        return ""


@contextmanager
def installation(folder: Path, redis_server: Redis, mariadb: Database | None) -> Iterator[Ours]:
    """An installation's settings, for this process and its clients, and its API, which does not run yet."""
    stated = {
        "DIRACX_REDIS_URL": redis_server.url,
        "DIRACX_DATA": str(folder),
        "DIRACX_CONFIG_BACKEND_URL": configuration(folder),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    if mariadb:
        stated["DIRACX_DATABASE_URL"] = mariadb.url
    made = Ours(folder, Path(sys.executable), stated)
    stated["DIRACX_URL"] = made.url
    with environment(**stated):
        # Without MariaDB in SQLite: the matcher asks which sites are barred.
        migrate()
        yield made


def fill(made: Sequence[JobClass], parts: Sequence[Burst], *, whole: bool) -> None:
    """Have the jobs wait in the database, and Redis know nothing; `whole` jobs have all that a pilot gets."""
    began = time.perf_counter()
    fill_queue(made, parts)
    if whole:
        fill_jobs(made)
    redis().flushall()
    last = parts[-1]
    took = time.perf_counter() - began
    print(f"{last.first + last.jobs - 1:,} jobs in MariaDB in {took:.0f} s", file=sys.stderr, flush=True)


def rebuild() -> tuple[int, float]:
    """Make the queue in Redis from the database; answers how many jobs, and the seconds."""
    began = time.perf_counter()
    with database.reading() as db:
        jobs = sweep.rebuild(db, VO)
    return jobs, time.perf_counter() - began


def ask(api: Ours, mariadb: Database, pilots: Pilots, connections: int, seconds: float) -> Asked:
    """What pilots get from the API, which runs."""
    press(api.target, pilots.maker(), wrong=pilots.wrong, connections=connections, seconds=WARM_UP)
    pilots.jobs = pilots.empty = 0
    before = [_cpu(one) for one in (api, mariadb)]
    load = press(api.target, pilots.maker(), wrong=pilots.wrong, connections=connections, seconds=seconds)
    answers = max(1, len(load.latencies))
    spent = [1000 * (_cpu(one) - was) / answers for one, was in zip((api, mariadb), before, strict=True)]
    return Asked(load, pilots.jobs, pilots.empty, *spent)


def memory() -> int:
    """Bytes that Redis holds."""
    return int(redis().info("memory")["used_memory"])


def settle() -> None:
    """Return when Redis does not rewrite its log any more."""
    until = time.monotonic() + LOGGED
    while redis().info("persistence")["aof_rewrite_in_progress"] and time.monotonic() < until:
        time.sleep(0.2)


def _cpu(server: Server) -> float:
    """CPU seconds that a server and what it started have used."""
    process = psutil.Process(server.pid)
    return sum(sum(one.cpu_times()[:2]) for one in [process, *process.children(recursive=True)])
