"""How many jobs there are of each kind in each state, without reading those that ended long ago."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.tables import Attempt, Job
from diracx_tasks.jobs.use import exactly

# One statement counts so many jobs: a few tenths of a second.
SLICE = 100_000
# The clocks that write the last change and the end of a job may differ by so much.
SKEW = timedelta(seconds=60)
GOING_ON = [status for status in Status if status not in FINAL]


class Kind(NamedTuple):
    """What is the same of jobs that are counted together."""

    vo: str
    site: str
    owner: str
    group: str
    job_type: str
    status: str
    minor_status: str


class StateCount(NamedTuple):
    """So many jobs of a kind, and how often they were rescheduled altogether."""

    kind: Kind
    jobs: int
    reschedules: int


def going_on(db: Session) -> list[StateCount]:
    """The jobs of all VOs that have not ended.

    Each is read once, by the index of the status, and no other; a job that moves on meanwhile may be
    counted in both of its states or in none.
    """
    return _summed(row for status in GOING_ON for row in _in_slices(db, status))


def ended(db: Session, since: datetime, until: datetime) -> list[StateCount]:
    """The jobs of all VOs that ended from `since` on and before `until`, as they are now.

    Read are those that changed since then, by the index of the last change.
    """
    # By the database's clock: a pilot that was cut off states an end long ago, or as its own clock has it.
    noted_at = select(Attempt.ended_at).where(Attempt.job_id == Job.job_id, Attempt.attempt == Job.attempt)
    # DIRAC states no end of some jobs that were killed.
    ended_at = func.coalesce(noted_at.correlate(Job).scalar_subquery(), Job.ended_at, Job.updated_at)
    recent = (Job.updated_at >= since - SKEW, ended_at >= since, ended_at < until)
    return _summed(_counted(db, Job.status.in_(FINAL), *recent, index="LastUpdateTime"))


def _in_slices(db: Session, status: Status) -> Iterator[Any]:
    after = 0
    while True:
        rest = (Job.status == status, Job.job_id > after)
        beyond = select(Job.job_id).where(*rest).order_by(Job.job_id).offset(SLICE).limit(1)
        last = db.scalars(beyond).one_or_none()
        yield from _counted(db, *rest, *([] if last is None else [Job.job_id <= last]), index="Status")
        if last is None:
            return
        after = last


def _counted(db: Session, *where: ColumnElement[bool], index: str) -> Any:
    names = (Job.vo, Job.site, Job.owner, Job.group, Job.job_type, Job.status, Job.minor_status)
    columns = [exactly(one) for one in names]
    query = select(*columns, func.count(), func.sum(Job.reschedules)).where(*where)
    # MariaDB may take an index of the groups instead, and read all jobs.
    hinted = query.with_hint(Job, f"FORCE INDEX ({index})", "mysql")
    return db.execute(hinted.group_by(*columns)).all()


def _summed(rows: Iterable[Any]) -> list[StateCount]:
    jobs, reschedules = Counter[Kind](), Counter[Kind]()
    for row in rows:
        kind = Kind(*row[:7])
        jobs[kind] += row[7]
        reschedules[kind] += int(row[8] or 0)
    return [StateCount(kind, count, reschedules[kind]) for kind, count in sorted(jobs.items())]
