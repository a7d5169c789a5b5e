"""Which pilots hold a job."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import HELD
from diracx_tasks.jobs.tables import Attempt, Job


def holders(db: Session, vo: str, stamps: Collection[str]) -> set[str]:
    """Those of the pilots of a VO that hold a job at present."""
    query = select(Attempt.pilot).join(Job, (Job.job_id == Attempt.job_id) & (Job.attempt == Attempt.attempt))
    mine = query.where(Job.vo == vo, Attempt.pilot.in_(stamps), Attempt.ended_at.is_(None))
    return set(db.scalars(mine.where(Job.status.in_(HELD)).distinct())) if stamps else set()
