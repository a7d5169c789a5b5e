"""The journal of attempts that have ended and are not counted yet: each is taken from it exactly once.

It is written in the transaction that ends an attempt, so that an end is there however late it is committed;
a cursor over the times of ends would have passed it.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import ColumnElement, Executable, and_, delete, func, insert, select, text
from sqlalchemy.orm import Session

from diracx_tasks.core.database import Table, changed, plain
from diracx_tasks.jobs.events import IDS
from diracx_tasks.jobs.tables import Attempt, AttemptUse, Job, Payload, ToCount

WORKFLOWS = "workflows.advance"
Key = tuple[int, int]


class Finished(NamedTuple):
    """An attempt that has ended, with what it used as far as its pilot has told; None: it has not.

    `cores` are those that the job asked for, `workflow_id` is 0 of a job that is no workflow's.
    """

    job_id: int
    attempt: int
    vo: str
    site: str
    ce: str
    owner: str
    group: str
    job_type: str
    status: str
    workflow_id: int
    started_at: datetime
    ended_at: datetime
    cores: int
    cpu_seconds: float | None
    told_seconds: float | None
    memory_mb: float | None
    disk_mb: float | None

    @property
    def wall_seconds(self) -> float:
        """How long its payload ran; of one that has told nothing, how long its pilot had the job."""
        if self.told_seconds is not None:
            return self.told_seconds
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


class Taken(NamedTuple):
    """So many entries were struck off the journal; those whose jobs were removed meanwhile tell nothing."""

    entries: int
    attempts: list[Finished]


def note(db: Session, *which: ColumnElement[bool]) -> None:
    """Enter those of some attempts that have not ended; their end is to follow in this transaction.

    Two who end an attempt at once, which locks on jobs prevent, may enter it twice: whoever counts knows it.
    """
    open_ones = select(Attempt.job_id, Attempt.attempt).where(*which, Attempt.ended_at.is_(None))
    made = insert(plain(ToCount)).from_select(["JobID", "Attempt"], open_ones)
    # Nothing here may keep a job from its end.
    made = made.prefix_with("IGNORE", dialect="mysql").prefix_with("IGNORE", dialect="mariadb")
    db.execute(made.prefix_with("OR IGNORE", dialect="sqlite"))


def take(db: Session, limit: int) -> Taken:
    """Strike up to `limit` attempts off the journal, with the caller's commit, and tell about them."""
    page = select(ToCount.job_id, ToCount.attempt).order_by(ToCount.job_id, ToCount.attempt)
    keys: list[Key] = [
        (row.job_id, row.attempt) for row in db.execute(page.limit(limit).with_for_update(skip_locked=True))
    ]
    if not keys:
        return Taken(0, [])
    found = list(_about(db, keys))
    strike_off(db, ToCount, keys)
    return Taken(len(keys), found)


def uncounted(db: Session, job_ids: Collection[int]) -> set[int]:
    """Those of some jobs of which an attempt is not counted yet: they must stay until it is."""
    rows = db.connection().execute(_entered(), {"ids": list(job_ids)}) if job_ids else ()
    return {row[0] for row in rows}


def backlog(db: Session) -> int:
    """How many attempts are not counted yet."""
    return db.execute(select(func.count()).select_from(ToCount)).scalar_one()


def strike_off(db: Session, table: type[Table], keys: Sequence[Key]) -> None:
    """Delete rows of a table of ours by job and attempt, exactly these, in a few statements."""
    by_attempt: dict[int, list[int]] = {}
    for job_id, attempt in keys:
        by_attempt.setdefault(attempt, []).append(job_id)
    rows = plain(table)
    for attempt, job_ids in sorted(by_attempt.items()):
        if db.get_bind().dialect.name == "sqlite":
            changed(db, delete(rows).where(rows.c.JobID.in_(job_ids), rows.c.Attempt == attempt))
        else:
            db.execute(_deletion(rows.name), {"ids": job_ids, "attempt": attempt})


@lru_cache(1)
def _entered() -> Executable:
    return select(ToCount.job_id).where(ToCount.job_id.in_(IDS)).distinct()


@lru_cache(4)
def _deletion(name: str) -> Executable:
    # Left to itself, MariaDB scans a small table, and waits for rows that others have entered just now.
    found = f"DELETE ended FROM {name} AS ended FORCE INDEX (PRIMARY)"
    return text(f"{found} WHERE ended.JobID IN :ids AND ended.Attempt = :attempt").bindparams(IDS)


def _about(db: Session, keys: Sequence[Key]) -> Iterator[Finished]:
    wanted = set(keys)
    where = (Attempt.job_id, Attempt.attempt, Job.vo, Attempt.site, Attempt.ce)
    who = (Job.owner, Job.group, Job.job_type, Attempt.status)
    asked = (Payload.owner_task, Payload.owner_id, Payload.requirements)
    used = (AttemptUse.cpu_seconds, AttemptUse.wall_seconds, AttemptUse.memory_mb, AttemptUse.disk_mb)
    same = and_(AttemptUse.job_id == Attempt.job_id, AttemptUse.attempt == Attempt.attempt)
    query = (
        select(*where, *who, *asked, Attempt.started_at, Attempt.ended_at, *used)
        .join(Job, Job.job_id == Attempt.job_id)
        .outerjoin(Payload, Payload.job_id == Attempt.job_id)
        .outerjoin(AttemptUse, same)
        .where(Attempt.job_id.in_(sorted({job_id for job_id, _ in keys})), Attempt.ended_at.is_not(None))
    )
    for row in db.execute(query):
        if (row[0], row[1]) in wanted:
            task, owner_id, requirements = row[9:12]
            workflow_id = int(owner_id or 0) if task == WORKFLOWS else 0
            cores = int((requirements or {}).get("cores") or 1)
            yield Finished._make([*row[:9], workflow_id, *row[12:14], cores, *row[14:]])
