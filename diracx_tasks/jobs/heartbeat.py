"""What a pilot tells of its job while it runs and at its end, and what it is told to do."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import plain, utc_now
from diracx_tasks.core.errors import BadRequest, Conflict, Forbidden, NotFound
from diracx_tasks.core.many import Columns, update_many
from diracx_tasks.cwl.arrays import CLASS, has_arrays
from diracx_tasks.cwl.values import locations
from diracx_tasks.jobs import attempt_use
from diracx_tasks.jobs.access import owner_of
from diracx_tasks.jobs.deadlines import due
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change, Held, Outcome, hold, move, why_not
from diracx_tasks.jobs.tables import Attempt, Job
from diracx_tasks.sandboxes import metadata

TAIL = 65536
ATTEMPT_KEY = ("JobID", "Attempt")
FORGED = f"an output of class {CLASS} is not allowed: only the server makes them"
ALIVE = (Status.RUNNING, Status.COMPLETING)
# For a job in the one status, reports of the others say nothing new.
PAST: dict[str, tuple[Status, ...]] = {
    Status.RUNNING: (Status.RUNNING,),
    Status.COMPLETING: ALIVE,
    Status.DONE: (*ALIVE, Status.DONE),
    Status.FAILED: (*ALIVE, Status.FAILED),
}


@dataclass(frozen=True)
class Beat:
    """One heartbeat: `usage` is kept as it is, `log` is the tail of the payload's output.

    Who states no attempt speaks for the current one.
    """

    attempt: int | None = None
    usage: dict[str, float] = field(default_factory=dict)
    log: str | None = None


@dataclass(frozen=True)
class Report:
    """A status that a pilot reports for its attempt."""

    attempt: int
    change: Change
    log: str | None = None
    use: Mapping[str, float] | None = None


def report(db: Session, job_id: int, news: list[Report], *, by: User) -> str:
    """Apply a pilot's reports in order; answers the job's status.

    A report that says what is already so is harmless; Conflict when the attempt is over.
    """
    attempt, last = news[-1].attempt, news[-1].change
    if any(one.attempt != attempt for one in news):
        raise BadRequest(f"reports on job {job_id} are of several attempts")
    job = _must_hold(db, job_id, attempt, by)
    if has_arrays(last.outputs):
        raise BadRequest(FORGED)
    if last.to is Status.DONE:
        metadata.refuse_foreign(list(locations(last.outputs)), owner_of(db, job))
    changes = [_beaten(one.change) for one in news]
    if attempt == job.attempt:
        changes = _news(db, job, changes)
    is_same = bool(changes) and changes[0].to == job.status and job.status in ALIVE
    frm = (changes[0].to,) if is_same else None
    if changes and move(db, job_id, *changes, attempt=attempt, frm=frm) is not Outcome.APPLIED:
        raise Conflict(why_not(db, job_id, changes[-1].to))
    if last.to is Status.DONE:
        metadata.assign(db, f"Job:{job_id}", locations(last.outputs), "Output")
    keep(db, {job_id: Beat(attempt, log=news[-1].log)})
    attempt_use.note(db, [(job_id, attempt, one.use) for one in news[-1:] if one.use])
    return last.to if changes else job.status


def holder(db: Session, job_id: int, attempt: int, by: User) -> Job:
    """The job, when this pilot holds this attempt and it is not over; Conflict or Forbidden otherwise."""
    _must_hold(db, job_id, attempt, by)
    job = db.get_one(Job, job_id)
    if job.attempt != attempt or job.status not in (Status.MATCHED, Status.STALLED, *ALIVE):
        raise Conflict(
            f"attempt {attempt} of job {job_id} is over: it is {job.status} (attempt {job.attempt})"
        )
    return job


def _news(db: Session, job: Held, changes: list[Change]) -> list[Change]:
    """The changes without those that a heartbeat or an earlier copy of the report has brought about."""
    past, found = PAST.get(job.status, ()), list(changes)
    if not found or found[0].to not in past:
        return found
    minor = db.scalar(select(Job.minor_status).where(Job.job_id == job.job_id))
    for number, change in reversed(list(enumerate(found))):
        if change.to == job.status and change.minor[:128] == minor:
            return found[number + 1 :]
    while found and found[0].to in past and not _is_news(job, found[0]):
        del found[0]
    return found


def _is_news(job: Held, change: Change) -> bool:
    """Whether a pilot says something new of a job in a status that it reported before: how far it is."""
    return change.to == job.status and job.status in ALIVE and bool(change.minor)


def _beaten(change: Change) -> Change:
    """The change with a new deadline if the pilot goes on after it."""
    if change.to not in ALIVE:
        return change
    return replace(change, columns={"heartbeat_at": utc_now(), "next_check_at": due(change.to)})


def _must_hold(db: Session, job_id: int, attempt: int, by: User) -> Held:
    """The job as it is now; the attempt asked about must be this pilot's."""
    # The job's row first, as everybody does: or two of them would wait for each other.
    job = hold(db, [job_id]).get(job_id)
    query = select(Attempt.pilot).where(Attempt.job_id == job_id, Attempt.attempt == attempt)
    pilot = db.scalar(query)
    if job is None or job.vo != by.vo or pilot is None:
        raise NotFound(f"there is no attempt {attempt} of a job {job_id} in {by.vo}")
    if pilot != by.pilot_stamp:
        raise Forbidden(f"attempt {attempt} of job {job_id} belongs to the pilot {pilot}")
    return job


def keep(db: Session, news: Mapping[int, Beat]) -> None:
    """Keep what attempts of jobs used last and the tails of their output; the pilots hold them."""
    unstated = [job_id for job_id, one in news.items() if one.attempt is None]
    query = select(Job.job_id, Job.attempt).where(Job.job_id.in_(unstated))
    current = dict(db.execute(query).all()) if unstated else {}
    alike: dict[tuple[str, ...], list[tuple[Any, ...]]] = defaultdict(list)
    for job_id, one in sorted(news.items()):
        values: dict[str, Any] = {"Usage": one.usage} if one.usage else {}
        if one.log is not None:
            values["Log"] = one.log[-TAIL:]
        if values:
            attempt = current[job_id] if one.attempt is None else one.attempt
            alike[tuple(values)].append((job_id, attempt, *values.values()))
    for names, rows in alike.items():
        update_many(db, plain(Attempt), (*ATTEMPT_KEY, *names), _kept, rows, keys=len(ATTEMPT_KEY))


def _kept(new: Columns) -> dict[str, Any]:
    """What is set of an attempt: what has been stated."""
    stated: dict[str, Any] = {name: new[name] for name in ("Usage", "Log") if name in new}
    return stated | {"LogAt": utc_now()} if "Log" in new else stated
