"""Jobs that pilots hold or have ended, many at once, and configurations of the matcher."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, session, utc_now
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs import claims
from diracx_tasks.jobs import status as door
from diracx_tasks.jobs.optimize import WAITING
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.submit import NewJob, create
from diracx_tasks.jobs.tables import Attempt
from diracx_tasks.matching import queue
from diracx_tasks.matching.node import Node
from tests.builders import ANYWHERE, VO, Installation, a_new_job, environment

MINUTE = 60.0


@contextmanager
def configured(installation: Installation, text: str) -> Iterator[None]:
    """The installation, wherever its database is, with a configuration."""
    file = installation.folder / "configuration.yml"
    file.write_text(text)
    before = {name: value for name, value in os.environ.items() if name.startswith("DIRACX_")}
    with environment(**{**before, "DIRACX_CONFIG_BACKEND_URL": str(file)}):
        yield


def a_node(site: str = "CERN", name: str = "n1", ce: str = "ce1") -> Node:
    """A node that every job fits."""
    return Node(site, ce=ce, name=name, cores=64, ram_mb=256_000)


def waiting(count: int = 1, *, vo: str = VO, owner: str = "alice", **about: str) -> list[int]:
    """Jobs that wait for a pilot, committed."""
    new = a_new_job(vo=vo, owner=owner, **about)
    with session() as db:
        jobs = _made(db, new, count)
        who = (vo, new.job_type, new.group, owner)
        queue.add(db, [queue.Entry(job_id, *who, 5, ANYWHERE) for job_id in jobs])
    return jobs


def held(count: int = 1, *, site: str = "CERN", node: str = "n1", ce: str = "ce1", **about: str) -> list[int]:
    """Jobs that run on a node, committed."""
    with session() as db:
        return _held(db, count, (site, ce, node), about)


def ended(count: int, status: Status, node: str = "CERN/n1", *, ago: float = 0, **about: str) -> list[int]:
    """Jobs that have ended on a node so many seconds ago, committed."""
    site, _, name = node.partition("/")
    with session() as db:
        jobs = _held(db, count, (site, "ce1", name), about)
        end(db, jobs, status)
    if ago:
        shift(jobs, ago + MINUTE, ago)
    return jobs


def _held(db: Session, count: int, place: tuple[str, str, str], about: dict[str, str]) -> list[int]:
    new = a_new_job(**about)
    jobs = _made(db, new, count)
    works = claims.hold_waiting(db, new.vo, jobs)
    claims.give(db, {claims.Claim(job_id, "stamp", *place): work for job_id, work in works.items()})
    return door.move_many(db, jobs, Change(Status.RUNNING), frm=(Status.MATCHED,))


def _made(db: Session, new: NewJob, count: int) -> list[int]:
    jobs = create(db, [new] * count)
    return door.move_many(db, jobs, WAITING, frm=(Status.RECEIVED,))


def end(db: Session, jobs: list[int], status: Status) -> None:
    """End jobs that run; not committed."""
    found = door.hold(db, jobs).values()
    door.write(db, [door.New(one, status, application="as built") for one in found])


def shift(jobs: list[int], started: float, ended_ago: float | None = None) -> None:
    """Have attempts begun, and ended, so many seconds ago."""
    times = {"started_at": utc_now(-started)}
    if ended_ago is not None:
        times["ended_at"] = utc_now(-ended_ago)
    with session() as db:
        changed(db, update(Attempt).where(Attempt.job_id.in_(jobs)).values(times))


def policy(name: str, vo: str = VO) -> dict[str, str]:
    """A hash of the matcher in Redis."""
    found: dict[str, str] = redis().hgetall(f"{{{vo}}}:m:{name}")  # type: ignore[assignment]
    return found
