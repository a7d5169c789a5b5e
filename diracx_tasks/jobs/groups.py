"""Groups of somebody's jobs (DIRAC's JobGroup): whether they have all ended, which are held for long."""

from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import utc_now
from diracx_tasks.jobs.search import SHOWN
from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.tables import Job


class LongHeld(NamedTuple):
    """Jobs of one group that are on hold for one reason: how many, and the first of them."""

    group: str
    reason: str
    jobs: int
    job_id: int


def has_any(db: Session, vo: str, owner: str, group: str) -> bool:
    """Whether somebody has jobs in a group."""
    return db.execute(select(Job.job_id).where(*_of(vo, owner, group)).limit(1)).first() is not None


def ended(db: Session, vo: str, owner: str, group: str) -> dict[str, int] | None:
    """How many of somebody's jobs in a group ended in which shown status; None while one goes on."""
    mine = _of(vo, owner, group)
    going_on = select(Job.job_id).where(*mine, Job.status.not_in(FINAL)).limit(1)
    if db.execute(going_on).first() is not None:
        return None
    found: dict[str, int] = {}
    for status, count in db.execute(select(Job.status, func.count()).where(*mine).group_by(Job.status)):
        shown = SHOWN.get(status, str(status))
        found[shown] = found.get(shown, 0) + count
    return found


def long_held(db: Session, vo: str, owner: str, seconds: float) -> list[LongHeld]:
    """Somebody's jobs that have been on hold for the same reason for so long, by group and reason."""
    mine = (Job.vo == vo, Job.owner == owner, Job.status == Status.CHECKING)
    since = func.min(Job.updated_at)
    alike = (Job.job_group, Job.application_status)
    query = select(*alike, func.count(), func.min(Job.job_id)).where(
        *mine, Job.updated_at < utc_now(-seconds)
    )
    return [LongHeld(*row) for row in db.execute(query.group_by(*alike).order_by(since).limit(100))]


def _of(vo: str, owner: str, group: str) -> tuple[ColumnElement[bool], ...]:
    return Job.job_group == group, Job.vo == vo, Job.owner == owner
