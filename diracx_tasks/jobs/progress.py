"""States of many attempts at once that go on, as a pilot with many jobs reports them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import now
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.jobs import attempt_use, events
from diracx_tasks.jobs.events import Event, order_of
from diracx_tasks.jobs.finish import pilots_own
from diracx_tasks.jobs.heartbeat import PAST, Beat, Report, keep
from diracx_tasks.jobs.states import Status, can_become
from diracx_tasks.jobs.status import Change, Held, New, hold, write


def progress(
    db: Session, reports: Mapping[int, Sequence[Report]], *, by: User
) -> tuple[dict[int, str], dict[int, str]]:
    """Apply reports that end no attempt, each job's in order: the statuses of the jobs, and why not.

    What a report says that is already so is skipped. Raises Forbidden for an attempt of another pilot.
    """
    attempts = {job_id: _attempt(job_id, news) for job_id, news in reports.items()}
    held = hold(db, reports)
    mine = pilots_own(db, attempts, by)
    statuses, refused, told = {}, {}, {}
    for job_id, news in reports.items():
        job = held.get(job_id)
        if job is None or job.vo != by.vo or job_id not in mine:
            refused[job_id] = f"there is no attempt {attempts[job_id]} of a job {job_id} in {by.vo}"
        elif not (changes := _new_ones(job, news)):
            statuses[job_id] = job.status
        elif _may(job, attempts[job_id], changes):
            statuses[job_id], told[job_id] = changes[-1].to.value, changes
        else:
            state = f"job {job_id} is {job.status} (attempt {job.attempt})"
            refused[job_id] = f"{state}: it cannot become {changes[-1].to}"
    _store(db, held, told)
    _keep(db, {job_id: reports[job_id][-1] for job_id in statuses})
    return statuses, refused


def _attempt(job_id: int, news: Sequence[Report]) -> int:
    (attempt, *others) = {one.attempt for one in news}
    if others:
        raise BadRequest(f"reports on job {job_id} are of several attempts")
    return attempt


def _new_ones(job: Held, news: Sequence[Report]) -> list[Change]:
    """What is not known yet: a heartbeat or an earlier copy may have said the first ones."""
    changes = [one.change for one in news]
    while changes and news[-1].attempt == job.attempt and changes[0].to in PAST.get(job.status, ()):
        del changes[0]
    return changes


def _may(job: Held, attempt: int, changes: Sequence[Change]) -> bool:
    """Whether the first may follow the job's status, and each of the others the one before or repeat it."""
    follow = all(
        after.to is before.to or before.to in can_become(after.to) for before, after in pairwise(changes)
    )
    return attempt == job.attempt and follow and job.status in can_become(changes[0].to)


def _store(db: Session, held: Mapping[int, Held], told: Mapping[int, Sequence[Change]]) -> None:
    if not told:
        return
    order = order_of(now())
    found = [
        Event(job_id, one.to.value, one.minor[:128], one.application[:255], order, one.source[:32])
        for job_id, changes in told.items()
        for one in changes
    ]
    events.append(db, found, events.tails(db, told))
    write(db, [_new(held[job_id], changes) for job_id, changes in told.items()])


def _new(job: Held, changes: Sequence[Change]) -> New:
    moment = now().replace(microsecond=0)
    begins = not job.is_started and any(one.to is Status.RUNNING for one in changes)
    return New(
        job,
        changes[-1].to,
        next((one.minor for one in reversed(changes) if one.minor), ""),
        next((one.application for one in reversed(changes) if one.application), ""),
        started_at=moment if begins else None,
        heartbeat_at=moment,
    )


def _keep(db: Session, last: Mapping[int, Report]) -> None:
    keep(db, {job_id: Beat(one.attempt, log=one.log) for job_id, one in last.items()})
    attempt_use.note(db, [(job_id, one.attempt, one.use) for job_id, one in last.items() if one.use])
