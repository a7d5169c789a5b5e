"""`python -m tests.bench lifecycle`: whole lives of jobs, from submission to accounting, and who is right.

Everything is started here; pilots only report. What the database has at the end is compared with a model in
plain Python. docs/measure-a-day.md says how to read it.
"""

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from tests.bench import lifecycle_look as look
from tests.bench.lifecycle_model import differences
from tests.bench.lifecycle_system import Plan, System, system
from tests.bench.load import Target, ask
from tests.bench.mixes import JobClass, bursts, classes

JOBS, BACKLOG = 200_000, 10_000
# Jobs in one submission.
AT_ONCE = 500
SUBMITTERS = 3
SECOND = 1.0
# A user and his group.
Owner = tuple[str, str]
SHOWN = 20


@dataclass
class Figures:
    """What was measured: lives a second, backlog, latencies in s, statements and CPU seconds a job."""

    jobs: int
    seconds: float
    submitted_s: float
    most: dict[str, int]
    latencies: dict[str, tuple[float, float]]
    statements: dict[str, int]
    cpu_seconds: dict[str, float]
    faults: list[str] = field(default_factory=list)
    wrong: Sequence[str] = ()

    @property
    def per_second(self) -> float:
        """Whole lives a second."""
        return self.jobs / self.seconds

    def __str__(self) -> str:
        lines = [
            f"{self.jobs:,} jobs lived in {self.seconds:.1f} s: {self.per_second:,.0f} lives/s",
            f"submitted in {self.submitted_s:.1f} s; faults: {', '.join(self.faults) or 'none'}",
            f"\n{'step':24}{'p50 s':>9}{'p95 s':>9}",
            *(f"{name:24}{half:>9.2f}{most:>9.2f}" for name, (half, most) in self.latencies.items()),
            f"\n{'backlog, most':24}{'jobs':>9}",
            *(f"{status:24}{jobs:>9,}" for status, jobs in self.most.items()),
            *([f"\n{'of the database':24}{'a job':>9}"] if self.statements else []),
            *(f"{name:24}{number / self.jobs:>9.3f}" for name, number in self.statements.items()),
            f"\n{'CPU':24}{'ms a job':>9}{'cores':>9}",
            *(
                f"{name:24}{1000 * spent / self.jobs:>9.3f}{spent / self.seconds:>9.2f}"
                for name, spent in self.cpu_seconds.items()
            ),
        ]
        return "\n".join(lines)


def live(plan: Plan, folder: Path, backlog: int = BACKLOG, patience: float = 3600) -> Figures:
    """Run a plan in a folder of its own until every job has ended and is accounted for."""
    with system(plan, folder) as running:
        watch = look.Watch(running)
        watch.begin()
        began = time.perf_counter()
        running.start_pilots()
        users = Submitters(running, backlog)
        users.start()
        faults, until, is_over = list[str](), time.monotonic() + patience, False
        while not is_over:
            time.sleep(SECOND)
            are_in = users.are_done
            users.going_on = _looked(watch, users.going_on)
            is_over = are_in and not users.going_on
            ended = users.submitted - users.going_on
            if plan.faults:
                look.hurry()
                if len(faults) < plan.kills and ended >= (len(faults) + 1) * plan.jobs / (plan.kills + 1):
                    faults.append(running.fault(len(faults)))
            if users.error or time.monotonic() > until:
                raise RuntimeError(f"{users.error or users.going_on}\n{running.programs.log}")
        seconds = time.perf_counter() - began
        watch.look()
        running.stop_pilots()
        figures = Figures(
            plan.jobs,
            seconds,
            users.seconds,
            watch.most,
            look.latencies(plan.jobs),
            watch.statements(),
            watch.cpu_seconds(),
            faults,
        )
        figures.wrong = compare(running)
    return figures


def compare(running: System) -> list[str]:
    """Each difference between the database and the model, once all has ended; none when all is right."""
    wrong = [] if look.count_all(60) else ["not every attempt is accounted for after 60 s"]
    told, complaints = look.ends_told(running.told)
    wrong += complaints + look.left_over()
    return [*wrong, *differences(running.plan.model, look.lives(), told, running.plan.jobs)]


class Submitters:
    """Users who submit LHCb's jobs in bulk as fast as others live: at most `backlog` are on their way."""

    def __init__(self, running: System, backlog: int) -> None:
        self._running = running
        self._backlog = backlog
        self._left = iter(enumerate(_submissions(running.plan.jobs)))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._submit_all, daemon=True) for _ in range(SUBMITTERS)]
        self.submitted = self.going_on = 0
        self.seconds = 0.0
        self.error: BaseException | None = None

    @property
    def are_done(self) -> bool:
        """Whether everything is submitted."""
        return not any(one.is_alive() for one in self._threads)

    def start(self) -> None:
        """Have them begin."""
        for one in self._threads:
            one.start()

    def _submit_all(self) -> None:
        began = time.perf_counter()
        try:
            while True:
                with self._lock:
                    number, (whose, texts) = next(self._left, (0, (("", ""), [])))
                    while texts and self.going_on + len(texts) > self._backlog:
                        time.sleep(0.02)
                    self.going_on += len(texts)
                    self.submitted += len(texts)
                if not texts:
                    break
                self._submit(f"bench-{number}", whose, texts)
        except BaseException as error:
            self.error = error
        self.seconds = time.perf_counter() - began

    def _submit(self, key: str, whose: Owner, texts: Sequence[str]) -> None:
        target = Target(self._running.api.url, self._running.token(*whose))
        request = target.request("POST", "/api/jobs/jdl", texts, Idempotency_Key=key)
        # The key makes it safe to ask again, whatever became of the answer.
        while (answer := ask(target, request)).status in (0, 503):
            time.sleep(0.1)
        if answer.status != 201:
            raise RuntimeError(f"a submission was answered {answer}")


def _submissions(jobs: int) -> Iterator[tuple[Owner, list[str]]]:
    """Descriptions of so many jobs of LHCb's, up to AT_ONCE of an owner in one submission."""
    open_ones: dict[Owner, list[str]] = {}
    for part in bursts(classes("lhcb", jobs)):
        whose = (part.of.owner, part.of.group)
        texts = open_ones.setdefault(whose, [])
        texts += [describe(part.of)] * part.jobs
        while len(texts) >= AT_ONCE:
            yield whose, texts[:AT_ONCE]
            del texts[:AT_ONCE]
    yield from ((whose, texts) for whose, texts in open_ones.items() if texts)


def describe(one: JobClass) -> str:
    """A job of a class in JDL; LHCb's platforms are left out, as the simulated nodes are all alike."""
    stated = {"Site": one.record["sites"], "BannedSites": one.record["banned_sites"]}
    lists = " ".join(f"{name} = {_listed(values)};" for name, values in stated.items() if values)
    return (
        f'Executable = "/bin/true"; JobName = "simulation"; JobType = "{one.job_type}";'
        ' StdOutput = "std.out"; StdError = "std.err"; OutputSandbox = {"std.out", "std.err"};'
        f" CPUTime = {one.record['cpu_time']}; {lists}"
    )


def _listed(values: Sequence[str]) -> str:
    return "{" + ", ".join(f'"{value}"' for value in values) + "}"


def _looked(watch: look.Watch, before: int) -> int:
    """How many jobs have not ended; what was known before while the database is away."""
    try:
        return sum(watch.look().values())
    except SQLAlchemyError:
        return before


def main(*arguments: str) -> None:
    """Run it, print the figures, and end with 1 when the database and the model differ."""
    stated = _stated(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan = Plan(
        stated.jobs,
        stated.database,
        stated.pilots,
        stated.together,
        stated.workers,
        stated.apis,
        stated.seed,
        stated.faults,
        stated.kills,
        stated.kill_database,
    )
    with tempfile.TemporaryDirectory(prefix="diracx-bench-", ignore_cleanup_errors=True) as folder:
        found = live(plan, Path(folder), stated.backlog)
    print(found)
    if stated.json:
        stated.json.write_text(json.dumps(vars(found), indent=1))
    print(f"\n{len(found.wrong) or 'no'} differences from the model")
    for words in found.wrong[:SHOWN]:
        print(words)
    sys.exit(bool(found.wrong))


def _stated(arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench lifecycle", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help="(%(default)s)")
    parser.add_argument("--database", choices=["mariadb", "sqlite"], default="mariadb", help="(%(default)s)")
    parser.add_argument(
        "--backlog", type=int, default=BACKLOG, help="jobs on their way at most (%(default)s)"
    )
    parser.add_argument("--pilots", type=int, default=Plan.pilots, help="(%(default)s)")
    parser.add_argument("--together", type=int, default=Plan.together, help="jobs of a pilot (%(default)s)")
    parser.add_argument(
        "--workers", type=int, default=Plan.workers, help="the worker's processes (%(default)s)"
    )
    parser.add_argument("--apis", type=int, default=Plan.apis, help="the API's processes (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the jobs' fates (%(default)s)")
    parser.add_argument("--faults", action="store_true", help="reports and pilots are lost, doubled, late")
    parser.add_argument("--kills", type=int, default=8, help="with faults: kill -9 of parts (%(default)s)")
    parser.add_argument("--kill-database", action="store_true", help="with faults: of MariaDB as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    return parser.parse_args(arguments)
