"""What was used, and how many jobs were in which state, by place, person and kind, over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from diracx_tasks.accounting.tables import StateBucket, StateCount, UsageHour, UsageRecord
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import database_time
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.jobs.access import sees_all

DIMENSIONS = ("site", "owner", "group", "job_type", "status")
# Only records have these; sums would have too many rows.
RECORDED = ("ce", "workflow_id")
HOUR, DAY = "hour", "day"
STEPS = {HOUR: timedelta(hours=1), DAY: timedelta(days=1)}
NUMBERS = (
    "measured",
    "cpu_seconds",
    "wall_seconds",
    "core_seconds",
    "measured_core_seconds",
    "memory_mb",
    "disk_mb",
)
DEFAULT = timedelta(days=7)
MOST_ROWS = 10_000
# All records of a longer time are too many to be added up for an answer.
LONGEST_OF_RECORDS = timedelta(days=31)
# Beyond them there are no jobs, and arithmetic fails.
FIRST_YEAR, LAST_YEAR = 1970, 2999
Table = type[UsageHour] | type[UsageRecord]


@dataclass(frozen=True)
class Question:
    """Which attempts, or snapshots, and how they are grouped; times are UTC and count to the hour.

    `only` holds dimensions with the value that they must have.
    """

    by: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    bucket: str | None = None
    only: Mapping[str, Any] = field(default_factory=dict)

    def period(self, moment: datetime, usual: timedelta = DEFAULT) -> tuple[datetime, datetime]:
        """The first and the last moment; without any, the time before now."""
        until = self.until or moment
        since = self.since or until - usual
        if since >= until:
            raise BadRequest(f"the period begins at {since} and ends at {until}: nothing is in it")
        return since, until


class Used(NamedTuple):
    """What attempts used that are alike in `of`; `at` is the start of the hour or day in which they ended.

    Means are of those that have told; None: none has.
    """

    at: datetime | None
    of: dict[str, Any]
    attempts: int
    measured: int
    cpu_seconds: float
    wall_seconds: float
    core_seconds: float
    cpu_share: float | None
    memory_mb: float | None
    disk_mb: float | None


class Counted(NamedTuple):
    """So many jobs were alike in `of` in the snapshot of a time."""

    at: datetime
    of: dict[str, Any]
    jobs: int


def utc_of(moment: datetime) -> datetime:
    """A stated time as times are stored; UTC where no zone is stated. BadRequest for strange years."""
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise BadRequest(f"the year {moment.year} is not from {FIRST_YEAR} to {LAST_YEAR}")
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def usage(db: Session, question: Question, *, by: User, most: int | None = None) -> list[Used]:
    """What attempts used that have ended; of a bucket, or of all, what used most comes first.

    Whoever may not see all jobs of the VO sees his own. BadRequest when there are more rows than
    `most`, MOST_ROWS if it is not stated.
    """
    since, until = question.period(database_time(db))
    table: Table = UsageRecord if {*question.by, *question.only} & {*RECORDED} else UsageHour
    if table is UsageRecord and until - since > LONGEST_OF_RECORDS:
        days = LONGEST_OF_RECORDS.days
        raise BadRequest(f"by {' and '.join(RECORDED)} {days} days can be asked for, not {until - since}")
    where = _where(table, question, by)
    first = since.replace(minute=0, second=0, microsecond=0)
    where += [table.hour >= first, table.hour < until]
    columns = [getattr(table, name) for name in question.by]
    if question.bucket:
        columns.insert(0, table.hour if question.bucket == HOUR else func.date(table.hour))
    attempts = func.count() if table is UsageRecord else func.sum(UsageHour.attempts)
    numbers = [func.sum(getattr(table, name)) for name in NUMBERS]
    query = select(*columns, attempts, *numbers).where(*where).group_by(*columns)
    rows = _few(db, query, most)
    found = [_used(row, question) for row in rows if row[len(columns)]]
    return sorted(found, key=lambda one: (one.at or datetime.min, -one.core_seconds, str(one.of)))


def states(
    db: Session,
    question: Question,
    *,
    by: User,
    step: timedelta | None = None,
    most: int | None = None,
) -> list[Counted]:
    """How many jobs were in each state, snapshot by snapshot, the most first; a day when none is stated.

    With a `step` there is only the first snapshot in each. BadRequest as `usage`.
    """
    since, until = question.period(database_time(db), timedelta(days=1))
    where = [*_where(StateCount, question, by), StateCount.at >= since, StateCount.at < until]
    if step:
        taken = select(StateBucket.at).where(StateBucket.at >= since, StateBucket.at < until)
        first = {floored(at, step): at for at in db.scalars(taken.order_by(StateBucket.at.desc()))}
        where.append(StateCount.at.in_(sorted(first.values())))
    columns = [StateCount.at, *(getattr(StateCount, name) for name in question.by)]
    rows = _few(db, select(*columns, func.sum(StateCount.jobs)).where(*where).group_by(*columns), most)
    found = [Counted(row[0], dict(zip(question.by, row[1:-1], strict=True)), int(row[-1])) for row in rows]
    return sorted(found, key=lambda one: (one.at, -one.jobs, str(one.of)))


def floored(moment: datetime, step: timedelta) -> datetime:
    """The start of the step that a time is in; steps are parts of a day, or days."""
    return moment - (moment - datetime.min) % step


def _where(table: Any, question: Question, by: User) -> list[ColumnElement[bool]]:
    mine = [] if sees_all(by) else [table.owner == by.name]
    only = [getattr(table, name) == value for name, value in question.only.items() if value is not None]
    return [table.vo == by.vo, *mine, *only]


def _few(db: Session, query: Any, most: int | None) -> Sequence[Any]:
    most = most or MOST_ROWS
    rows: Sequence[Any] = db.execute(query.limit(most + 1)).all()
    if len(rows) > most:
        raise BadRequest(f"the answer has more than {most} rows: ask for a shorter time or fewer groups")
    return rows


def _used(row: Any, question: Question) -> Used:
    at, rest = (_moment(row[0]), row[1:]) if question.bucket else (None, row)
    of = dict(zip(question.by, rest, strict=False))
    attempts, measured, cpu, wall, cores, paid, memory, disk = rest[len(question.by) :]
    measured = int(measured)
    return Used(
        at,
        of,
        int(attempts),
        measured,
        float(cpu),
        float(wall),
        float(cores),
        float(cpu / paid) if paid else None,
        float(memory / measured) if measured else None,
        float(disk / measured) if measured else None,
    )


def _moment(found: datetime | date | str) -> datetime:
    """The start of a bucket; SQLite has no type for days."""
    return datetime.fromisoformat(str(found))
