"""The history of jobs in DIRAC's LoggingInfo: appended as events arrive, read in the order of their times."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Double, cast, func, insert, literal, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, plain, utc
from diracx_tasks.core.many import insert_many
from diracx_tasks.jobs.tables import Job, JobEvent

# DIRAC counts StatusTimeOrder from this second on, in seconds with milliseconds (JobLoggingDB).
EPOCH = 1270000000
EPOCH_TIME = datetime.fromtimestamp(EPOCH, UTC).replace(tzinfo=None)
# What an event leaves as it was.
IDEM = "idem"
COLUMNS = (
    "JobID",
    "SeqNum",
    "Status",
    "MinorStatus",
    "ApplicationStatus",
    "StatusTime",
    "StatusTimeOrder",
    "StatusSource",
)


class Told(Protocol):
    """What an event is made from."""

    @property
    def to(self) -> str:
        """The status."""

    @property
    def minor(self) -> str:
        """The minor status."""

    @property
    def application(self) -> str:
        """The application's status."""

    @property
    def source(self) -> str:
        """Who says so."""


class Event(NamedTuple):
    """One event to be; `order` is its time as DIRAC counts it, empty texts leave things as they were."""

    job_id: int
    status: str
    minor: str
    application: str
    order: float
    source: str


class Tail(NamedTuple):
    """The number of a job's last event, and the time of its newest."""

    number: int
    order: float


NOTHING = Tail(0, 0.0)


def order_of(moment: datetime) -> float:
    """A time in UTC as DIRAC counts it, to the millisecond."""
    return round((moment - EPOCH_TIME).total_seconds(), 3)


def record(db: Session, job_ids: Collection[int], *changes: Told) -> None:
    """Add the same events to each job, now; the caller holds the jobs' rows, so that numbers are unique."""
    moment = now()
    for change in changes:
        last = select(func.coalesce(func.max(JobEvent.number), 0) + 1).where(JobEvent.job_id == Job.job_id)
        values = {
            JobEvent.status: literal(change.to),
            JobEvent.minor_status: literal(change.minor[:128] or IDEM),
            JobEvent.application_status: literal(change.application[:255] or IDEM),
            JobEvent.at: literal(moment.replace(microsecond=0)),
            JobEvent.order: literal(_decimal(order_of(moment))),
            JobEvent.source: literal(change.source[:32]),
        }
        chosen = select(Job.job_id, last.scalar_subquery(), *values.values()).where(Job.job_id.in_(job_ids))
        db.execute(insert(JobEvent).from_select(["JobID", "SeqNum", *(c.name for c in values)], chosen))


def tails(db: Session, job_ids: Collection[int]) -> dict[int, Tail]:
    """The ends of jobs' histories; jobs without one are left out."""
    newest = cast(func.max(JobEvent.order), Double)
    query = select(JobEvent.job_id, func.max(JobEvent.number), newest).where(JobEvent.job_id.in_(job_ids))
    rows = db.execute(query.group_by(JobEvent.job_id))
    return {job_id: Tail(number, order) for job_id, number, order in rows}


def append(db: Session, events: Sequence[Event], after: Mapping[int, Tail]) -> None:
    """Add different events; the caller holds the jobs' rows and says where their histories end."""
    numbers = {job_id: tail.number for job_id, tail in after.items()}
    rows = []
    for one in events:
        numbers[one.job_id] = number = numbers.get(one.job_id, 0) + 1
        minor, application = one.minor[:128] or IDEM, one.application[:255] or IDEM
        moment = _time_of(one.order).replace(microsecond=0)
        order = _decimal(one.order)
        rows.append((one.job_id, number, one.status, minor, application, moment, order, one.source[:32]))
    insert_many(db, plain(JobEvent), COLUMNS, rows)


def seen(db: Session, job_ids: Collection[int]) -> set[Event]:
    """Every event of the jobs."""
    return {
        Event(job_id, status, _stated(minor), _stated(application), round(order, 3), source)
        for job_id, status, minor, application, order, source in _rows(db, job_ids)
    }


def histories(db: Session, job_ids: Collection[int]) -> dict[int, list[dict[str, Any]]]:
    """Each job's events in the order of time; fields that an event left alone repeat the value before."""
    found: dict[int, list[dict[str, Any]]] = {job_id: [] for job_id in job_ids}
    before: dict[int, tuple[str, str, str]] = {}
    for one in _rows(db, job_ids):
        old = before.get(one[0], ("Unknown", "Unknown", "Unknown"))
        pairs = zip(one[1:4], old, strict=True)
        status, minor, application = (was if now in (IDEM, "") else now for now, was in pairs)
        before[one[0]] = status, minor, application
        found[one[0]].append(
            {
                "Status": status,
                "MinorStatus": minor,
                "ApplicationStatus": application,
                "StatusTime": utc(_time_of(one[4])),
                "Source": one[5],
            }
        )
    return found


def _rows(db: Session, job_ids: Collection[int]) -> list[Any]:
    columns = (JobEvent.job_id, JobEvent.status, JobEvent.minor_status, JobEvent.application_status)
    query = select(*columns, cast(JobEvent.order, Double), JobEvent.source)
    order = (JobEvent.job_id, JobEvent.order, JobEvent.number)
    return list(db.execute(query.where(JobEvent.job_id.in_(job_ids)).order_by(*order)))


def _stated(text: str) -> str:
    return "" if text == IDEM else text


def _time_of(order: float) -> datetime:
    return EPOCH_TIME + timedelta(milliseconds=round(order * 1000))


def _decimal(order: float) -> Decimal:
    return Decimal(f"{order:.3f}")
