"""The ends of the outputs of many jobs: of those that run, of those that have just ended, and stored ones."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.steps import are_steps
from diracx_tasks.jobs.tables import Attempt, Job

RUNNING = (Status.MATCHED, Status.RUNNING, Status.COMPLETING)
OTHERS = (Status.STALLED, Status.KILLED, Status.DONE, Status.COMPLETED)


@dataclass(frozen=True)
class Jobs:
    """Jobs of a workflow's group in a VO; those of one name, or only one, where these are stated."""

    vo: str
    group: str
    name: str | None = None
    job_id: int | None = None


class Output(NamedTuple):
    """An attempt with output: when its newest part came, None before the first."""

    job_id: int
    attempt: int
    name: str
    status: str
    at: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether there will be no more of it."""
        return self.status in FINAL


def running(db: Session, jobs: Jobs, limit: int) -> list[Output]:
    """Those that run now, in the order of their numbers."""
    query = _outputs(jobs).where(Job.status.in_(RUNNING))
    return _found(db, query.order_by(Job.job_id).limit(limit))


def running_count(db: Session, jobs: Jobs) -> int:
    """How many run now."""
    query = select(func.count()).where(*_wanted(jobs), Job.status.in_(RUNNING))
    return int(db.execute(query).scalar_one())


def ended(db: Session, jobs: Jobs, since: datetime, limit: int) -> list[Output]:
    """Those that have ended since a time of the database's clock, the last ones first."""
    query = _outputs(jobs).where(Attempt.ended_at >= since, Job.status.in_(FINAL))
    return _found(db, query.order_by(Attempt.ended_at.desc()).limit(limit))


def known(db: Session, jobs: Jobs, job_ids: Collection[int]) -> list[Output]:
    """Those of the jobs, as they are now."""
    return _found(db, _outputs(jobs).where(Job.job_id.in_(job_ids))) if job_ids else []


def stored(db: Session, jobs: Jobs, limit: int) -> list[Output]:
    """Those that have had a pilot: what has failed, the first failure first, what runs, then the newest."""
    # What one wants to read first: of what failed the first, which often is why the others did. Their rows
    # know the second, which suffices to find them; their attempts know more.
    failed = select(Job.job_id).where(*_wanted(jobs), Job.status == Status.FAILED)
    first = db.scalars(failed.order_by(Job.ended_at, Job.job_id).limit(limit)).all()
    found = _found(db, _outputs(jobs).where(Job.job_id.in_(first)).order_by(Attempt.ended_at, Job.job_id))
    for statuses in (RUNNING, OTHERS):
        query = _outputs(jobs).where(Job.status.in_(statuses)).order_by(Job.job_id.desc())
        found += _found(db, query.limit(limit - len(found))) if len(found) < limit else []
    return found


def texts(db: Session, outputs: Sequence[Output]) -> Iterator[tuple[Output, str, datetime | None]]:
    """Outputs with their texts, and when the newest part of the text came."""
    keys = [(one.job_id, one.attempt) for one in outputs]
    columns = Attempt.job_id, Attempt.attempt, Attempt.log, Attempt.log_at
    rows = db.execute(select(*columns).where(tuple_(Attempt.job_id, Attempt.attempt).in_(keys)))
    read = {(job_id, attempt): (log or "", at) for job_id, attempt, log, at in rows}
    for one in outputs:
        yield one, *read.get((one.job_id, one.attempt), ("", None))


def _outputs(jobs: Jobs) -> Any:
    current = (Attempt.job_id == Job.job_id) & (Attempt.attempt == Job.attempt)
    columns = Job.job_id, Attempt.attempt, Job.name, Job.status, Attempt.log_at
    found: Any = select(*columns).join(Attempt, current).where(*_wanted(jobs))
    return found


def _wanted(jobs: Jobs) -> list[Any]:
    found: list[Any] = [*are_steps([jobs.group]), Job.vo == jobs.vo]
    found += [Job.name == jobs.name] if jobs.name is not None else []
    return found + ([Job.job_id == jobs.job_id] if jobs.job_id is not None else [])


def _found(db: Session, query: Any) -> list[Output]:
    return [Output(*row) for row in db.execute(query)]
