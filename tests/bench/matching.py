"""`python -m tests.bench matching`: what the matcher does in a second, with LHCb's jobs and harder mixes.

Redis, MariaDB and the API are started here. docs/measure-the-matcher.md says how to read it.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from diracx_tasks.core.redis import redis
from tests.bench import matching_server as server
from tests.bench.installations import Database, Ours
from tests.bench.matching_load import Rates, insert, press
from tests.bench.matching_sql import add_pilots
from tests.bench.mixes import MIXES, Burst, JobClass, bursts, classes
from tests.servers import Redis

JOBS = 1_000_000
SECONDS = 10.0
CLIENTS = (1, 8)
# As many whole jobs as an API worker could give away.
HTTP_JOBS = 200_000
# A worker answers some tens of pilots at the same time: several claims are one transaction then.
HTTP_CLIENTS = 24
SEVERAL = 8
PEER = """DIRAC's prototype of a matcher (Python over SQLite or Redis) publishes 192 to 355 matches/s with
10 million jobs and 20 000 nodes, and 40/s where 500 candidates are looked at.
DIRAC asks for 200 matches/s, ideally 1 000."""
HEADER = (
    f"{'measured':34}{'clients':>8}{'figure':>13}{'calls/s':>10}{'p50 ms':>8}{'p99 ms':>8}{'no job':>8}"
    f"  {'aim at 10 million':24}"
)


@dataclass(frozen=True)
class Aim:
    """What a figure must reach, or must not be above; and what p99 in ms must be under."""

    value: float
    p99_ms: float | None = None
    is_most: bool = False


# By mix, part and clients.
AIMS = {
    ("lhcb", "take", 8): Aim(10_000, p99_ms=3),
    ("tags", "take", 8): Aim(5_000),
    ("explosion", "take", 8): Aim(1_000),
    ("lhcb", "memory", 0): Aim(100, is_most=True),
    ("lhcb", "rebuild", 0): Aim(10_000_000 / 180),
    ("lhcb", "http", 8): Aim(500),
}


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    mix: str
    part: str
    title: str
    value: float
    clients: int = 0
    calls_per_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    empty_share: float | None = None
    note: str = ""

    @property
    def aim(self) -> Aim | None:
        """What it must reach, None when nothing is asked."""
        return AIMS.get((self.mix, self.part, self.clients))

    @property
    def holds(self) -> bool:
        """Whether it reaches its aim."""
        if self.aim is None:
            return True
        is_good = self.value <= self.aim.value if self.aim.is_most else self.value >= self.aim.value
        return is_good and (self.aim.p99_ms is None or (self.p99_ms or 0) < self.aim.p99_ms)


@dataclass(frozen=True)
class Bench:
    """What is measured: jobs of a mix, in an installation."""

    stated: argparse.Namespace
    mix: str
    mariadb: Database | None
    api: Ours

    def population(self, jobs: int) -> tuple[list[JobClass], list[Burst]]:
        """So many jobs of the mix: their classes, and in the order of their numbers."""
        made = classes(self.mix, jobs)
        return made, bursts(made)

    def figure(self, part: str, title: str, rates: Rates, clients: int, *, calls: bool = False) -> Figure:
        """What clients got, as a line of the table."""
        return Figure(
            self.mix,
            part,
            title,
            rates.calls_per_s if calls else rates.jobs_per_s,
            clients,
            rates.calls_per_s,
            rates.percentile(50),
            rates.percentile(99),
            rates.empty_share,
            f"Redis {rates.redis_ms:.3f} ms CPU" if rates.redis_cpu else "",
        )


def main(*arguments: str) -> None:
    """Measure what is asked for, print the table, and leave nothing behind."""
    stated = _stated(arguments)
    # A plain kill unwinds as Ctrl-C does: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with _started(stated) as (mariadb, api):
            figures = [one for mix in stated.mix for one in _measure(Bench(stated, mix, mariadb, api))]
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"\n{PEER}")
    if stated.json:
        found = [asdict(one) | {"holds": one.holds} for one in figures]
        stated.json.write_text(json.dumps({"jobs": stated.jobs, "figures": found}, indent=1))


def _stated(arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench matching", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help="jobs that wait (%(default)s)")
    parser.add_argument("--mix", action="append", choices=[*MIXES], help="may be repeated (lhcb)")
    parser.add_argument("--clients", action="append", type=int, help="may be repeated (1 and 8)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each figure (%(default)s)")
    parser.add_argument("--only", action="append", choices=[*PARTS], help="may be repeated (all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    stated = parser.parse_args(arguments)
    stated.mix, stated.clients = stated.mix or ["lhcb"], stated.clients or [*CLIENTS]
    stated.only = stated.only or [*PARTS]
    return stated


@contextmanager
def _started(stated: argparse.Namespace) -> Iterator[tuple[Database | None, Ours]]:
    """The servers that the parts need; stopped and removed on leaving the block."""
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="diracx-bench-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(made))
        needs_database = {"rebuild", "http"}.intersection(stated.only)
        mariadb = stack.enter_context(Database(folder / "mariadb")) if needs_database else None
        cache = stack.enter_context(Redis(folder / "redis"))
        yield mariadb, stack.enter_context(server.installation(folder / "ours", cache, mariadb))


def _measure(bench: Bench) -> Iterator[Figure]:
    """All figures of a mix, shown as they come."""
    stated = bench.stated
    made, parts = bench.population(stated.jobs)
    print(f"\n{bench.mix}: {stated.jobs:,} jobs in {len(made):,} classes, 20,000 nodes\n{HEADER}", flush=True)
    for name in (name for name in PARTS if name in stated.only):
        for figure in PARTS[name](bench, made, parts):
            _show(figure)
            yield figure


def _take(bench: Bench, made: Sequence[JobClass], parts: Sequence[Burst]) -> Iterator[Figure]:
    """Through the Python client: how fast jobs go in, what they weigh, how fast they come out."""
    redis().flushall()
    before = server.memory()
    seconds = insert(parts)
    server.settle()
    grown, jobs = server.memory() - before, bench.stated.jobs
    yield Figure(bench.mix, "insert", "insertion, jobs/s", jobs / seconds)
    note = f"{grown / jobs:.1f} bytes a job"
    yield Figure(bench.mix, "memory", "memory of Redis, MB", grown / 1e6, note=note)
    for clients in bench.stated.clients:
        rates = press("take", clients, bench.stated.seconds)
        yield bench.figure("take", "matches/s, Python client", rates, clients)
    for clients in bench.stated.clients:
        rates = press("take", clients, bench.stated.seconds, SEVERAL)
        yield bench.figure("several", f"jobs/s, up to {SEVERAL} a call", rates, clients)
    grown = server.memory() - before
    yield Figure(bench.mix, "memory after", "memory of Redis then, MB", grown / 1e6)


def _ceiling(bench: Bench, made: Sequence[JobClass], parts: Sequence[Burst]) -> Iterator[Figure]:
    """What Redis and the client can do at most: a script that does nothing."""
    for clients in bench.stated.clients:
        rates = press("nothing", clients, bench.stated.seconds)
        yield bench.figure("ceiling", "EVALSHA 'return 1', calls/s", rates, clients, calls=True)


def _rebuild(bench: Bench, made: Sequence[JobClass], parts: Sequence[Burst]) -> Iterator[Figure]:
    """After a flush: the queue from the database."""
    server.fill(made, parts, whole=False)
    jobs, seconds = server.rebuild()
    if jobs != bench.stated.jobs:
        raise RuntimeError(f"{jobs:,} of {bench.stated.jobs:,} jobs were brought into Redis")
    yield Figure(
        bench.mix, "rebuild", "rebuild from MariaDB, jobs/s", jobs / seconds, note=f"{seconds:.1f} s"
    )


def _http(bench: Bench, made: Sequence[JobClass], parts: Sequence[Burst]) -> Iterator[Figure]:
    """The whole route: a pilot's token, Redis, the database, the job's description."""
    assert bench.mariadb is not None
    those = bench.population(min(bench.stated.jobs, HTTP_JOBS))
    server.fill(*those, whole=True)
    pilots = server.Pilots(bench.api)
    add_pilots(pilots.stamps, pilots.nodes)
    server.rebuild()
    with bench.api:
        for clients in sorted({*bench.stated.clients, HTTP_CLIENTS}):
            asked = server.ask(bench.api, bench.mariadb, pilots, clients, bench.stated.seconds)
            load = asked.load
            rates = Rates(load.seconds, asked.jobs, asked.empty, latencies=load.latencies)
            figure = bench.figure("http", "matches/s, HTTP, one worker", rates, clients)
            note = f"API {asked.api_ms:.2f}, DB {asked.db_ms:.2f} ms CPU"
            wrong = f"; {load.errors} errors: {load.first_error}" if load.errors else ""
            yield replace(figure, note=note + wrong)


def _show(one: Figure) -> None:
    """Print a line."""
    value = f"{one.value:,.{0 if one.value >= 100 else 1}f}"
    line = f"{one.title:34}{one.clients or '':>8}{value:>13}"
    line += _shown(one.calls_per_s, 10, 0) + _shown(one.p50_ms, 8, 2) + _shown(one.p99_ms, 8, 2)
    line += f"{'' if one.empty_share is None else f'{one.empty_share:.1%}':>8}  "
    if one.aim is not None:
        most = "at most" if one.aim.is_most else "at least"
        p99 = "" if one.aim.p99_ms is None else f", p99 under {one.aim.p99_ms:g}"
        line += f"{most} {one.aim.value:,.0f}{p99} {'yes' if one.holds else 'NO'}  "
    print((line + one.note).rstrip(), flush=True)


def _shown(figure: float | None, width: int, digits: int) -> str:
    return f"{'' if figure is None else f'{figure:,.{digits}f}':>{width}}"


PARTS: dict[str, Callable[[Bench, Sequence[JobClass], Sequence[Burst]], Iterator[Figure]]] = {
    "take": _take,
    "ceiling": _ceiling,
    "rebuild": _rebuild,
    "http": _http,
}
