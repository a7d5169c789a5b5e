"""Entry of jobs: rows in bulk, Received, and the optimizer asked for in the same transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Update, bindparam, func, text, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import add_rows, now, plain
from diracx_tasks.core.many import insert_many
from diracx_tasks.core.origin import origin
from diracx_tasks.core.packed import plain as as_json
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs.events import begin
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.tables import InputFile, Job, JobJDL, Payload
from diracx_tasks.sandboxes import metadata

ACCEPTED = Change(Status.RECEIVED, minor="Job accepted", application="Unknown", source="JobManager")
# The task, and its key.
OPTIMIZING = "jobs.optimize"
# Where the number goes in a description that is written before the job has one.
NUMBER = "\x01JobID\x01"
# The driver splits longer statements, and then the numbers of their rows are not one after the other.
LETTERS = 120_000
ROWS = 1000
STEP = text("SELECT @@SESSION.auto_increment_increment")
PAYLOAD = ("JobID", "Payload", "Requirements", "OwnerTask", "OwnerID")
JOB = (
    "JobID",
    "VO",
    "Owner",
    "OwnerGroup",
    "JobType",
    "JobGroup",
    "Site",
    "JobName",
    "SubmissionTime",
    "LastUpdateTime",
    "Status",
    "MinorStatus",
    "ApplicationStatus",
    "UserPriority",
    "RescheduleCounter",
    "VerifiedFlag",
    "AccountedFlag",
    "Attempt",
)


@dataclass(frozen=True)
class NewJob:
    """A job to be. `owner_task` and `owner_id` say whom its end concerns.

    `jdl` is DIRAC's normalised description, with NUMBER for the job's number; `original` what was sent.
    """

    name: str
    vo: str
    owner: str
    group: str
    payload: dict[str, Any]
    requirements: dict[str, Any]
    job_group: str = "00000000"
    owner_task: str | None = None
    owner_id: int | None = None
    job_type: str = "User"
    site: str = "ANY"
    jdl: str = ""
    original: str = ""
    input_data: Sequence[str] = ()
    input_sandbox: Sequence[str] = ()
    trace: str | None = None


def create(db: Session, jobs: Sequence[NewJob], first: Change = ACCEPTED) -> list[int]:
    """Store jobs and answer their numbers in the same order."""
    if not jobs:
        return []
    ids = _number(db, jobs)
    pairs = list(zip(ids, jobs, strict=True))
    moment = now().replace(microsecond=0)
    insert_many(db, plain(Job), JOB, [_row(job_id, job, first, moment) for job_id, job in pairs])
    insert_many(db, plain(Payload), PAYLOAD, [_payload(job_id, job) for job_id, job in pairs])
    files = [(job_id, lfn, "AprioriGood") for job_id, job in pairs for lfn in job.input_data]
    insert_many(db, plain(InputFile), ("JobID", "LFN", "Status"), files)
    used = {f"Job:{job_id}": job.input_sandbox for job_id, job in pairs if job.input_sandbox}
    if used:
        metadata.assign_many(db, used, "Input")
    begin(db, ids, first)
    if first.to is Status.RECEIVED:
        ask_for_optimizer(db)
    return ids


def ask_for_optimizer(db: Session) -> None:
    """Have what is Received optimized after this transaction."""
    enqueue(db, OPTIMIZING, OPTIMIZING)


def _number(db: Session, jobs: Sequence[NewJob]) -> list[int]:
    """Store the descriptions, which gives the jobs their numbers."""
    ids: list[int] = []
    is_sqlite = db.get_bind().dialect.name == "sqlite"
    # How far numbers lie apart: further on clusters of several writers, whose members come and go.
    step = db.execute(STEP).scalar_one() if len(jobs) > 1 and not is_sqlite else 1
    for rows in _chunks(jobs):
        done = add_rows(db, JobJDL, rows)
        if is_sqlite:
            last = db.execute(text("SELECT last_insert_rowid()")).scalar_one()
            begin = last - len(rows) + 1
        else:
            begin = done.lastrowid
        chunk = range(begin, begin + step * len(rows), step)
        if NUMBER in rows[0]["JDL"]:
            db.connection().execute(_numbering(), {"first": chunk[0], "last": chunk[-1]})
        ids += chunk
    return ids


@lru_cache(1)
def _numbering() -> Update:
    jdls = plain(JobJDL)
    # Numbers in between that are another's have no place for a number: nothing is changed there.
    mine = jdls.c.JobID.between(bindparam("first"), bindparam("last"))
    return update(jdls).where(mine).values(JDL=func.replace(jdls.c.JDL, NUMBER, jdls.c.JobID))


def _chunks(jobs: Sequence[NewJob]) -> Iterator[list[dict[str, str]]]:
    rows: list[dict[str, str]] = []
    letters = 0
    for job in jobs:
        jdl = job.jdl or _jdl(job.name, job.job_type)
        row = {"JDL": jdl, "JobRequirements": "", "OriginalJDL": job.original or jdl}
        size = len(jdl) + len(row["OriginalJDL"])
        if rows and (letters + size > LETTERS or len(rows) == ROWS):
            yield rows
            rows, letters = [], 0
        rows.append(row)
        letters += size
    yield rows


def _row(job_id: int, job: NewJob, first: Change, moment: datetime) -> tuple[Any, ...]:
    """A row of Jobs in the order of JOB."""
    priority = job.requirements.get("priority", 5)
    whose = (job.vo, job.owner, job.group)
    what = (job.job_type, job.job_group, job.site, job.name[:128])
    state = (first.to.value, first.minor, "Unknown", priority, 0, "True", "False", 1)
    return job_id, *whose, *what, moment, moment, *state


def _payload(job_id: int, job: NewJob) -> tuple[Any, ...]:
    """A row of JobPayloads in the order of PAYLOAD."""
    trace = job.trace or origin().trace
    payload = {**job.payload, "trace": trace} if trace else job.payload
    return job_id, as_json(payload), job.requirements, job.owner_task, job.owner_id


@lru_cache(256)
def _jdl(name: str, job_type: str) -> str:
    """The description that DIRAC's own tools read; what is run stands in the payload."""
    name = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'[\n  JobName = "{name}";\n  JobType = "{job_type}";\n  Executable = "diracx-pilot";\n]'
