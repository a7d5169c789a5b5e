"""Sessions on the one database, its clock, and what happens right after a commit."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pymysql.constants import SERVER_STATUS
from sqlalchemy import (
    ColumnElement,
    CursorResult,
    DateTime,
    Engine,
    Executable,
    LargeBinary,
    MetaData,
    create_engine,
    event,
    insert,
    literal,
    select,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from diracx_tasks.core.settings import settings

log = logging.getLogger(__name__)

# DIRAC's databases: schemas in MySQL, nothing in SQLite.
DIRAC_SCHEMAS = (
    "AuthDB",
    "JobDB",
    "JobLoggingDB",
    "PilotAgentsDB",
    "ResourceStatusDB",
    "SandboxMetadataDB",
)
POOL = 32
# A connection that was used within so many seconds is taken to be good.
FRESH = 2.0

Timestamp = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
Blob = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


class Table(DeclarativeBase):
    """The base of all tables: one metadata, so that one transaction spans them."""

    metadata = MetaData()


class utc_now(FunctionElement[datetime]):
    """The database's own clock in UTC, `seconds` from now: a number, or what a statement finds."""

    type = DateTime()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[float] = 0) -> None:
        if isinstance(seconds, ColumnElement):
            super().__init__(seconds * 1_000_000)
        else:
            super().__init__(literal(round(seconds * 1_000_000)))


@compiles(utc_now, "mysql")
@compiles(utc_now, "mariadb")
def _mysql_now(element: utc_now, compiler: SQLCompiler, **options: Any) -> str:
    return f"(UTC_TIMESTAMP(6) + INTERVAL {compiler.process(element.clauses, **options)} MICROSECOND)"


@compiles(utc_now, "sqlite")
def _sqlite_now(element: utc_now, compiler: SQLCompiler, **options: Any) -> str:
    offset = f"({compiler.process(element.clauses, **options)} / 1000000.0) || ' seconds'"
    # Six digits, as SQLAlchemy writes them: SQLite compares times as texts.
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {offset}) || '000')"


def new_session(*, reading: bool = False) -> Session:
    """A session for the caller to commit and close; it connects when it is first used.

    One for reading does not wait for writers on SQLite.
    """
    found = _reading_engine(engine()) if reading else engine()
    return Session(found, expire_on_commit=False, info={"is_reading": reading})


@contextmanager
def session() -> Iterator[Session]:
    """A transaction: committed at the end, rolled back by an exception."""
    with new_session() as db:
        yield db
        commit(db)


@contextmanager
def reading() -> Iterator[Session]:
    """A session that changes nothing."""
    with new_session(reading=True) as db:
        yield db


def commit(db: Session) -> None:
    """Commit, then do what was asked for with `after_commit`."""
    db.commit()
    for action in db.info.pop("after_commit", []):
        try:
            action()
        except Exception as error:
            # What is done here is speed only: a sweep does it again, and the rest with it, from the database.
            log.warning("after a commit: %s: %s", type(error).__name__, error)
            return


def after_commit(db: Session, action: Callable[[], None]) -> None:
    """Do something once the transaction is in the database; its failure is logged, not raised."""
    db.info.setdefault("after_commit", []).append(action)


def changed(db: Session, statement: Executable) -> int:
    """Carry out an UPDATE or DELETE and answer how many rows it changed; loaded objects stay as they are."""
    found = db.execute(statement, execution_options={"synchronize_session": False})
    assert isinstance(found, CursorResult)
    return found.rowcount


def add_rows(db: Session, table: type[Table], rows: Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
    """Insert rows by their columns' names, without objects in between."""
    found = db.execute(insert(plain(table)), list(rows))
    assert isinstance(found, CursorResult)
    return found


def plain(table: type[Table]) -> SqlTable:
    """The table of a class, for statements that need none of the object mapper."""
    found = table.__table__
    assert isinstance(found, SqlTable)
    return found


def engine() -> Engine:
    """This process's engine; a forked child gets its own."""
    return _engine(settings().database, os.getpid())


def make_engine(url: str, seconds: float | None = None) -> Engine:
    """An engine for a URL, set up as all of ours are; a statement may take so many seconds."""
    seconds = seconds or settings().database_seconds
    if url.startswith("sqlite"):
        made = create_engine(
            url,
            connect_args={"timeout": 30, "check_same_thread": False},
            pool_size=POOL,
            hide_parameters=True,
        )
        event.listen(made, "connect", _prepare_sqlite)
        event.listen(made, "begin", _begin_sqlite)
        event.listen(made, "checkin", _end_sqlite)
        return made.execution_options(schema_translate_map=dict.fromkeys(DIRAC_SCHEMAS))
    made = create_engine(
        url,
        # What users send is not for the log.
        hide_parameters=True,
        pool_recycle=1800,
        pool_size=POOL,
        max_overflow=8,
        pool_timeout=10,
        # Sessions commit or roll back themselves; the pool would send a second ROLLBACK each time.
        pool_reset_on_return=None,
        # Gap locks would turn bulk inserts of neighbours into deadlocks; our writes are compare-and-swap.
        isolation_level="READ COMMITTED",
        connect_args={
            "connect_timeout": 5,
            "read_timeout": seconds,
            "write_timeout": seconds,
            # The driver doubles quotes in C, but looks for backslashes letter by letter.
            "init_command": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')",
        },
    )
    event.listen(made, "checkin", _note_use)
    event.listen(made, "checkout", _ping_if_idle)
    return made.execution_options(schema_translate_map=dict(settings().database_schemas))


def utc(moment: datetime | None) -> str | None:
    """A stored time as the API gives it: `2026-11-23T10:00:00.123456Z`."""
    return moment.isoformat(timespec="microseconds") + "Z" if moment else None


def now() -> datetime:
    """This machine's time in UTC, naive as it is stored; deadlines use `utc_now`."""
    return datetime.now(UTC).replace(tzinfo=None)


def database_time(db: Session) -> datetime:
    """The database's own time, for measuring the clock's skew."""
    return db.execute(select(utc_now())).scalar_one()


@lru_cache(4)
def _reading_engine(found: Engine) -> Engine:
    return found.execution_options(diracx_reading=True)


@lru_cache(4)
def _engine(url: str, pid: int) -> Engine:
    return make_engine(url)


def _prepare_sqlite(connection: Any, record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _note_use(connection: Any, record: ConnectionPoolEntry) -> None:
    # After a COMMIT that failed here the transaction may still be open there: the next user would commit it.
    if connection is not None and connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
        connection.rollback()
    record.info["used"] = time.monotonic()


def _ping_if_idle(connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:
    # SQLAlchemy's own pool_pre_ping asks each time: a third of what a short transaction costs.
    if time.monotonic() < record.info.get("used", 0) + FRESH:
        return
    try:
        connection.ping(reconnect=False)
    except Exception as error:
        raise InvalidatePoolError("the database closed the connection") from error


def _end_sqlite(connection: Any, record: ConnectionPoolEntry) -> None:
    # After a COMMIT that failed SQLAlchemy takes the transaction for ended; SQLite still holds its lock.
    if connection is not None and connection.in_transaction:
        connection.rollback()


def _begin_sqlite(connection: Any) -> None:
    # A transaction that reads first and writes later would fail at once when another writes in between.
    reading = connection.get_execution_options().get("diracx_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
