"""How jobs of a VO are, for other subjects that have submitted them."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.tables import Job


class Outcome(NamedTuple):
    """A job's status and what is said about it."""

    status: Status
    words: str

    @property
    def has_ended(self) -> bool:
        """Whether it stays so unless somebody has it run again."""
        return self.status in FINAL


def outcomes(db: Session, vo: str, job_ids: Collection[int]) -> dict[int, Outcome]:
    """How jobs are; those that are not there any more are left out."""
    columns = (Job.job_id, Job.status, Job.minor_status, Job.application_status)
    query = select(*columns).where(Job.vo == vo, Job.job_id.in_(job_ids))
    return {row[0]: Outcome(Status(row[1]), _words(row[2], row[3])) for row in db.execute(query)}


def _words(minor: str, application: str | None) -> str:
    return ": ".join(part for part in (minor, application) if part and part != "Unknown")
