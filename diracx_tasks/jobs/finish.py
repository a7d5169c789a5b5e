"""The ends of many attempts at once, as a pilot with many short jobs reports them."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.orm import Session

from diracx_tasks.core.database import now
from diracx_tasks.jobs import events
from diracx_tasks.jobs.events import Event, order_of
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change, Held, New, Outcome, hold, write

# From these a pilot may go to the end in one step: it reports Running and the end together.
ALIVE = (Status.MATCHED, Status.STALLED, Status.RUNNING, Status.COMPLETING)


class Finish(NamedTuple):
    """The end of one attempt, a change to Done or Failed."""

    attempt: int
    change: Change


def finish(db: Session, ends: Mapping[int, Finish]) -> dict[int, Outcome]:
    """What became of each job's end: APPLIED, LATE when it is on a later attempt, REFUSED when elsewhere.

    Jobs that do not exist are left out. Whose the attempts are is the caller's to know.
    """
    held = hold(db, ends)
    outcomes = {job_id: _outcome(job, ends[job_id]) for job_id, job in held.items()}
    news = [
        _new(job, ends[job_id].change) for job_id, job in held.items() if outcomes[job_id] is Outcome.APPLIED
    ]
    order = order_of(now())
    told = [
        Event(new.held.job_id, new.status.value, new.minor[:128], new.application[:255], order, source)
        for new in news
        if (source := ends[new.held.job_id].change.source)
    ]
    events.append(db, told, events.tails(db, [new.held.job_id for new in news]))
    write(db, news)
    return outcomes


def _outcome(job: Held, end: Finish) -> Outcome:
    if job.attempt != end.attempt:
        return Outcome.LATE if job.attempt > end.attempt else Outcome.REFUSED
    return Outcome.APPLIED if job.status in ALIVE else Outcome.REFUSED


def _new(job: Held, change: Change) -> New:
    moment = now().replace(microsecond=0)
    return New(
        job,
        change.to,
        change.minor,
        change.application,
        started_at=None if job.is_started else moment,
        ended_at=moment,
        heartbeat_at=moment,
        outputs=change.outputs,
        is_temporary=change.is_temporary,
    )
