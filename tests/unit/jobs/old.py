"""Jobs that nothing has happened to for some days, and what becomes of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from diracx_tasks.accounting import usage
from diracx_tasks.core.database import reading, session, utc_now
from diracx_tasks.jobs import tasks
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job
from diracx_tasks.sandboxes import metadata
from diracx_tasks.sandboxes.tables import Sandbox
from tests.builders import VO, Installation, a_job
from tests.unit.matching.ends import configured

ALICE = metadata.Owner("alice", "user", VO)
DAY = 86400
HOUR = 1 / 24


def an_old_job(status: Status, days: float, **stated: Any) -> int:
    """A job with a status to which nothing has happened for some days; what it used was counted."""
    with session() as db:
        job_id = a_job(db, Status.DONE if status is Status.DELETED else status, **stated)
        moment = utc_now(-days * DAY)
        values = {"status": status, "updated_at": moment, "heartbeat_at": moment}
        db.execute(update(Job).where(Job.job_id == job_id).values(values))
        usage.gather(db)
    return job_id


def the_newest() -> int:
    """A job behind all others, whose number is not given again."""
    with session() as db:
        return a_job(db)


def a_sandbox(db: Session, checksum: str, *entities: str) -> int:
    """A file of alice's that these have; its number."""
    location = metadata.location_of(metadata.initiate(db, ALICE, checksum=checksum, size=3)["pfn"])
    for entity in entities:
        metadata.assign(db, entity, [location], "Input")
    return db.scalars(select(func.max(Sandbox.sandbox_id))).one()


def left(*job_ids: int) -> list[int]:
    """Those of the jobs that are there, with their places among these."""
    with reading() as db:
        there = set(db.scalars(select(Job.job_id)))
    return [place for place, job_id in enumerate(job_ids) if job_id in there]


def status_of(job_id: int) -> str:
    """The status of a job."""
    with reading() as db:
        return db.get_one(Job, job_id).status


def purged(vo: str = VO) -> str:
    """What the task says; the newest job is there before."""
    the_newest()
    return str(tasks.purge.run(vo=vo))


@contextmanager
def delays(installation: Installation, stated: str, agents: str = "{}") -> Iterator[None]:
    """A VO's section JobScheduling, and the options of DIRAC's agent."""
    text = f"""Operations: {{{VO}: {{JobScheduling: {stated}}}}}
Systems: {{WorkloadManagement: {{Agents: {{JobCleaningAgent: {agents}}}}}}}
"""
    with configured(installation, text):
        yield
