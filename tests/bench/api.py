"""`python -m tests.bench api`: what a server of DiracX's API does in a second, ours beside DiracX 0.7.0.

`python -m tests.bench api --url URL --token TOKEN` measures one that runs already. Without them both are
started here: MariaDB, one API worker each, 100 000 jobs each. docs/measure-the-api.md says how to read it.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from tests.bench.cells import Cell, Subject, idle, measure, memory
from tests.bench.diracx import DiracX, diracx
from tests.bench.installations import Api, Database, ours
from tests.bench.load import Target
from tests.bench.operations import OPERATIONS, Contents, Operation
from tests.servers import Redis

SECONDS = 4.0
JOBS = 100_000
HEADER = (
    f"{'operation':27}{'c':>3}  {'server':12}{'calls/s':>9}{'items/s':>9}{'p50 ms':>8}{'p99 ms':>8}"
    f"{'errors':>7}{'API ms':>8}{'DB ms':>7}{'others':>7}{'ratio':>7}{'at least':>12}"
)


def main(*arguments: str) -> None:
    """Measure what is asked for, print the table, and leave nothing behind."""
    stated = _stated(arguments)
    # A plain kill unwinds as Ctrl-C does: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = [one for one in OPERATIONS if any(part in one.name for part in stated.only or [""])]
    if not wanted:
        sys.exit(f"--only: none of these: {', '.join(one.name for one in OPERATIONS)}")
    try:
        with _subjects(stated) as subjects:
            resting = idle(subjects)
            cells = _measure(subjects, wanted, stated.seconds)
            after = memory(subjects)
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"\n{'process':24}{'idle, cores':>12}{'MB before':>11}{'MB after':>10}")
    for name, (cores, before) in resting.items():
        print(f"{name:24}{cores:>12.4f}{before:>11.0f}{after[name]:>10.0f}")
    if stated.json:
        found = {"jobs": stated.jobs, "idle_cores_and_mb": resting, "mb_after": after}
        stated.json.write_text(json.dumps(found | {"cells": [asdict(one) for one in cells]}, indent=1))


def _stated(arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench api", description=__doc__)
    parser.add_argument("--url", help="a server that runs already; needs --token")
    parser.add_argument("--token", help="an access token of a NormalUser who is JobAdministrator")
    parser.add_argument("--jobs", type=int, default=JOBS, help="jobs put into each database (%(default)s)")
    parser.add_argument("--only", action="append", metavar="PART", help="operations with this in their name")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each cell (%(default)s)")
    parser.add_argument("--no-peer", action="store_true", help="ours alone")
    parser.add_argument("--no-ours", action="store_true", help="the peer alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    stated = parser.parse_args(arguments)
    if bool(stated.url) != bool(stated.token):
        parser.error("--url and --token go together")
    return stated


@contextmanager
def _subjects(stated: argparse.Namespace) -> Iterator[list[Subject]]:
    """The servers to measure, with their jobs; stopped and removed on leaving the block."""
    if stated.url:
        target = Target(stated.url.rstrip("/"), stated.token)
        yield [Subject("server", Contents(target))]
        return
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        mariadb = stack.enter_context(Database(folder / "mariadb"))
        found: list[Api] = []
        if not stated.no_ours:
            redis = stack.enter_context(Redis(folder / "redis"))
            found.append(stack.enter_context(ours(folder / "ours", mariadb, redis, stated.jobs)))
        if not stated.no_peer:
            found.append(stack.enter_context(diracx(folder / "peer", mariadb, stated.jobs)))
        pids = {"DB": mariadb.pid or 0}
        yield [Subject(one.title, Contents(one.target), pids | {"API": one.pid or 0}) for one in found]


@contextmanager
def _folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="diracx-bench-"))
    try:
        yield made
    finally:
        # The installation of MariaDB, when it is interrupted, still writes for a moment.
        for _ in range(50):
            shutil.rmtree(made, ignore_errors=True)
            if not made.exists():
                break
            time.sleep(0.2)


def _measure(subjects: list[Subject], operations: list[Operation], seconds: float) -> list[Cell]:
    """All cells; a server's comes right after the other's, so that both have the machine in the same mood."""
    print(f"\n{HEADER}", flush=True)
    cells: list[Cell] = []
    complaints: dict[str, str] = {}
    for operation in operations:
        for connections in operation.connections:
            row = [measure(subject, subjects, operation, connections, seconds) for subject in subjects]
            _show(operation, row)
            for one in filter(lambda one: one.first_error, row):
                complaints.setdefault(f"{one.operation}, {one.server}", one.first_error)
            cells += row
    for where, complaint in complaints.items():
        print(f"\nerror in {where}: {complaint}")
    generator = max(one.generator_cores for one in cells)
    print(f"\nthe load generator used up to {generator:.2f} cores", flush=True)
    return cells


def _show(operation: Operation, row: list[Cell]) -> None:
    best = [cell.items_per_s for cell in row]
    for number, cell in enumerate(row):
        ratio = f"{best[0] / best[1]:.1f}" if number == 0 and len(row) > 1 and best[1] else ""
        aim = operation.aims.get(cell.connections) if cell.server != DiracX.title else None
        held = "" if aim is None else f"{aim:,.0f} {'yes' if cell.items_per_s >= aim else 'NO'}"
        what = f"{operation.name:27}{cell.connections:>3}" if number == 0 else " " * 30
        rates = "".join(f"{_rate(one):>9}" for one in (cell.calls_per_s, cell.items_per_s))
        rates += f"{cell.p50_ms:>8.1f}{cell.p99_ms:>8.1f}"
        costs = f"{_shown(cell.api_ms):>8}{_shown(cell.db_ms):>7}{_shown(cell.others_cores):>7}"
        print(
            f"{what}  {cell.server:12}{rates}{cell.errors:>7}{costs}{ratio:>7}{held:>12}".rstrip(), flush=True
        )


def _rate(figure: float) -> str:
    return f"{figure:,.{0 if figure >= 100 else 1}f}"


def _shown(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.2f}"
