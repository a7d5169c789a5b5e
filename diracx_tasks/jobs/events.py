"""The history of jobs in DIRAC's LoggingInfo: appended as events arrive, read in the order of their times."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from sqlalchemy import BindParameter, Double, Insert, Select, bindparam, cast, func, insert, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, plain, utc
from diracx_tasks.core.many import insert_many
from diracx_tasks.jobs.tables import Job, JobEvent

# DIRAC counts StatusTimeOrder from this second on, in seconds with milliseconds (JobLoggingDB).
EPOCH = 1270000000
EPOCH_TIME = datetime.fromtimestamp(EPOCH, UTC).replace(tzinfo=None)
# What an event leaves as it was.
IDEM = "idem"
IDS: BindParameter[Any] = bindparam("ids", expanding=True)
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


def begin(db: Session, job_ids: Collection[int], first: Told) -> None:
    """Add the first event of new jobs."""
    moment = now()
    rest = _row_of(Event(0, first.to, first.minor, first.application, order_of(moment), first.source))
    insert_many(db, plain(JobEvent), COLUMNS, [(job_id, 1, *rest) for job_id in job_ids])


def record(db: Session, job_ids: Collection[int], *changes: Told) -> None:
    """Add the same events to each job, now; the caller holds the jobs' rows, so that numbers are unique."""
    order = order_of(now())
    for change in changes:
        row = _row_of(Event(0, change.to, change.minor, change.application, order, change.source))
        stated = {f"new_{name}": value for name, value in zip(COLUMNS[2:], row, strict=True)}
        db.connection().execute(_recording(), {"ids": list(job_ids), **stated})


def tails(db: Session, job_ids: Collection[int]) -> dict[int, Tail]:
    """The ends of jobs' histories; jobs without one are left out."""
    rows = db.connection().execute(_ends(), {"ids": list(job_ids)})
    return {job_id: Tail(number, order) for job_id, number, order in rows}


def append(db: Session, events: Sequence[Event], after: Mapping[int, Tail]) -> None:
    """Add different events; the caller holds the jobs' rows and says where their histories end."""
    numbers = {job_id: tail.number for job_id, tail in after.items()}
    rows = []
    for one in events:
        numbers[one.job_id] = number = numbers.get(one.job_id, 0) + 1
        rows.append((one.job_id, number, *_row_of(one)))
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


def _row_of(one: Event) -> tuple[Any, ...]:
    """What is stored of an event besides its job and number, in the order of COLUMNS."""
    texts = (one.status, one.minor[:128] or IDEM, one.application[:255] or IDEM)
    return *texts, _time_of(one.order).replace(microsecond=0), _decimal(one.order), one.source[:32]


# Made once: making a statement costs more than carrying it out.
@lru_cache(1)
def _recording() -> Insert:
    table = plain(JobEvent)
    number = select(func.coalesce(func.max(JobEvent.number), 0) + 1).where(JobEvent.job_id == Job.job_id)
    stated = [bindparam(f"new_{name}", type_=table.c[name].type) for name in COLUMNS[2:]]
    chosen = select(Job.job_id, number.scalar_subquery(), *stated).where(Job.job_id.in_(IDS))
    return insert(table).from_select(COLUMNS, chosen)


@lru_cache(1)
def _ends() -> Select[Any]:
    newest = cast(func.max(JobEvent.order), Double)
    query = select(JobEvent.job_id, func.max(JobEvent.number), newest)
    return query.where(JobEvent.job_id.in_(IDS)).group_by(JobEvent.job_id)


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
