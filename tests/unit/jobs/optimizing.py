"""An installation with three sites and files, and jobs that are optimized."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import session, utc_now
from diracx_tasks.jobs import control
from diracx_tasks.jobs.chain import _optimizer
from diracx_tasks.jobs.optimize import optimize
from diracx_tasks.jobs.submit import create
from diracx_tasks.jobs.tables import Job, Payload
from diracx_tasks.matching import queue
from diracx_tasks.matching.specification import specifications
from diracx_tasks.resources.status import Element, state
from diracx_tasks.storage.catalogue import catalogue
from diracx_tasks.storage.entries import Content, Entry, Replica
from tests.builders import VO, Installation, a_new_job, claim, environment

CONFIGURATION = """
Operations:
  lhcb:
    JobScheduling: {scheduling}
    Transformations: {{DataProcessing: [Merge]}}
    DataManagement: {{FileCatalog: {catalogue}}}
    JobDescription: {{AllowedJobTypes: [User, Merge]}}
Registry: {{lhcb: {{DefaultGroup: user, Groups: {{user: {{Properties: [NormalUser]}}}}}}}}
Resources:
  StorageElements:
    CERN-disk: {{Type: folder}}
    RAL-disk: {{BackendType: EOS}}
    PIC-disk: {{Type: folder}}
    Cloud: {{Type: folder}}
    Wide-disk: {{Type: folder}}
  Sites:
    LCG:
      LCG.CERN.ch: {{SE: [CERN-disk]}}
      LCG.RAL.uk: {{SE: [RAL-disk, CERN-disk]}}
      LCG.PIC.es: {{SE: [PIC-disk]}}
      LCG.Z.zz: {{SE: [Wide-disk]}}
""" + "".join(f"      LCG.A{number}.aa: {{{{SE: [Wide-disk]}}}}\n" for number in range(100))
CERN, RAL, PIC, CLOUD = "CERN-disk", "RAL-disk", "PIC-disk", "Cloud"
FILES = {
    "/lhcb/both": (CERN, RAL),
    "/lhcb/ral": (RAL,),
    "/lhcb/cern": (CERN,),
    "/lhcb/pic": (PIC,),
    "/lhcb/wide": ("Wide-disk",),
    "/lhcb/cloud": (CLOUD, PIC),
}
PACKAGE = '''
from sqlalchemy import text, update
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.jobs.tables import Job
from diracx_tasks.jobs.verdicts import Hold, Narrow, Refuse

ASKED = []

def careful(db, vo, jobs):
    """Says of each job what its owner's name says."""
    ASKED.append([job.job_id for job in jobs])
    said = {"heidi": Hold("not today", 60), "frank": Refuse("Frank may not"), "oscar": None}
    narrowed = {job.job_id: Narrow({**job.requirements, "tags": ["careful"]}) for job in jobs}
    return {job.job_id: said[job.owner] or narrowed[job.job_id] for job in jobs if job.owner in said}

def broken(db, vo, jobs):
    """Cannot judge."""
    raise ZeroDivisionError("nothing is divided by zero")

def odd(db, vo, jobs):
    """Answers what is no verdict."""
    return {job.job_id: "yes" for job in jobs}

def clockless(db, vo, jobs):
    """Holds for what is no number of seconds."""
    return {job.job_id: Hold("soon", "60") for job in jobs}

def silent(db, vo, jobs):
    """Answers nothing at all."""

def formless(db, vo, jobs):
    """Narrows to what are no requirements."""
    return {job.job_id: Narrow(None) for job in jobs}

def tableless(db, vo, jobs):
    """Asks for a table that nobody has made."""
    db.execute(text("SELECT 1 FROM Chambers"))

def patient(db, vo, jobs):
    """Holds each job for a reason of its own, for longer than there is time."""
    return {job.job_id: Hold(f"job {job.job_id} " + chr(0xDC00) + 300 * "x", 1e300) for job in jobs}

def overtaken(db, vo, jobs):
    """Sees the jobs begin anew while it thinks."""
    db.execute(update(Job).values(attempt=Job.attempt + 1))
    return {job.job_id: Refuse("too late") for job in jobs if job.owner == "frank"}

class Away:
    """A catalogue that does not answer."""
    def __init__(self, db, vo):
        pass
    def look_up(self, lfns):
        raise Unavailable("the catalogue is being moved")
'''
OPTIMIZERS = (
    "broken",
    "careful",
    "clockless",
    "formless",
    "odd",
    "overtaken",
    "patient",
    "silent",
    "tableless",
)
Configured = Callable[..., Any]


@pytest.fixture
def statements() -> Iterator[Callable[[], int]]:
    """How many statements have gone to the database so far."""
    counted = []

    def count(*_: Any) -> None:
        counted.append(1)

    event.listen(Engine, "before_cursor_execute", count)
    yield lambda: len(counted)
    event.remove(Engine, "before_cursor_execute", count)


@pytest.fixture
def configured(installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configured:
    """The installation with three sites, a package with optimizers, and a section JobScheduling."""
    about = tmp_path / "package/optimizers-1.0.dist-info"
    about.mkdir(parents=True)
    (tmp_path / "package/careful_optimizers.py").write_text(PACKAGE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: optimizers\nVersion: 1.0\n")
    points = "\n".join(
        ["[diracx.optimizers]", *(f"{name} = careful_optimizers:{name}" for name in OPTIMIZERS)]
    )
    catalogues = "\n[diracx.file_catalogues]\naway = careful_optimizers:Away\n"
    (about / "entry_points.txt").write_text(points + catalogues)
    monkeypatch.syspath_prepend(str(tmp_path / "package"))
    _optimizer.cache_clear()
    before = {name: value for name, value in os.environ.items() if name.startswith("DIRACX_")}

    @contextmanager
    def inside(scheduling: str = "{}", catalogue: str = "diracx") -> Iterator[None]:
        file = installation.folder / "configuration.yml"
        file.write_text(CONFIGURATION.format(scheduling=scheduling, catalogue=catalogue))
        with environment(**before, DIRACX_CONFIG_BACKEND_URL=str(file)):
            if catalogue == "diracx":
                with session() as db:
                    enter(db)
            yield

    return inside


def enter(db: Session) -> None:
    """Enter the files into the catalogue, unless they are there."""
    catalogue(db, VO).register([file(lfn, *ses) for lfn, ses in FILES.items()])


def file(lfn: str, *ses: str) -> Entry:
    """A file with replicas at storage elements."""
    replicas = tuple(Replica(se, lfn) for se in ses)
    return Entry(lfn, Content(7, adler32="0badc0de"), "", "alice", "user", replicas)


def submitted(*input_data: str, **stated: Any) -> int:
    """A job that has been received."""
    with session() as db:
        (job_id,) = create(db, [a_new_job(input_data=input_data, **stated)])
    return job_id


def optimized(*job_ids: int) -> list[tuple[str, str, str, str]]:
    """Status, minor and application status and site of jobs after the optimizer."""
    with session() as db:
        optimize(db)
    columns = (Job.status, Job.minor_status, Job.application_status, Job.site)
    with session() as db:
        query = select(*columns).where(Job.job_id.in_(job_ids)).order_by(Job.job_id)
        return [(one, two, three, four) for one, two, three, four in db.execute(query)]


def sites_of(job_id: int) -> tuple[str, ...]:
    """Where a job may run, as the matcher reads it."""
    with session() as db:
        record = db.scalars(select(Payload.requirements).where(Payload.job_id == job_id)).one()
    (one,) = specifications(record)
    return one.sites


def readable(se: str, status: str) -> None:
    """State whether a storage element can be read, and nothing of its other uses."""
    with session() as db:
        state(db, Element(se, "StorageElement", "ReadAccess", VO), status, "as tested")


def lost(job_id: int, attempt: int = 1) -> None:
    """Have a pilot take a job and lose it."""
    with session() as db:
        claim(db, job_id)
        queue.claimed(db, [job_id])
    with session() as db:
        control.reschedule(db, job_id, attempt=attempt, reason="lost", source="test")


def due_now(job_id: int) -> None:
    """Have a job that is on hold be looked at."""
    with session() as db:
        db.execute(update(Job).where(Job.job_id == job_id).values(next_check_at=utc_now(-1)))
