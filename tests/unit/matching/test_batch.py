"""Batches for computing elements whose nodes cannot call out, with an element of an installed package."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from diracx_tasks.auth.tokens import verify
from diracx_tasks.core.database import reading, session
from diracx_tasks.core.errors import BadRequest, NotFound, SettingsError, Unavailable
from diracx_tasks.core.redis import redis
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs.heartbeat import Report, report
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.tables import Attempt, Job
from diracx_tasks.matching import batch, tasks
from diracx_tasks.matching.batch import Handed, match_batch
from diracx_tasks.matching.match import Matches, match
from diracx_tasks.matching.node import Node
from diracx_tasks.pilots import register
from diracx_tasks.pilots.tables import Pilot
from tests.builders import VO, Installation
from tests.unit.matching.ends import configured, waiting

# Jobs are files in a folder; the site takes up to `slots` of them, and none whose number is refused.
SPOOL = """
import json, pathlib

class Spool:
    def __init__(self, ce, options):
        self.folder, self.options = pathlib.Path(options["folder"]), options

    def room(self):
        return self.options["slots"] - len(list(self.folder.glob("*.json")))

    def submit(self, batch):
        if self.options.get("away"):
            raise OSError("the site does not answer")
        taken = [one for one in batch.jobs if one.job_id not in self.options.get("refused", [])]
        for one in taken:
            order = {"job": one.job_id, "attempt": one.work.attempt, "payload": one.work.payload,
                     "stamp": batch.stamp, "token": batch.token}
            (self.folder / f"{one.job_id}.json").write_text(json.dumps(order))
        return {one.job_id for one in taken}
"""
ELEMENT = """\
Registry: {{lhcb: {{}}}}
Operations:
  lhcb:
    Matching:
      Batches:
        hpc01:
          Kind: spool
          MaxJobs: 4
          Node: {{Site: LCG.HPC.ch, CPUTime: 86400, NumberOfProcessors: 8, MaxRAM: 16000}}
          Options: {options}
"""


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a site, and the package that knows it."""
    package = tmp_path / "package"
    about = package / "spool-1.0.dist-info"
    about.mkdir(parents=True)
    (package / "spool.py").write_text(SPOOL)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: spool\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[diracx.batches]\nspool = spool:Spool\n")
    monkeypatch.syspath_prepend(str(package))
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


def element(folder: Path, slots: int = 10, **options: object) -> str:
    return ELEMENT.format(options=json.dumps({"folder": str(folder), "slots": slots, **options}))


@pytest.fixture
def hpc(installation: Installation, spool: Path) -> Iterator[Path]:
    """A site with ten slots."""
    with configured(installation, element(spool)):
        yield spool


def orders(folder: Path) -> dict[int, dict[str, object]]:
    return {int(file.stem): json.loads(file.read_text()) for file in folder.glob("*.json")}


def statuses() -> dict[int, str]:
    with reading() as db:
        return {job_id: status for job_id, status in db.execute(select(Job.job_id, Job.status))}


def test_a_batch_has_as_many_jobs_as_the_configuration_and_the_site_allow(hpc: Path) -> None:
    jobs = waiting(20)
    assert match_batch(VO, "hpc01") == Handed(4, 0)
    assert list(sorted(orders(hpc))) == jobs[:4]
    assert [match_batch(VO, "hpc01").taken for _ in range(4)] == [4, 2, 0, 0]
    assert sorted(orders(hpc)) == jobs[:10]
    assert list(statuses().values()).count("Matched") == 10


def test_jobs_are_held_by_the_one_pilot_that_stands_for_the_element(hpc: Path) -> None:
    waiting(8)
    match_batch(VO, "hpc01")
    match_batch(VO, "hpc01")
    stamps = {str(order["stamp"]) for order in orders(hpc).values()}
    (stamp,) = stamps
    with reading() as db:
        rows = {tuple(row) for row in db.execute(select(Attempt.pilot, Attempt.site, Attempt.ce))}
        pilots = db.execute(text("SELECT PilotStamp, DestinationSite, Status FROM PilotAgents")).all()
    assert rows == {(stamp, "LCG.HPC.ch", "hpc01")}
    assert [tuple(row) for row in pilots] == [(stamp, "hpc01", "Running")]
    holder = verify(str(next(iter(orders(hpc).values()))["token"]))
    assert (holder.pilot_stamp, holder.vo) == (stamp, VO)


def test_what_the_site_does_not_take_waits_again_as_a_new_attempt(
    installation: Installation, spool: Path
) -> None:
    jobs = waiting(3)
    with configured(installation, element(spool, refused=jobs[:1])):
        assert match_batch(VO, "hpc01") == Handed(2, 1)
    assert sorted(orders(spool)) == jobs[1:]
    assert statuses()[jobs[0]] == "Received"


def test_nothing_is_lost_when_the_site_does_not_answer(installation: Installation, spool: Path) -> None:
    waiting(3)
    with (
        configured(installation, element(spool, away=True)),
        pytest.raises(OSError, match="the site does not answer"),
    ):
        match_batch(VO, "hpc01")
    assert set(statuses().values()) == {"Received"}


def then(number: int, action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Something happens when so many jobs have been matched."""
    found: list[object] = []

    def matching(vo: str, node: Node, *, stamp: str) -> Matches:
        if len(found) == number:
            action()
        found.append(vo)
        return match(vo, node, stamp=stamp)

    monkeypatch.setattr(batch, "match", matching)


def test_what_was_matched_before_redis_refused_is_handed_over(
    hpc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = waiting(4)
    then(2, lambda: _limit_memory(1), monkeypatch)
    try:
        assert match_batch(VO, "hpc01") == Handed(2, 0)
        with pytest.raises(Unavailable):
            match_batch(VO, "hpc01")
    finally:
        _limit_memory(0)
    assert sorted(orders(hpc)) == jobs[:2]
    assert list(statuses().values()) == ["Matched"] * 2 + ["Waiting"] * 2


def _limit_memory(most: int) -> None:
    redis().config_set("maxmemory", most)


def test_what_was_matched_before_anything_else_went_wrong_waits_again(
    hpc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(4)

    def fail() -> None:
        raise TimeoutError("the database does not answer")

    then(2, fail, monkeypatch)
    with pytest.raises(TimeoutError):
        match_batch(VO, "hpc01")
    assert orders(hpc) == {}
    assert list(statuses().values()) == ["Received"] * 2 + ["Waiting"] * 2


def test_with_the_token_of_a_later_batch_jobs_of_earlier_ones_are_reported_on(hpc: Path) -> None:
    (first, *_) = waiting(5)
    assert [match_batch(VO, "hpc01").taken for _ in range(2)] == [4, 1]
    *_, last = sorted(orders(hpc).items())
    holder = verify(str(last[1]["token"]))
    with session() as db:
        report(db, first, [Report(1, Change(Status.RUNNING))], by=holder)
    assert statuses()[first] == "Running"


def test_a_full_site_is_given_nothing(installation: Installation, spool: Path) -> None:
    waiting(3)
    with configured(installation, element(spool, slots=0)):
        assert match_batch(VO, "hpc01") == Handed(0, 0)
    assert set(statuses().values()) == {"Waiting"}


def test_the_periodic_task_asks_for_a_batch_of_each_element(hpc: Path) -> None:
    waiting(2)
    assert tasks.match_batches.run(vo=VO) == "1 elements"
    with reading() as db:
        query = select(func.count()).select_from(Outbox).where(Outbox.task == "matching.match_batch")
        assert db.scalar(query) == 1
    assert tasks.match_batch.run(vo=VO, ce="hpc01") == "2 handed over, 0 given back"


def test_what_is_wrong_with_an_element_is_said(installation: Installation, spool: Path) -> None:
    with configured(installation, element(spool).replace("Kind: spool", "Kind: slurm")):
        with pytest.raises(SettingsError, match=r"no kind slurm of computing elements for hpc01.*: spool"):
            match_batch(VO, "hpc01")
        with pytest.raises(NotFound, match="no batches are matched for hpc02 in lhcb"):
            match_batch(VO, "hpc02")
    with (
        configured(installation, element(spool).replace("CPUTime: 86400, ", "")),
        pytest.raises(BadRequest, match="CPUTime"),
    ):
        match_batch(VO, "hpc01")


def test_the_pilot_of_an_element_gets_jobs_also_when_it_was_said_to_have_ended(hpc: Path) -> None:
    waiting(1)
    assert match_batch(VO, "hpc01") == Handed(1, 0)
    with session() as db:
        stamp = db.scalars(select(Pilot.stamp)).one()
        register.ended(db, VO, [stamp], status="Deleted", reason="it has been silent for 3 days")
    (new,) = waiting(1)
    match_batch(VO, "hpc01")
    assert new in orders(hpc)
    with reading() as db:
        assert db.scalars(select(Pilot.status)).all() == ["Running"]
