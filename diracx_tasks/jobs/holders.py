"""Which pilots hold a job, and which jobs a pilot held."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import case, false, func, select, true
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.jobs.access import visible
from diracx_tasks.jobs.states import HELD
from diracx_tasks.jobs.tables import Attempt, Job

_CURRENT = (Job.job_id == Attempt.job_id) & (Job.attempt == Attempt.attempt)


class Held(NamedTuple):
    """A job that a pilot had: its attempt, how that is or ended, and whether the pilot has it still."""

    job_id: int
    attempt: int
    status: str
    reason: str
    started_at: datetime
    ended_at: datetime | None
    is_held: bool


def jobs_held(db: Session, stamp: str, most: int, *, by: User) -> list[Held]:
    """The last jobs that a pilot took, of those that somebody may see; so many at most, the newest first."""
    is_now = (Job.attempt == Attempt.attempt) & Attempt.ended_at.is_(None) & Job.status.in_(HELD)
    status = case((is_now, Job.status), else_=Attempt.status)
    columns = (Attempt.job_id, Attempt.attempt, status, Attempt.reason, Attempt.started_at, Attempt.ended_at)
    query = select(*columns, case((is_now, true()), else_=false())).join(Job, Job.job_id == Attempt.job_id)
    mine = query.where(*visible(by), Attempt.pilot == stamp)
    newest = mine.order_by(Attempt.started_at.desc(), Attempt.job_id.desc()).limit(most)
    return [Held(*row) for row in db.execute(newest)]


def held_count(db: Session, stamp: str) -> int:
    """How many jobs a pilot holds at present, whoever asks."""
    query = select(func.count()).join_from(Attempt, Job, _CURRENT).where(Attempt.pilot == stamp)
    return int(db.execute(query.where(Attempt.ended_at.is_(None), Job.status.in_(HELD))).scalar_one())


def holders(db: Session, vo: str, stamps: Collection[str]) -> set[str]:
    """Those of the pilots of a VO that hold a job at present."""
    query = select(Attempt.pilot).join(Job, _CURRENT)
    mine = query.where(Job.vo == vo, Attempt.pilot.in_(stamps), Attempt.ended_at.is_(None))
    return set(db.scalars(mine.where(Job.status.in_(HELD)).distinct())) if stamps else set()
