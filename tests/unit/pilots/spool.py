"""A batch system in a folder, brought by an installed package, and a configuration with two such sites."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from diracx_tasks.core.database import changed, reading, session, utc_now
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.pilots import plan, submit, sync
from diracx_tasks.pilots.tables import Pilot, QueueState, Submission
from diracx_tasks.resources import view
from tests.builders import VO, Installation
from tests.unit.matching.ends import configured

# Jobs are files of the queue's folder, what is to be told of them is written there by the test.
PACKAGE = """
import json, pathlib, time
from diracx_tasks.core.errors import BadRequest, Unavailable
from diracx_tasks.pilots.elements import Refused, State, Told

class Spool:
    def __init__(self, name, options):
        self.folder = pathlib.Path(options["Folder"]) / name
        self.folder.mkdir(exist_ok=True)

    def _rule(self, name):
        path = self.folder / f"{name}.rule"
        return path.read_text() if path.exists() else ""

    def submit(self, queue, pilots):
        if words := self._rule("refuses"):
            raise Refused(words)
        if words := self._rule("away"):
            raise Unavailable(words)
        while self._rule("hesitates"):
            time.sleep(0.01)
        most = int(self._rule("takes") or len(pilots))
        for one in pilots[:most]:
            (self.folder / f"{one.stamp}.job").write_text(json.dumps({"queue": queue, "script": one.text}))
        if words := self._rule("falls silent"):
            raise Unavailable(words)
        return {one.stamp: f"{self.folder.name}/{one.stamp}" for one in pilots[:most]}

    def find(self, stamps):
        if words := self._rule("cannot find"):
            raise Unavailable(words)
        there = [stamp for stamp in stamps if (self.folder / f"{stamp}.job").exists()]
        return {stamp: f"{self.folder.name}/{stamp}" for stamp in there}

    def _stamps(self, references):
        mine = [one for one in references if one.startswith(f"{self.folder.name}/")]
        return {one: one.rpartition("/")[2] for one in mine}

    def status(self, references):
        return {one: self._told(stamp) for one, stamp in self._stamps(references).items()}

    def _told(self, stamp):
        path = self.folder / f"{stamp}.job"
        if not path.exists():
            return Told(State.UNKNOWN)
        return Told(*json.loads(path.read_text()).get("told", ["Waiting"]))

    def kill(self, references):
        for stamp in self._stamps(references).values():
            (self.folder / f"{stamp}.job").unlink(missing_ok=True)

    def output(self, reference):
        if words := self._rule("refuses"):
            raise Refused(words)
        if words := self._rule("away"):
            raise Unavailable(words)
        path = self.folder / f"{reference.rpartition('/')[2]}.out"
        return (path.read_text() if path.exists() else ""), ""
"""
GRID = """\
Registry: {{lhcb: {{DefaultGroup: user, Groups: {{user: {{Properties: [NormalUser]}}}}}}}}
Operations: {{lhcb: {{SiteDirector: {{BackoffSeconds: 600}}}}}}
Resources:
  Sites:
    LCG:
      LCG.CERN.ch:
        CEs:
          ce1:
            CEType: spool
            Folder: {folder}
            Queues:
              short: {{maxCPUTime: 600, MaxWaitingJobs: 20, MaxTotalJobs: 100}}
              big: {{maxCPUTime: 2880, NumberOfProcessors: 8, MaxRAM: 16000, MaxWaitingJobs: 5}}
      LCG.RAL.uk:
        CEs:
          ce2:
            CEType: spool
            Folder: {folder}
            Queues: {{long: {{maxCPUTime: 2880, MaxWaitingJobs: 20, MaxTotalJobs: 100}}}}
"""


@dataclass(frozen=True)
class Grid:
    """The folder of the batch systems of an installation, and what may be done to them."""

    folder: Path
    installation: Installation

    def rule(self, ce: str, name: str, words: str) -> None:
        """From now on an element refuses, is away, ...; with empty words no more."""
        (self.folder / ce).mkdir(exist_ok=True)
        (self.folder / ce / f"{name}.rule").write_text(words)

    def jobs(self, ce: str) -> dict[str, dict[str, Any]]:
        """What an element has, by stamp."""
        found = sorted((self.folder / ce).glob("*.job"))
        return {path.stem: json.loads(path.read_text()) for path in found}

    def tell(self, ce: str, *told: str) -> None:
        """From now on an element says this of all pilots that it has."""
        for stamp, job in self.jobs(ce).items():
            (self.folder / ce / f"{stamp}.job").write_text(json.dumps({**job, "told": told}))

    def write(self, ce: str, stamp: str, text: str) -> None:
        """From now on an element has this output of a pilot."""
        (self.folder / ce / f"{stamp}.out").write_text(text)

    def forget(self, ce: str) -> None:
        """An element knows nothing of its pilots any more."""
        for path in (self.folder / ce).glob("*.job"):
            path.unlink()


@pytest.fixture
def grid(installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grid]:
    """An installation that sends pilots to two sites."""
    package, folder = tmp_path / "package", tmp_path / "spool"
    about = package / "spool-1.0.dist-info"
    about.mkdir(parents=True)
    folder.mkdir()
    (package / "spool_element.py").write_text(PACKAGE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: spool\nVersion: 1.0\n")
    points = "[diracx.computing_elements]\nspool = spool_element:Spool\n"
    (about / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(package))
    # What another test has banned in the same database is remembered for a while.
    view.forget()
    with configured(installation, GRID.format(folder=folder)):
        yield Grid(folder, installation)


def planned() -> plan.Plan:
    """What a round plans, committed."""
    with session() as db:
        return patiently(db, partial(plan.plan_pilots, db, VO))


def new() -> dict[str, int]:
    """How many pilots a round plans for each queue."""
    return {line.queue.name: line.new for line in planned().lines if line.new}


def words_of(name: str) -> str:
    """What a dry run says of a queue."""
    with reading() as db:
        return next(line.words for line in plan.plan(db, VO).lines if line.queue.name == name)


def submitted(*names: str) -> dict[str, submit.Submitted | None]:
    """What elements take of the planned pilots."""
    return {ce: submit.submit_page(VO, ce) for ce in names or ("ce1", "ce2")}


def synced(*names: str) -> int:
    """How many pilots have changed."""
    return sum(sync.sync_pilots(VO, ce) for ce in names or ("ce1", "ce2"))


def statuses() -> Counter[str]:
    """How many pilots there are in each status."""
    with reading() as db:
        return Counter(db.scalars(select(Pilot.status)))


def reasons() -> set[str]:
    """The reasons that stand in the pilots' rows."""
    with reading() as db:
        return set(db.scalars(select(Pilot.reason)))


def age(seconds: float, *, pilots: bool = True, breakers: bool = False) -> None:
    """Let time pass: what happened to pilots, or to breakers, was so much earlier."""
    with session() as db:
        if pilots:
            for column in (Submission.planned_at, Submission.claimed_at, Submission.started_at):
                moments = {stamp: moment for stamp, moment in db.execute(select(Submission.stamp, column))}
                for stamp, moment in moments.items():
                    if moment is not None:
                        earlier = {column: moment - timedelta(seconds=seconds)}
                        changed(db, update(Submission).where(Submission.stamp == stamp).values(earlier))
            changed(db, update(Pilot).values({Pilot.updated_at: utc_now(-seconds)}))
        if breakers:
            changed(
                db,
                update(QueueState)
                .where(QueueState.open_until.is_not(None))
                .values({QueueState.open_until: utc_now()}),
            )
