"""One workflow of very many jobs, with pilots that only say that each is done: the engine alone."""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError

from diracx_tasks.auth import keys
from diracx_tasks.core.database import now, plain, reading, session
from diracx_tasks.core.many import insert_many
from diracx_tasks.core.schema import migrate
from diracx_tasks.core.settings import settings
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.jobs.claims import ATTEMPT
from diracx_tasks.jobs.finish import finish
from diracx_tasks.jobs.heartbeat import Report
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.tables import Attempt, Job, Payload
from diracx_tasks.workflows import submit
from diracx_tasks.workflows.states import FINAL
from diracx_tasks.workflows.tables import Node, Workflow
from diracx_tasks.workflows.turn import turn
from tests.bench.installations import Database
from tests.builders import a_pilot, a_user, environment
from tests.servers import Redis

PAGE = 1000
TEXT = b"""cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {xs: 'int[]'}
outputs: {ys: {type: 'int[]', outputSource: one/y}}
steps:
  one:
    run: {class: CommandLineTool, baseCommand: 'true', inputs: {x: int}, outputs: {y: int}}
    scatter: x
    in: {x: xs}
    out: [y]
"""


@dataclass(frozen=True)
class Figures:
    """What was measured of one workflow."""

    name: str
    elements: int
    submit_s: float
    expand_per_s: float
    complete_per_s: float
    rss_mb: float
    kills: int

    def __str__(self) -> str:
        return (
            f"{self.name:10}{self.elements:>11,}{self.submit_s:>10.1f}{self.expand_per_s:>12,.0f}"
            f"{self.complete_per_s:>14,.0f}{self.rss_mb:>10.0f}{self.kills:>8}"
        )


HEADER = (
    f"{'database':10}{'elements':>11}{'submit s':>10}{'expanded/s':>12}"
    f"{'completed/s':>14}{'RSS MB':>10}{'kills':>8}"
)


def wide(name: str, elements: int, kills: int = 0) -> Figures:
    """A scatter over so many numbers on `sqlite` or `mariadb`, its coordinator killed so often on the way."""
    with installed(name) as folder:
        began = time.perf_counter()
        workflow_id = _submit(elements)
        submitted = time.perf_counter() - began
        began, lives = time.perf_counter(), Coordinators(folder, workflow_id)
        for number in range(kills):
            lives.live_until(_reached(_made, workflow_id, elements * (number + 1) // (2 * kills + 1)))
        lives.live_until(lambda: _made(workflow_id) == elements)
        expanded = time.perf_counter() - began
        _match_all(workflow_id)
        began = time.perf_counter()
        pilot = subprocess.Popen([sys.executable, "-m", "tests.bench.cwl_wide", "pilot", str(workflow_id)])
        for number in range(kills):
            lives.live_until(_reached(_ended, workflow_id, elements * (number + 1) // (kills + 1)))
        lives.live_until(lambda: _status(workflow_id) in FINAL)
        completed = time.perf_counter() - began
        pilot.wait(60)
        assert _status(workflow_id) == "Done", _status(workflow_id)
        assert _made(workflow_id) == _jobs(workflow_id) == elements
        return Figures(
            name, elements, submitted, elements / expanded, elements / completed, lives.rss_mb, lives.kills
        )


@contextmanager
def installed(name: str) -> Iterator[Path]:
    """An installation on a database of its own."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        folder = Path(made)
        server = stack.enter_context(Redis(folder / "redis"))
        stated = {"DIRACX_DATA": str(folder), "DIRACX_REDIS_URL": server.url}
        if name == "mariadb":
            stated["DIRACX_DATABASE_URL"] = stack.enter_context(Database(folder / "mariadb")).url
        stack.enter_context(environment(**stated))
        keys.create(settings().keys_file)
        migrate()
        yield folder


class Coordinators:
    """Processes that advance one workflow, one after the other, each killed when it has come far enough."""

    def __init__(self, folder: Path, workflow_id: int) -> None:
        self._log = folder / "coordinator.json"
        self._workflow_id = workflow_id
        self.rss_mb = 0.0
        self.kills = -2

    def live_until(self, is_enough: Callable[[], bool]) -> None:
        """Run one, and kill it with signal 9 when `is_enough()`."""
        command = [sys.executable, "-m", "tests.bench.cwl_wide", "coordinator", str(self._workflow_id)]
        process = subprocess.Popen([*command, str(self._log)], start_new_session=True)
        try:
            while not is_enough():
                assert process.poll() is None, "the coordinator has ended"
                time.sleep(0.1)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.kills += 1
        if self._log.exists():
            self.rss_mb = max(self.rss_mb, json.loads(self._log.read_text() or "0"))


def coordinate(workflow_id: int, log: Path) -> None:
    """Advance a workflow for ever, writing down the most memory that this took."""
    while True:
        # As the task does: a database that has been busy for too long is asked again.
        with suppress(OperationalError):
            turn(workflow_id, 5)
        log.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        time.sleep(0.02)


def acknowledge(workflow_id: int) -> None:
    """End every job of a workflow well, a page at a time."""
    last = 0
    while True:
        with session() as db:
            mine = select(Payload.job_id, Payload.payload).where(Payload.owner_id == workflow_id)
            rows = db.execute(mine.where(Payload.job_id > last).order_by(Payload.job_id).limit(PAGE)).all()
            if not rows:
                return
            last = rows[-1].job_id
            done = [
                Change(JobStatus.DONE, "Execution Complete", source="Bench", outputs={"y": one.job_id})
                for one in rows
            ]
            ends = {one.job_id: Report(1, change) for one, change in zip(rows, done, strict=True)}
            finish(db, ends, by=a_pilot())


def _submit(elements: int) -> int:
    bundle = Bundle.of({"wide.cwl": TEXT}, "wide.cwl")
    inputs = {"xs": list(range(elements))}
    checked = submit.check(bundle, inputs, by=a_user())
    with session() as db:
        return submit.submit(db, submit.Request(bundle, inputs), checked, by=a_user()).workflow_id


def _match_all(workflow_id: int) -> None:
    """Give all jobs to one pilot, as if they had been matched."""
    mine, last = select(Payload.job_id).where(Payload.owner_id == workflow_id), 0
    while True:
        with session() as db:
            page = mine.where(Payload.job_id > last).order_by(Payload.job_id).limit(10 * PAGE)
            found = list(db.scalars(page))
            if not found:
                return
            here = plain(Job).c.JobID.between(found[0], found[-1])
            db.execute(update(plain(Job)).where(here).values(Status="Running"))
            last, moment = found[-1], now()
            rows = [(one, 1, "stamp-1", "site", "ce", "node", moment, "Running", "", 30.0) for one in found]
            insert_many(db, plain(Attempt), ATTEMPT, rows)


def _reached(count: Callable[[int], int], workflow_id: int, wanted: int) -> Callable[[], bool]:
    return lambda: count(workflow_id) >= wanted


def _made(workflow_id: int) -> int:
    return _scatter(workflow_id)[0]


def _ended(workflow_id: int) -> int:
    return _scatter(workflow_id)[1]


def _scatter(workflow_id: int) -> tuple[int, int]:
    """How many slots have been made, and how many are over."""
    mine = (Node.workflow_id == workflow_id, Node.kind == "scatter")
    with reading() as db:
        found = db.execute(select(Node.cursor, Node.ended).where(*mine)).first()
    return (found.cursor, found.ended) if found else (0, 0)


def _jobs(workflow_id: int) -> int:
    with reading() as db:
        query = select(func.count()).select_from(Payload).where(Payload.owner_id == workflow_id)
        return db.execute(query).scalar_one()


def _status(workflow_id: int) -> str:
    with reading() as db:
        return db.get_one(Workflow, workflow_id).status


def main() -> None:
    """What a child process is started for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["coordinator", "pilot"])
    parser.add_argument("workflow_id", type=int)
    parser.add_argument("log", type=Path, nargs="?")
    stated = parser.parse_args()
    if stated.part == "coordinator":
        coordinate(stated.workflow_id, stated.log)
    acknowledge(stated.workflow_id)


if __name__ == "__main__":
    main()
