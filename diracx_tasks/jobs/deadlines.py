"""By when a job that a pilot holds must be heard of, from the interval at which its attempt reports.

The numbers of intervals are DIRAC's (StalledJobAgent): its wrapper, which reports every 1800 s, is taken to
be lost after 75 min, and given up another 195 min later; a matched job must run within two hours.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, ColumnExpressionArgument, case, func, null, or_, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, plain, utc_now
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs.states import FINAL, HELD, Status
from diracx_tasks.jobs.tables import Attempt, Job

# Intervals after which a Stalled job is given up, and within which a matched one must run.
GIVEN_UP, BEGUN = 6.5, 4.0
# Clocks may differ by so many seconds: a heartbeat from later on says nothing.
AHEAD = 60.0


class Patience(NamedTuple):
    """How long a pilot may be silent, in s: the interval of our pilots and of DIRAC's, and what is the least.

    `missed` is the number of intervals after which a job is Stalled.
    """

    interval: float
    dirac: float
    missed: float
    silent: float
    stalled: float
    matched: float

    def seconds(self, status: Status, interval: float) -> float:
        """How long a job may be in a status without news, when its pilot reports at this interval."""
        intervals, least = self._terms(status)
        return max(intervals * interval, least)

    def of_attempt(self, status: Status) -> ColumnElement[float]:
        """The same for the current attempt of a job, in a statement about jobs."""
        intervals, least = self._terms(status)
        job, attempt = plain(Job), plain(Attempt)
        stated = func.coalesce(attempt.c.HeartbeatSeconds, self.interval) * intervals
        current = (attempt.c.JobID == job.c.JobID, attempt.c.Attempt == job.c.Attempt)
        found = select(case((stated > least, stated), else_=least)).where(*current).correlate(job)
        # Without an attempt it was DIRAC's matcher that gave the job away.
        return func.coalesce(found.scalar_subquery(), self.seconds(status, self.dirac))

    def due(self, status: Status) -> ColumnElement[datetime]:
        """The deadline of a job that is in a status from now on."""
        return utc_now(self.of_attempt(status))

    def due_in(self, status: ColumnElement[str]) -> ColumnElement[datetime | None]:
        """The deadline by a column's status; null where no pilot has the job."""
        # IN with a list cannot be carried out for many rows at once.
        alive = or_(*(status == one.value for one in (Status.RUNNING, Status.COMPLETING)))
        return case(
            (alive, self.due(Status.RUNNING)),
            (status == Status.MATCHED.value, self.due(Status.MATCHED)),
            (status == Status.STALLED.value, self.due(Status.STALLED)),
            else_=null(),
        )

    def _terms(self, status: Status) -> tuple[float, float]:
        if status is Status.MATCHED:
            return BEGUN, self.matched
        if status is Status.STALLED:
            return GIVEN_UP, self.stalled
        return self.missed, self.silent


def patience() -> Patience:
    """What the settings say."""
    stated = settings()
    return Patience(
        stated.heartbeat_seconds,
        stated.dirac_heartbeat_seconds,
        stated.missed_heartbeats,
        stated.silent_seconds,
        stated.stalled_seconds,
        stated.matched_seconds,
    )


def due(status: Status) -> ColumnElement[datetime]:
    """The deadline of a job that is in a status from now on, in a statement about jobs."""
    return patience().due(status)


def has_beaten() -> ColumnElement[bool]:
    """Whether a job's heartbeat is recent, wherever its deadline is: DIRAC's services move none."""
    silence = patience().of_attempt(Status.RUNNING)
    return Job.heartbeat_at.between(utc_now(-silence), utc_now(AHEAD))


def renew(db: Session, job_ids: Collection[int], *conditions: ColumnExpressionArgument[bool]) -> int:
    """Give jobs that a pilot holds a deadline anew; answers how many."""
    mine = (Job.job_id.in_(job_ids), Job.status.in_(HELD), *conditions)
    status: ColumnElement[str] = plain(Job).c.Status
    return changed(db, update(Job).where(*mine).values(next_check_at=patience().due_in(status)))


def look_again(db: Session, job_ids: Collection[int], seconds: float) -> int:
    """Have jobs that are on hold be looked at in so many seconds; answers how many there still were."""
    mine = (Job.job_id.in_(job_ids), Job.status == Status.CHECKING)
    return changed(db, update(Job).where(*mine).values(next_check_at=utc_now(seconds))) if job_ids else 0


def drop(db: Session, job_ids: Collection[int]) -> int:
    """Expect nothing more of jobs that have ended; answers of how many something was expected."""
    mine = (Job.job_id.in_(job_ids), Job.status.in_(FINAL), Job.next_check_at.is_not(None))
    return changed(db, update(Job).where(*mine).values(next_check_at=None))
