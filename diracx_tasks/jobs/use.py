"""What pilots hold and what they have ended, counted for those who decide where jobs go next."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import String, and_, distinct, func, not_, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from diracx_tasks.core.database import utc_now
from diracx_tasks.jobs.states import HELD, Status
from diracx_tasks.jobs.tables import Attempt, Job, Payload

# An attempt that somebody wanted to end so says nothing of the node.
WISHED = ("rescheduled by ", "sent back")
MICROSECONDS = 1_000_000


class Running(NamedTuple):
    """So many jobs of a kind are held by pilots of a computing element, which may be unknown and empty."""

    site: str
    ce: str
    job_type: str
    group: str
    owner: str
    jobs: int


class Position(NamedTuple):
    """A place in the order in which attempts ended."""

    ended_at: datetime
    job_id: int = 0
    attempt: int = 0


class EndedAttempt(NamedTuple):
    """An attempt that has ended; `cores` are those that the job asked for."""

    job_id: int
    attempt: int
    group: str
    owner: str
    job_type: str
    site: str
    ce: str
    node: str
    status: str
    reason: str
    started_at: datetime
    ended_at: datetime
    cores: int

    @property
    def position(self) -> Position:
        """Its place in the order."""
        return Position(self.ended_at, self.job_id, self.attempt)

    @property
    def seconds(self) -> float:
        """How long a pilot had the job."""
        return max(0.0, (self.ended_at - self.started_at).total_seconds())

    @property
    def is_good(self) -> bool | None:
        """Whether it was a success; None when it says nothing, as when somebody killed the job.

        A pilot that was lost or gave the job back is a failure.
        """
        if self.status == Status.DONE:
            return True
        if self.status == Status.FAILED:
            return False
        return False if self.status == Status.RESCHEDULED and not self.reason.startswith(WISHED) else None


class Surviving(NamedTuple):
    """On so many nodes of a site jobs of a kind have been running for a while."""

    group: str
    owner: str
    job_type: str
    site: str
    nodes: int


class exactly(FunctionElement[str]):
    """A text that differs from others in capitals and accents, whatever its column's collation."""

    type = String()
    inherit_cache = True


@compiles(exactly, "mysql")
@compiles(exactly, "mariadb")
def _exactly(element: exactly, compiler: SQLCompiler, **options: Any) -> str:
    return f"(CONVERT({compiler.process(element.clauses, **options)} USING utf8mb4) COLLATE utf8mb4_bin)"


@compiles(exactly, "sqlite")
def _sqlite_exactly(element: exactly, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


def running(db: Session, vo: str, sites: Collection[str]) -> list[Running]:
    """The jobs of a VO that pilots hold at some sites, counted by place and kind."""
    columns = [
        exactly(column).label(name)
        for name, column in (
            ("site", Job.site),
            ("ce", func.coalesce(Attempt.ce, "")),
            ("job_type", Job.job_type),
            ("group", Job.group),
            ("owner", Job.owner),
        )
    ]
    query = (
        select(*columns, func.count())
        .select_from(Job)
        .outerjoin(Attempt, and_(Attempt.job_id == Job.job_id, Attempt.attempt == Job.attempt))
        .where(Job.vo == vo, Job.status.in_(HELD), Job.site.in_(sites))
        .group_by(*columns)
    )
    rows: Any = db.execute(query)
    return [Running(*row) for row in rows]


def ended_since(db: Session, vo: str, after: Position, limit: int, *, until: datetime) -> list[EndedAttempt]:
    """The next attempts of a VO's jobs in the order in which they ended, up to `limit`.

    The end is stated, in the database's time, before its transaction is committed: what ended shortly before
    `until` may appear later, before what was seen already. Only what ended between `after` and `until` is
    read, of all VOs.
    """
    before = or_(
        Attempt.job_id < after.job_id,
        and_(Attempt.job_id == after.job_id, Attempt.attempt <= after.attempt),
    )
    query = (
        select(
            Attempt.job_id,
            Attempt.attempt,
            Job.group,
            Job.owner,
            Job.job_type,
            Attempt.site,
            Attempt.ce,
            Attempt.node,
            Attempt.status,
            Attempt.reason,
            Attempt.started_at,
            Attempt.ended_at,
            Payload.requirements,
        )
        .join(Job, Job.job_id == Attempt.job_id)
        .outerjoin(Payload, Payload.job_id == Attempt.job_id)
        .where(
            Job.vo == vo,
            Attempt.ended_at >= after.ended_at,
            Attempt.ended_at <= until,
            not_(and_(Attempt.ended_at == after.ended_at, before)),
        )
        .order_by(Attempt.ended_at, Attempt.job_id, Attempt.attempt)
        .limit(limit)
    )
    rows: Any = db.execute(query)
    return [EndedAttempt._make([*row[:-1], int((row[-1] or {}).get("cores") or 1)]) for row in rows]


def surviving(db: Session, vo: str, owners: Collection[str], seconds: float) -> list[Surviving]:
    """On how many nodes jobs of some owners have been running for so many seconds, by kind and site."""
    columns = [exactly(one) for one in (Job.group, Job.owner, Job.job_type, Attempt.site)]
    query = (
        select(*columns, func.count(distinct(exactly(Attempt.node))))
        .select_from(Job)
        .join(Attempt, and_(Attempt.job_id == Job.job_id, Attempt.attempt == Job.attempt))
        .where(
            Job.vo == vo,
            Job.status == Status.RUNNING,
            Job.owner.in_(owners),
            Attempt.started_at <= utc_now(-seconds),
            Attempt.ended_at.is_(None),
        )
        .group_by(*columns)
    )
    rows: Any = db.execute(query)
    return [Surviving(*row) for row in rows]
