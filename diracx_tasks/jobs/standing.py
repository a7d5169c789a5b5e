"""Where one job stands, for sentences about it: who has it, since when, and what is to happen by when."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.jobs.access import visible
from diracx_tasks.jobs.control import most_reschedules
from diracx_tasks.jobs.deadlines import patience
from diracx_tasks.jobs.tables import Attempt, Job, Parametric


class Standing(NamedTuple):
    """A job's state; times in seconds until now, None: there is no such moment.

    `since` is the last change, `left` counts to the deadline. `pilot`, `node` and `site` are those of the
    newest attempt, which reports every `interval` seconds; `lost` is why that one ended.
    """

    job_id: int
    vo: str
    owner: str
    status: str
    minor: str
    application: str
    attempt: int
    reschedules: int
    most_reschedules: int
    since: float | None
    left: float | None
    silent: float | None
    pilot: str | None
    site: str | None
    node: str | None
    lost: str
    interval: float
    expands: tuple[int, int] | None


def standing(db: Session, job_id: int, *, by: User) -> Standing:
    """Where a job stands that the caller may see; NotFound otherwise."""
    columns = (Job.vo, Job.owner, Job.status, Job.minor_status, Job.application_status, Job.attempt)
    times = (utc_now(), Job.updated_at, Job.next_check_at, Job.heartbeat_at)
    query = select(*columns, Job.reschedules, *times).where(Job.job_id == job_id, *visible(by))
    row = db.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"there is no job {job_id} in {by.vo}")
    vo, owner, status, minor, application, attempt, reschedules, now, changed, deadline, beat = row
    of_attempt = (Attempt.pilot, Attempt.site, Attempt.node, Attempt.reason, Attempt.heartbeat_seconds)
    newest = select(*of_attempt).where(Attempt.job_id == job_id).order_by(Attempt.attempt.desc()).limit(1)
    pace = patience()
    pilot, site, node, lost, interval = db.execute(newest).one_or_none() or (*(None,) * 3, "", pace.dirac)
    wide = db.execute(
        select(Parametric.made, Parametric.total).where(Parametric.job_id == job_id)
    ).one_or_none()
    return Standing(
        job_id,
        vo,
        owner,
        status,
        minor,
        application,
        attempt,
        reschedules,
        most_reschedules(vo),
        _passed(changed, now),
        None if deadline is None else (deadline - now).total_seconds(),
        _passed(beat, now),
        pilot,
        site,
        node,
        lost,
        interval or pace.interval,
        (wide.made, wide.total) if wide else None,
    )


def _passed(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment).total_seconds())
