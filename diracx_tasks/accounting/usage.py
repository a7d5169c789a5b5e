"""What attempts used: a record of each, and sums by the hour in which they ended, each counted once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.accounting.tables import UsageHour, UsageRecord
from diracx_tasks.core.database import changed, plain, utc_now
from diracx_tasks.core.many import insert_many
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import to_count
from diracx_tasks.jobs.to_count import Finished

PAGE = 2000
DAY = 86400
KIND = ("Hour", "VO", "Site", "Owner", "OwnerGroup", "JobType", "Status")
# What is added up, besides the attempts themselves.
NUMBERS = (
    "Measured",
    "CPUSeconds",
    "WallSeconds",
    "CoreSeconds",
    "MeasuredCoreSeconds",
    "MemoryMB",
    "DiskMB",
)
SUMMED = ("Attempts", *NUMBERS)
RECORD = ("JobID", "Attempt", "EndedAt", "CE", "WorkflowID", *KIND, *NUMBERS)
Kind = tuple[datetime, str, str, str, str, str, str]
Sums = Mapping[Kind, Sequence[float]]


def gather(db: Session) -> int:
    """Count a page of attempts that have ended; answers how many were struck off the journal.

    That, the records and the sums are one transaction: each attempt is counted once, however often this is
    carried out, and however late its end was committed.
    """
    taken = to_count.take(db, PAGE)
    known = _known(db, [one.job_id for one in taken.attempts])
    fresh = [one for one in taken.attempts if (one.job_id, one.attempt) not in known]
    sums: dict[Kind, list[float]] = defaultdict(lambda: [0.0] * len(SUMMED))
    records = []
    for one in fresh:
        kind, numbers = _kind(one), _numbers(one)
        records.append((one.job_id, one.attempt, one.ended_at, one.ce, one.workflow_id, *kind, *numbers))
        sums[kind] = [total + more for total, more in zip(sums[kind], (1, *numbers), strict=True)]
    insert_many(db, plain(UsageRecord), RECORD, records)
    _add(db, sums)
    return taken.entries


def forget_sums(db: Session) -> int:
    """Forget sums of a day that are older than DIRACX_USAGE_DAYS, the oldest first; answers how many."""
    limit = utc_now(-settings().usage_days * DAY)
    oldest = db.scalar(select(func.min(UsageHour.hour)).where(UsageHour.hour < limit))
    if oldest is None:
        return 0
    old = (UsageHour.hour < limit, UsageHour.hour < oldest + timedelta(days=1))
    return changed(db, delete(UsageHour).where(*old))


def forget_records(db: Session) -> int:
    """Forget a page of records that are older than DIRACX_USAGE_RECORD_DAYS; answers how many."""
    limit = utc_now(-settings().usage_record_days * DAY)
    query = select(UsageRecord.job_id, UsageRecord.attempt).where(UsageRecord.hour < limit)
    rows = db.execute(query.order_by(UsageRecord.hour).limit(PAGE))
    keys = [(job_id, attempt) for job_id, attempt in rows]
    to_count.strike_off(db, UsageRecord, keys)
    return len(keys)


def _known(db: Session, job_ids: Sequence[int]) -> set[tuple[int, int]]:
    """The attempts of jobs that have a record."""
    if not job_ids:
        return set()
    query = select(UsageRecord.job_id, UsageRecord.attempt).where(UsageRecord.job_id.in_(job_ids))
    return {(job_id, attempt) for job_id, attempt in db.execute(query)}


def _kind(one: Finished) -> Kind:
    hour = one.ended_at.replace(minute=0, second=0, microsecond=0)
    return hour, one.vo, one.site, one.owner, one.group, one.job_type, one.status


def _numbers(one: Finished) -> tuple[float, ...]:
    """What an attempt adds to sums, in the order of NUMBERS."""
    core_seconds = one.wall_seconds * one.cores
    if one.cpu_seconds is None:
        return 0, 0.0, one.wall_seconds, core_seconds, 0.0, 0.0, 0.0
    memory, disk = one.memory_mb or 0.0, one.disk_mb or 0.0
    return 1, one.cpu_seconds, one.wall_seconds, core_seconds, core_seconds, memory, disk


def _add(db: Session, sums: Sums) -> None:
    if not sums:
        return
    # In one order, or two transactions would wait for each other.
    rows = [dict(zip((*KIND, *SUMMED), (*kind, *sums[kind]), strict=True)) for kind in sorted(sums)]
    table = plain(UsageHour)
    if db.get_bind().dialect.name == "sqlite":
        made = sqlite.insert(table)
        more = {name: table.c[name] + made.excluded[name] for name in SUMMED}
        db.execute(made.on_conflict_do_update(index_elements=list(KIND), set_=more), rows)
    else:
        stated = mysql.insert(table)
        more = {name: table.c[name] + stated.inserted[name] for name in SUMMED}
        db.execute(stated.on_duplicate_key_update(more), rows)
