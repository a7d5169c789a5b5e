"""When jobs waited and ran, attempt by attempt, and where: for tables and timelines of many."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import FINAL, HELD
from diracx_tasks.jobs.tables import Attempt, Job

# So many jobs are asked about at once.
PAGE = 1000
UNTOLD = ("", "Unknown")


class Span(NamedTuple):
    """An attempt; `ended_at` is None while it goes on."""

    attempt: int
    started_at: datetime
    ended_at: datetime | None
    status: str
    reason: str
    site: str


class Times(NamedTuple):
    """A job with its attempts, oldest first; a job without any has waited since it was submitted."""

    job_id: int
    status: str
    minor_status: str
    application_status: str
    site: str
    submitted_at: datetime | None
    spans: list[Span]

    @property
    def started_at(self) -> datetime | None:
        """When its last attempt began."""
        return self.spans[-1].started_at if self.spans else None

    @property
    def says(self) -> str:
        """What it says of itself in words, where that is more than a default."""
        return ": ".join(one for one in (self.minor_status, self.application_status) if one not in UNTOLD)

    def waited(self, until: datetime) -> float | None:
        """Seconds from its submission to its first attempt, or to a time."""
        end = self.spans[0].started_at if self.spans else until
        return max(0.0, (end - self.submitted_at).total_seconds()) if self.submitted_at else None

    def ran(self, until: datetime) -> float | None:
        """Seconds of its last attempt, so far; None before the first."""
        if not self.spans:
            return None
        last = self.spans[-1]
        return max(0.0, ((last.ended_at or until) - last.started_at).total_seconds())

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL

    @property
    def is_held(self) -> bool:
        """Whether a pilot has it."""
        return self.status in HELD

    @property
    def ended_at(self) -> datetime | None:
        """When its last attempt ended."""
        return self.spans[-1].ended_at if self.spans else None


def times(db: Session, job_ids: Collection[int]) -> dict[int, Times]:
    """Jobs by their numbers; those that are gone are left out. The caller knows that they may be seen."""
    found: dict[int, Times] = {}
    every = sorted(set(job_ids))
    for first in range(0, len(every), PAGE):
        page = every[first : first + PAGE]
        columns = (Job.status, Job.minor_status, Job.application_status, Job.site, Job.submitted_at)
        for row in db.execute(select(Job.job_id, *columns).where(Job.job_id.in_(page))):
            found[row[0]] = Times(*row, spans=[])
        for job_id, *span in db.execute(_attempts(page)):
            if job_id in found:
                found[job_id].spans.append(Span(*span))
    return found


def _attempts(job_ids: list[int]) -> Any:
    columns = (Attempt.attempt, Attempt.started_at, Attempt.ended_at, Attempt.status, Attempt.reason)
    query = select(Attempt.job_id, *columns, Attempt.site).where(Attempt.job_id.in_(job_ids))
    return query.order_by(Attempt.job_id, Attempt.attempt)
