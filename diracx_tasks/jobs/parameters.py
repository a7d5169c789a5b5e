"""What is known of jobs besides their attributes: written in the caller's transaction, in SQL at first.

Without OpenSearch it stays in DiracX's table JobParameters, as text. With it, news wait in a journal until
OpenSearch has acknowledged them: `send_parameters`.
"""

import json
import math
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Insert, case, delete, func, null, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core import opensearch
from diracx_tasks.core.database import after_commit, changed, database_time, utc_now
from diracx_tasks.core.errors import BadRequest, DiracXError, TooLarge
from diracx_tasks.core.settings import settings
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs.parameter_documents import KEY, indexes_of, stored
from diracx_tasks.jobs.tables import Job, Parameter, ParameterNews

SEND = "jobs.send_parameters"
# A removed job has one row in the journal, without a name.
REMOVED = ""
NAME_CHARACTERS = 100
VALUE_BYTES = 65_535
# DiracX keeps what a heartbeat brings of a job's output under this name; the end of it is what counts.
OUTPUT = "StandardOutput"
# A process asks for the sending once in so many seconds; the task comes again by itself while there is news.
ASK_EVERY = 1.0
# A user waits no longer for OpenSearch.
READ_SECONDS = 2.0
PAGE = 1000
_ASKED: dict[str, float] = {}


@dataclass(frozen=True)
class Found:
    """Parameters by job; not complete when OpenSearch did not answer."""

    parameters: dict[int, dict[str, Any]]
    is_complete: bool


@dataclass(frozen=True)
class Refused:
    """A value that OpenSearch will not have, and why; it stays readable."""

    job_id: int
    name: str
    vo: str
    reason: str


def record(db: Session, found: Mapping[int, Mapping[str, Any]], vos: Mapping[int, str]) -> None:
    """Store parameters of jobs by name; `vos` has the VO of each job. None says nothing and is left out.

    The jobs exist, and whoever also changes their rows does so before. BadRequest or TooLarge for what is
    no parameter; of the job's output the end is kept.
    """
    rows = [
        {"job_id": job_id, "name": name, "value": value}
        for job_id in sorted(found)
        for name, value in sorted(_checked(job_id, found[job_id]).items())
    ]
    is_journal = opensearch.is_used()
    for first in range(0, len(rows), PAGE):
        page = rows[first : first + PAGE]
        if is_journal:
            _note(db, [one | {"vo": vos[one["job_id"]], "value": json.dumps(one["value"])} for one in page])
        else:
            _store(db, [one | {"value": _text(one["value"])} for one in page])


def read(db: Session, job_ids: Collection[int], vo: str) -> Found:
    """All parameters of those of the jobs that are this VO's. Never fails because OpenSearch is away.

    Values are texts where there is no OpenSearch. A value that it does not have yet is there all the same.
    """
    mine = {job_id: vo for job_id in _of_vo(db, job_ids, vo)}
    news = {job_id: dict[str, Any]() for job_id in mine}
    for row in db.execute(_columns(ParameterNews).where(ParameterNews.job_id.in_(mine))):
        if row.name != REMOVED:
            news[row.job_id][row.name] = json.loads(row.value)
    table = {job_id: dict[str, Any]() for job_id in mine}
    for row in db.execute(_columns(Parameter).where(Parameter.job_id.in_(mine))):
        table[row.job_id][row.name] = row.value
    if not opensearch.is_used():
        return Found({job_id: news[job_id] | table[job_id] for job_id in mine}, is_complete=True)
    # After the journal: what is acknowledged in between is then read twice and not never.
    documents = _documents(mine)
    known = documents or {}
    merged = {job_id: table[job_id] | known.get(job_id, {}) | news[job_id] for job_id in mine}
    return Found(merged, is_complete=documents is not None)


def forget(db: Session, job_ids: Collection[int]) -> None:
    """Remove all parameters of jobs, to be called before the jobs' own rows go; twice is harmless."""
    changed(db, delete(Parameter).where(Parameter.job_id.in_(job_ids)))
    changed(db, delete(ParameterNews).where(ParameterNews.job_id.in_(job_ids)))
    if not opensearch.is_used():
        return
    query = select(Job.job_id, Job.vo).where(Job.job_id.in_(job_ids)).order_by(Job.job_id)
    rows = [
        {"job_id": job_id, "name": REMOVED, "vo": vo, "value": "null"} for job_id, vo in db.execute(query)
    ]
    for first in range(0, len(rows), PAGE):
        _note(db, rows[first : first + PAGE])


def backlog(db: Session) -> tuple[int, float]:
    """How many values wait for OpenSearch, and for how many seconds the oldest of them has."""
    waiting = ParameterNews.due_at.is_not(None)
    count, oldest = db.execute(select(func.count(), func.min(ParameterNews.written_at)).where(waiting)).one()
    return count, max(0.0, (database_time(db) - oldest).total_seconds()) if oldest else 0.0


def refused_count(db: Session) -> int:
    """How many values OpenSearch will not have."""
    return int(db.scalar(select(func.count()).where(ParameterNews.due_at.is_(None))) or 0)


def refused(db: Session, limit: int = 100) -> list[Refused]:
    """Values that OpenSearch will not have, by job."""
    columns = (ParameterNews.job_id, ParameterNews.name, ParameterNews.vo, ParameterNews.reason)
    query = select(*columns).where(ParameterNews.due_at.is_(None))
    rows = db.execute(query.order_by(ParameterNews.job_id, ParameterNews.name).limit(limit))
    return [Refused(row.job_id, row.name, row.vo, row.reason or "") for row in rows]


def send_refused(db: Session) -> int:
    """Have what OpenSearch refused be sent once more: its mapping or limits may be others now. How many."""
    again = update(ParameterNews).where(ParameterNews.due_at.is_(None))
    count = changed(db, again.values(due_at=utc_now()))
    if count:
        enqueue(db, SEND, SEND)
    return count


def _of_vo(db: Session, job_ids: Collection[int], vo: str) -> list[int]:
    # MySQL compares texts without regard to case, a VO's right to its jobs must not.
    rows = db.execute(select(Job.job_id, Job.vo).where(Job.job_id.in_(job_ids)))
    return [job_id for job_id, owner in rows if owner == vo]


def _columns(table: type[Parameter] | type[ParameterNews]) -> Any:
    return select(table.job_id, table.name, table.value)


def _documents(jobs: Mapping[int, str]) -> dict[int, dict[str, Any]] | None:
    if opensearch.is_resting():
        return None
    try:
        return stored(indexes_of(jobs), seconds=READ_SECONDS)
    except DiracXError:
        return None


def _store(db: Session, rows: list[dict[str, Any]]) -> None:
    statement, new = _insert(db, Parameter, rows)
    db.execute(_upsert(statement, {"Value": new.Value}))


def _note(db: Session, rows: list[dict[str, Any]]) -> None:
    """Put news into the journal and have it sent; what waits already keeps its place."""
    times = {"written_at": utc_now(), "due_at": utc_now(), "reason": None}
    statement, new = _insert(
        db, ParameterNews, [one | times | {"token": secrets.randbits(62)} for one in rows]
    )
    was_refused = ParameterNews.due_at.is_(None)
    values = {
        "VO": new.VO,
        "Value": new.Value,
        "Token": new.Token,
        "WrittenAt": case((was_refused, utc_now()), else_=ParameterNews.written_at),
        "DueAt": func.coalesce(ParameterNews.due_at, utc_now()),
        "Reason": null(),
    }
    db.execute(_upsert(statement, values))
    _ask(db)


def _insert(db: Session, table: type[Any], rows: list[dict[str, Any]]) -> tuple[Insert, Any]:
    """The statement, and the columns of what it brings."""
    if db.get_bind().dialect.name == "sqlite":
        lite = sqlite.insert(table).values(rows)
        return lite, lite.excluded
    big = mysql.insert(table).values(rows)
    return big, big.inserted


def _upsert(statement: Insert, values: dict[str, Any]) -> Insert:
    if isinstance(statement, sqlite.Insert):
        return statement.on_conflict_do_update(index_elements=["JobID", "Name"], set_=values)
    assert isinstance(statement, mysql.Insert)
    return statement.on_duplicate_key_update(values)


def _ask(db: Session) -> None:
    """Have the journal sent, not with every request: they would wait in line for one row of the outbox."""
    database = settings().database
    if time.monotonic() < _ASKED.get(database, 0.0) + ASK_EVERY:
        return
    enqueue(db, SEND, SEND)
    after_commit(db, lambda: _ASKED.update({database: time.monotonic()}))


def _checked(job_id: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as OpenSearch gets them: numbers, texts, booleans, and lists of these; the rest as JSON."""
    return {
        _name(job_id, name): _sized(job_id, name, _plain(job_id, name, value))
        for name, value in given.items()
        if value is not None
    }


def _name(job_id: int, given: str) -> str:
    name = _clean(given).strip()
    if not name or len(name) > NAME_CHARACTERS:
        words = f"1 to {NAME_CHARACTERS} characters"
        raise BadRequest(f"a parameter of job {job_id} is called {given[:NAME_CHARACTERS]!r}: {words}")
    if name == KEY:
        raise BadRequest(f"job {job_id} has its number already: {KEY} cannot be a parameter")
    return name


def _plain(job_id: int, name: str, value: Any) -> Any:
    if isinstance(value, list) and value and not any(isinstance(one, list | dict) for one in value):
        return [_plain(job_id, name, one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest(f"the parameter {name} of job {job_id} is {value}: numbers must be finite")
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, datetime):
        return value.isoformat()
    # What is beyond 64 bits makes OpenSearch refuse the whole request.
    is_number = isinstance(value, bool | float) or (isinstance(value, int) and -(2**63) <= value < 2**63)
    return value if value is None or is_number else _text(value)


def _clean(text: str) -> str:
    """Without what is no character: halves of surrogate pairs."""
    return text.encode("utf-8", "backslashreplace").decode()


def _text(value: Any) -> str:
    """A value as DIRAC's tables have it."""
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)


def _sized(job_id: int, name: str, value: Any) -> Any:
    text = _text(value).encode()
    if len(text) <= VALUE_BYTES:
        return value
    if name == OUTPUT:
        return text[-VALUE_BYTES:].decode(errors="ignore")
    raise TooLarge(f"the parameter {name} of job {job_id} has {len(text)} bytes: {VALUE_BYTES} at most")
