"""Jobs on hold between Received and Waiting: why, since when, and when they are looked at again.

Each may have a reason of its own: a batch of them takes a few statements nevertheless.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.jobs.deadlines import look_again
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Held, New, write_told
from diracx_tasks.jobs.tables import JobEvent

# For so many seconds at a time.
LEAST, MOST = 1.0, 86400.0


class Holding(NamedTuple):
    """A job, whose row is held, that is to be looked at again in so many seconds.

    `before` are the minor and the application status that it has now.
    """

    job: Held
    by: str
    words: str
    seconds: float
    before: tuple[str, str]


def put_on_hold(db: Session, holding: Sequence[Holding]) -> None:
    """Put jobs on hold; of one that is held for the same reason there is nothing new to tell."""
    news, due = [], defaultdict(list)
    for one in holding:
        new = New(one.job, Status.CHECKING, text(one.by)[:128], text(one.words))
        if one.job.status != Status.CHECKING or one.before != (new.minor, new.application):
            news.append((new, one.by))
        due[min(max(LEAST, one.seconds), MOST)].append(one.job.job_id)
    write_told(db, news)
    for seconds, job_ids in due.items():
        look_again(db, job_ids, seconds)


def held_since(db: Session, job_ids: Collection[int]) -> dict[int, datetime]:
    """Since when jobs that are on hold have been so, in UTC: since they were received for the last time."""
    if not job_ids:
        return {}
    event = (JobEvent.job_id, func.max(JobEvent.number).label("number"))
    received = select(*event).where(JobEvent.job_id.in_(job_ids), JobEvent.status == Status.RECEIVED)
    last = received.group_by(JobEvent.job_id).subquery()
    query = select(JobEvent.job_id, func.min(JobEvent.at)).join(last, last.c.job_id == JobEvent.job_id)
    query = query.where(JobEvent.number > last.c.number, JobEvent.status == Status.CHECKING)
    return {job_id: at for job_id, at in db.execute(query.group_by(JobEvent.job_id))}


def text(words: str) -> str:
    """Words of somebody else's as the tables have room for them."""
    return words.encode(errors="replace").decode()[:255]
