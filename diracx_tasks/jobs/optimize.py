"""From Received to Waiting: what DIRAC's chain of executors did, in one transaction for a batch of jobs."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, plain, utc_now
from diracx_tasks.core.many import Columns, update_many
from diracx_tasks.core.operations import job_scheduling
from diracx_tasks.cwl.record import InvalidRequirements
from diracx_tasks.engine import repairs
from diracx_tasks.jobs.chain import SOURCE, Judged, judge
from diracx_tasks.jobs.holds import Holding, held_since, put_on_hold, text
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import ENTRY, Change, Held, New, hold, move_many, write_told
from diracx_tasks.jobs.tables import InputFile, Job, Payload
from diracx_tasks.jobs.verdicts import Candidate, Hold, Refuse
from diracx_tasks.matching import queue
from diracx_tasks.matching.specification import specifications

BATCH = 500
WAITING = Change(Status.WAITING, minor="Pilot Agent Submission", application="Unknown", source=SOURCE)
# Where the optimizer takes jobs from: new ones, and those that it has put on hold itself.
BEFORE = (Status.RECEIVED, Status.CHECKING)
# So begins what DIRAC says of jobs on hold.
ON_HOLD = "On Hold: "


class _Found(NamedTuple):
    """A job as it was read: an entry of the queue, its attempt, how it is held, and since when."""

    entry: queue.Entry
    attempt: int
    status: str
    held_because: tuple[str, str]
    reschedules: int
    begun_at: datetime


def optimize(db: Session) -> int:
    """Put about BATCH jobs into the matcher's queue, on hold, or aside as Failed; answers how many."""
    jobs = {row.entry.job_id: row for row in _next(db)}
    judged = _judged(db, list(jobs.values()))
    # Who has begun anew since it was read is another job by now, and judged the next time.
    held = {one.job_id: one for one in hold(db, jobs).values() if _is_as_read(one, jobs[one.job_id])}
    judged = [one for one in judged if one.job.job_id in held]
    if aside := [one for one in judged if one.verdict]:
        _put_aside(db, jobs, held, aside)
    _queue(db, jobs, [one.job for one in judged if one.verdict is None])
    return len(jobs)


def requeue(db: Session) -> int:
    """Queue waiting jobs that are not in the queue, and take out what does not wait; answers how many.

    Both happen only when somebody else has written into the tables, or an upgrade has emptied the queue.
    """
    queue.forget_orphans(db)
    left_out = (Job.status == Status.WAITING, Job.job_id.not_in(queue.queued()))
    # Found without a lock: it would wait for every job that somebody holds.
    # Jobs without a payload are DIRAC's: of these nothing is queued here.
    mine = select(Job.job_id).join(Payload, Payload.job_id == Job.job_id).where(*left_out)
    found = list(db.scalars(mine.order_by(Job.job_id).limit(BATCH)))
    rows = db.execute(_jobs(Job.job_id.in_(found), *left_out).with_for_update()).all()
    entries = {row[0]: queue.Entry(*row[: len(ENTRY)]) for row in rows}
    wrong = {job_id: words for job_id, entry in entries.items() if (words := _why_not(entry))}
    if wrong:
        _fail(db, {job_id: (SOURCE, words) for job_id, words in wrong.items()}, (Status.WAITING,))
    queue.add(db, [entry for job_id, entry in entries.items() if job_id not in wrong])
    others = select(Job.job_id).where(Job.job_id.in_(queue.queued()), Job.status != Status.WAITING)
    gone = list(db.scalars(others.limit(BATCH)))
    queue.remove(db, gone)
    repairs.note(db, {"waiting_not_queued": len(rows), "queued_not_waiting": len(gone)})
    return len(rows) + len(gone)


def _jobs(*conditions: ColumnElement[bool]) -> Select[Any]:
    begun = func.coalesce(Job.rescheduled_at, Job.submitted_at, utc_now())
    more = (Job.attempt, Job.status, Job.minor_status, Job.application_status, Job.reschedules, begun)
    query = select(*ENTRY, *more).join(Payload, Payload.job_id == Job.job_id)
    return query.where(*conditions).order_by(Job.job_id).limit(BATCH)


def _next(db: Session) -> list[_Found]:
    """New jobs, and jobs on hold that are due; some of these also while there are always new ones."""
    rows = list(_read(db, Job.status == Status.RECEIVED))
    is_due = (Job.status == Status.CHECKING, Job.next_check_at <= utc_now())
    due = select(Job.job_id).join(Payload, Payload.job_id == Job.job_id).where(*is_due)
    # Left to itself, MariaDB reads all jobs on hold, of which most are not due.
    hinted = due.with_hint(Job, "FORCE INDEX (NextCheckAt)", "mysql").order_by(Job.next_check_at)
    ids = db.scalars(hinted.limit(max(BATCH - len(rows), BATCH // 10))).all()
    return [*rows, *(_read(db, Job.job_id.in_(ids), Job.status == Status.CHECKING) if ids else ())]


def _is_as_read(held: Held, job: _Found) -> bool:
    return held.attempt == job.attempt and held.status in BEFORE


def _read(db: Session, *conditions: ColumnElement[bool]) -> Iterable[_Found]:
    return map(_found, db.execute(_jobs(*conditions)))


def _found(row: Row[Any]) -> _Found:
    of_entry = len(ENTRY)
    attempt, status, minor, application, reschedules, begun = row[of_entry:]
    return _Found(queue.Entry(*row[:of_entry]), attempt, status, (minor, application), reschedules, begun)


def _judged(db: Session, jobs: Sequence[_Found]) -> list[Judged]:
    """What is to become of jobs, by the optimizers of their VOs and by what can be queued at all."""
    files = defaultdict(list)
    ids = [job.entry.job_id for job in jobs]
    query = select(InputFile.job_id, InputFile.lfn).where(InputFile.job_id.in_(ids))
    for job_id, lfn in db.execute(query.order_by(InputFile.job_id, InputFile.lfn)):
        files[job_id].append(lfn)
    of_vo: dict[str, list[Candidate]] = defaultdict(list)
    for job in jobs:
        of_vo[job.entry.vo].append(_candidate(job, tuple(files.get(job.entry.job_id, ()))))
    judged = [one for vo, candidates in of_vo.items() for one in judge(db, vo, candidates)]
    return [_readable(one) for one in judged]


def _candidate(job: _Found, files: tuple[str, ...]) -> Candidate:
    entry = job.entry
    whose = (entry.job_id, entry.vo, entry.owner, entry.group, entry.job_type)
    return Candidate(*whose, entry.requirements, files, job.reschedules, job.status == Status.CHECKING)


def _readable(one: Judged) -> Judged:
    """One whose requirements make no sense is refused."""
    if one.verdict:
        return one
    job = one.job
    words = _why_not(queue.Entry(job.job_id, job.vo, job.job_type, job.group, job.owner, 0, job.requirements))
    return Judged(job, Refuse(words), SOURCE) if words else one


def _why_not(entry: queue.Entry) -> str:
    try:
        entry.check()
    except InvalidRequirements as error:
        return str(error)
    return ""


def _put_aside(
    db: Session, jobs: Mapping[int, _Found], held: Mapping[int, Held], aside: Sequence[Judged]
) -> None:
    """Hold jobs, or fail them; those that have been held for too long fail as well."""
    late = {job_id: job.begun_at for job_id, job in jobs.items() if _may_be_late(job)}
    since = late | held_since(db, late)
    refused: dict[int, tuple[str, str]] = {}
    holding = []
    for one in aside:
        job_id, stated, moment = one.job.job_id, job_scheduling(one.job.vo), now()
        if isinstance(one.verdict, Refuse):
            refused[job_id] = (one.by, str(one.verdict.words))
        elif isinstance(one.verdict, Hold):
            waited = (moment - since.get(job_id, moment)).total_seconds()
            if waited > stated.MaxHoldSeconds:
                words = f"{one.verdict.words}; it has been so for {waited / 3600:.1f} h"
                refused[job_id] = (one.by, words)
            else:
                seconds = stated.HoldSeconds if one.verdict.seconds is None else one.verdict.seconds
                words = ON_HOLD + str(one.verdict.words)
                holding.append(Holding(held[job_id], one.by, words, seconds, jobs[job_id].held_because))
    _fail(db, refused, BEFORE)
    put_on_hold(db, holding)


def _may_be_late(job: _Found) -> bool:
    if job.status != Status.CHECKING:
        return False
    return (now() - job.begun_at).total_seconds() > job_scheduling(job.entry.vo).MaxHoldSeconds


def _fail(db: Session, refused: Mapping[int, tuple[str, str]], frm: Collection[Status]) -> None:
    """Fail jobs that are still where they were, each for the reason that an optimizer gives."""
    held = [job for job in hold(db, refused).values() if job.status in frm]
    moment = now().replace(microsecond=0)
    news = []
    for job in held:
        by, words = refused[job.job_id]
        news.append((New(job, Status.FAILED, f"{by} optimizer", text(words), ended_at=moment), by))
    write_told(db, news)


def _queue(db: Session, jobs: Mapping[int, _Found], passed: Sequence[Candidate]) -> None:
    """Make jobs Waiting and queue them; those that were narrowed ask for that from now on."""
    narrowed = {
        job.job_id: job for job in passed if job.requirements is not jobs[job.job_id].entry.requirements
    }
    by_site: dict[str | None, list[int]] = defaultdict(list)
    for job in passed:
        by_site[_site(job) if job.job_id in narrowed else None].append(job.job_id)
    moved: set[int] = set()
    for site, ids in by_site.items():
        change = WAITING if site is None else replace(WAITING, columns={"site": site})
        moved.update(move_many(db, ids, change, frm=BEFORE))
    rows = [(job_id, job.requirements) for job_id, job in narrowed.items() if job_id in moved]
    update_many(db, plain(Payload), ("JobID", "Requirements"), _required, rows)
    queue.add(db, [_entry(jobs[job.job_id].entry, job) for job in passed if job.job_id in moved])


def _required(new: Columns) -> dict[str, Any]:
    return {"Requirements": new["Requirements"]}


def _entry(entry: queue.Entry, job: Candidate) -> queue.Entry:
    whose = (entry.job_id, entry.vo, entry.job_type, entry.group, entry.owner, entry.priority)
    return queue.Entry(*whose, job.requirements)


def _site(job: Candidate) -> str:
    """DIRAC's attribute Site: one, Multiple, or ANY."""
    sites = {name for one in specifications(job.requirements) for name in one.sites}
    return "ANY" if not sites else sites.pop() if len(sites) == 1 else "Multiple"
