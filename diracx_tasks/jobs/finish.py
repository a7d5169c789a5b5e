"""The ends of many attempts at once, as a pilot with many short jobs reports them."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import now
from diracx_tasks.core.errors import Forbidden
from diracx_tasks.cwl.arrays import has_arrays
from diracx_tasks.cwl.values import locations
from diracx_tasks.jobs import attempt_use, events
from diracx_tasks.jobs.events import Event, order_of
from diracx_tasks.jobs.heartbeat import FORGED, Beat, Report, keep
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Held, New, hold, write
from diracx_tasks.jobs.tables import Attempt, Job
from diracx_tasks.sandboxes import metadata

ENDS = (Status.DONE, Status.FAILED)
# From these a pilot may go to the end in one step: it reports Running and the end together.
ALIVE = (Status.MATCHED, Status.STALLED, Status.RUNNING, Status.COMPLETING)


def finish(db: Session, ends: Mapping[int, Report], *, by: User) -> tuple[dict[int, str], dict[int, str]]:
    """End attempts of a pilot's: the statuses of the jobs, and why the others' ends were not applied.

    The end of an attempt that has ended so already is harmless. Raises Forbidden for an attempt of another
    pilot or outputs of another owner.
    """
    held = hold(db, ends)
    mine = pilots_own(db, {job_id: end.attempt for job_id, end in ends.items()}, by)
    refused = {job_id: _why_not(held.get(job_id), end, by) for job_id, end in ends.items()}
    refused |= {
        job_id: f"there is no attempt {ends[job_id].attempt} of job {job_id}" for job_id in ends.keys() - mine
    }
    good = {job_id: end for job_id, end in ends.items() if not refused[job_id]}
    _take_outputs(db, {job_id: end for job_id, end in good.items() if end.change.to is Status.DONE})
    news = [_new(held[job_id], end) for job_id, end in good.items() if held[job_id].status in ALIVE]
    _record(db, news, good)
    write(db, news)
    keep(db, {job_id: Beat(end.attempt, log=end.log) for job_id, end in good.items()})
    attempt_use.note(db, [(job_id, end.attempt, end.use) for job_id, end in good.items() if end.use])
    return {job_id: end.change.to.value for job_id, end in good.items()}, {
        job_id: words for job_id, words in refused.items() if words
    }


def pilots_own(db: Session, attempts: Mapping[int, int], by: User) -> set[int]:
    """The jobs whose attempts are there and this pilot's; Forbidden when one is another's."""
    found = set()
    query = select(Attempt.job_id, Attempt.attempt, Attempt.pilot).where(Attempt.job_id.in_(attempts))
    for job_id, attempt, pilot in db.execute(query):
        if attempt != attempts[job_id]:
            continue
        if pilot != by.pilot_stamp:
            raise Forbidden(f"attempt {attempt} of job {job_id} belongs to the pilot {pilot}")
        found.add(job_id)
    return found


def _why_not(job: Held | None, end: Report, by: User) -> str:
    """Why an end changes nothing; empty when it does, or when it is known already."""
    if job is None or job.vo != by.vo:
        return f"there is no such job in {by.vo}"
    if has_arrays(end.change.outputs):
        return FORGED
    if job.attempt == end.attempt and job.status in (*ALIVE, end.change.to):
        return ""
    state = f"job {job.job_id} is {job.status} (attempt {job.attempt})"
    return f"{state}: it cannot become {end.change.to}"


def _take_outputs(db: Session, done: Mapping[int, Report]) -> None:
    """Have the files that jobs gave kept; they must be their owners'."""
    used = {job_id: found for job_id, end in done.items() if (found := list(locations(end.change.outputs)))}
    query = select(Job.job_id, Job.owner, Job.group, Job.vo).where(Job.job_id.in_(used))
    for job_id, owner, group, vo in db.execute(query).all() if used else ():
        metadata.refuse_foreign(used[job_id], metadata.Owner(owner, group, vo))
    metadata.assign_many(db, {f"Job:{job_id}": names for job_id, names in used.items()}, "Output")


def _new(job: Held, end: Report) -> New:
    change, moment = end.change, now().replace(microsecond=0)
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


def _record(db: Session, news: list[New], ends: Mapping[int, Report]) -> None:
    order = order_of(now())
    told = [
        Event(
            new.held.job_id,
            new.status.value,
            new.minor[:128],
            new.application[:255],
            order,
            ends[new.held.job_id].change.source[:32],
        )
        for new in news
    ]
    events.append(db, told, events.tails(db, [new.held.job_id for new in news]))
