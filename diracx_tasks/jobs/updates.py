"""DiracX's status updates: what happened when, for many jobs at once (DiracX, logic/jobs/status.py).

Updates are applied in the order of their times; one that is older than what is known changes nothing and is
recorded. What DIRAC's state machine refuses leaves the job as it is and is recorded with `(SM)`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import now, utc
from diracx_tasks.jobs import events
from diracx_tasks.jobs.access import hold_mine
from diracx_tasks.jobs.events import IDEM, NOTHING, Event, Tail, order_of
from diracx_tasks.jobs.states import BEFORE, FINAL, TRANSITIONS, Status
from diracx_tasks.jobs.status import Held, New, write
from diracx_tasks.jobs.tables import Payload

# What a person wants is no report of something that has happened: it holds whatever his clock says.
WISHES = (Status.KILLED, Status.DELETED)
ENDS = (Status.DONE, Status.COMPLETED, Status.FAILED, Status.KILLED)
REFUSED = "(SM)"
LONGEST_SOURCE = 32 - len(REFUSED)
# What an update stated, and how it is recorded.
Told = tuple[Status | None, Event]
# The statuses of recorded events that differ in nothing else, and REFUSED.
Known = dict[Event, set[str]]


class Update(NamedTuple):
    """One update; empty texts and a status of None leave things as they are."""

    at: datetime
    status: Status | None
    minor: str = ""
    application: str = ""
    source: str = "Unknown"


class Applied(NamedTuple):
    """What updates did: jobs by number with what has changed of them, and those that are not there."""

    success: dict[int, dict[str, Any]]
    missing: list[int]


def apply(db: Session, asked: Mapping[int, Sequence[Update]], *, by: User, force: bool = False) -> Applied:
    """Apply updates to jobs that the caller may touch; `force` skips the state machine.

    The same update twice is recorded once. Raises Forbidden when one of the jobs is another's.
    """
    jobs = hold_mine(db, asked, by=by)
    tails = events.tails(db, jobs)
    known = _known(db, asked, tails)
    news: list[New] = []
    found: list[Event] = []
    success = {}
    over = _are_over(db, jobs.values())
    for job_id, job in jobs.items():
        may_begin = job_id not in over
        new, told = _decide(job, asked[job_id], tails.get(job_id, NOTHING), force, may_begin=may_begin)
        found += [event for stated, event in told if _is_new(event, stated, known)]
        success[job_id] = _shown(new)
        if new:
            news.append(new)
    events.append(db, found, tails)
    write(db, news)
    return Applied(success, [job_id for job_id in asked if job_id not in jobs])


def _are_over(db: Session, jobs: Iterable[Held]) -> set[int]:
    """Jobs that have ended as steps of a workflow, which has taken note of it."""
    ended = [job.job_id for job in jobs if job.status in FINAL]
    if not ended:
        return set()
    steps = select(Payload.job_id).where(Payload.job_id.in_(ended), Payload.owner_task.is_not(None))
    return set(db.scalars(steps))


def _known(db: Session, asked: Mapping[int, Sequence[Update]], tails: Mapping[int, Tail]) -> Known:
    """The events of jobs whose updates may have come before: those that are not newer than all events."""
    again = [
        job_id
        for job_id, tail in tails.items()
        if any(order_of(update.at) <= tail.order for update in asked[job_id])
    ]
    known: Known = {}
    for event in events.seen(db, again) if again else ():
        marks = {REFUSED} if event.source.endswith(REFUSED) else set()
        known.setdefault(_mark(event), set()).update(marks, {event.status})
    return known


def _mark(event: Event) -> Event:
    """The event without what depends on the state in which an update met the job."""
    return event._replace(status="", source=event.source.removesuffix(REFUSED)[:LONGEST_SOURCE])


def _is_new(event: Event, stated: Status | None, known: Known) -> bool:
    """Whether an update that states this status, or none, was not recorded before."""
    before = known.get(_mark(event))
    return before is None or not (stated is None or stated in before or REFUSED in before)


def _decide(
    job: Held, updates: Sequence[Update], tail: Tail, force: bool, *, may_begin: bool = True
) -> tuple[New | None, list[Told]]:
    """The job's new state, None when all updates are late, and what is recorded."""
    # Any news of a job that was taken to be lost shows that it is not.
    current = Status.RUNNING if job.status == Status.STALLED else Status(job.status)
    new: New | None = None
    told: list[Told] = []
    for update in sorted(updates, key=lambda one: one.at):
        order = order_of(update.at)
        wanted = update.status or current
        if order < tail.order:
            if wanted not in WISHES:
                told.append((update.status, _event(job, update.status or IDEM, update, order, update.source)))
                continue
            if wanted == current:
                new = new or New(job, current)
                continue
            order = tail.order
        source = update.source
        is_known = force or wanted == current or wanted in TRANSITIONS[current]
        if is_known and (may_begin or wanted not in BEFORE):
            current = wanted
            new = _advanced(new or New(job, current), current, update)
        else:
            new, source = new or New(job, current), source[:LONGEST_SOURCE] + REFUSED
        told.append((update.status, _event(job, current, update, order, source)))
    return new, told


def _advanced(new: New, status: Status, update: Update) -> New:
    is_start = status is Status.RUNNING and not new.held.is_started and not new.started_at
    is_end = status in ENDS and not new.held.is_ended and not new.ended_at
    is_beat = update.source.startswith("Job") or update.source == "Heartbeat"
    moment = update.at.replace(microsecond=0)
    return New(
        new.held,
        status,
        update.minor or new.minor,
        update.application or new.application,
        moment if is_start else new.started_at,
        moment if is_end else new.ended_at,
        moment if is_beat else new.heartbeat_at,
        new.ended_as or (status if status in FINAL and status is not Status.DELETED else None),
    )


def _event(job: Held, status: str, update: Update, order: float, source: str) -> Event:
    return Event(job.job_id, str(status), update.minor[:128], update.application[:255], order, source[:32])


def _shown(new: New | None) -> dict[str, Any]:
    """What has changed, in DiracX's names; None of what has not."""
    if new is None:
        return dict.fromkeys(FIELDS)
    return {
        "Status": new.status.value,
        "MinorStatus": new.minor[:128] or None,
        "ApplicationStatus": new.application[:255] or None,
        "HeartBeatTime": utc(new.heartbeat_at),
        "StartExecTime": utc(new.started_at),
        "EndExecTime": utc(new.ended_at),
        "LastUpdateTime": utc(now()),
    }


FIELDS = (
    "Status",
    "MinorStatus",
    "ApplicationStatus",
    "HeartBeatTime",
    "StartExecTime",
    "EndExecTime",
    "LastUpdateTime",
)
