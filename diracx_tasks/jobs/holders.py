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

# That an attempt is its job's present one, and a pilot has it.
_IS_NOW = (Job.attempt == Attempt.attempt) & Attempt.ended_at.is_(None) & Job.status.in_(HELD)


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
    status = case((_IS_NOW, Job.status), else_=Attempt.status)
    columns = (Attempt.job_id, Attempt.attempt, status, Attempt.reason, Attempt.started_at, Attempt.ended_at)
    query = select(*columns, case((_IS_NOW, true()), else_=false())).join(Job, Job.job_id == Attempt.job_id)
    mine = query.where(*visible(by), Attempt.pilot == stamp)
    newest = mine.order_by(Attempt.started_at.desc(), Attempt.job_id.desc()).limit(most)
    return [Held(*row) for row in db.execute(newest)]


def held_count(db: Session, stamp: str) -> int:
    """How many jobs a pilot holds at present, whoever asks."""
    query = select(func.count()).join_from(Attempt, Job, Job.job_id == Attempt.job_id)
    return int(db.execute(query.where(Attempt.pilot == stamp, _IS_NOW)).scalar_one())


def holders(db: Session, vo: str, stamps: Collection[str]) -> set[str]:
    """Those of the pilots of a VO that hold a job at present."""
    query = select(Attempt.pilot).join(Job, Job.job_id == Attempt.job_id)
    mine = query.where(Job.vo == vo, Attempt.pilot.in_(stamps), _IS_NOW)
    return set(db.scalars(mine.distinct())) if stamps else set()
