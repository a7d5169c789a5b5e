"""Waiting jobs in a real MariaDB, put there by the database itself: the queue alone, or whole jobs."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, insert, text

from diracx_tasks.core.database import DIRAC_SCHEMAS, engine, now, plain
from diracx_tasks.core.packed import packed
from diracx_tasks.core.settings import settings
from diracx_tasks.matching.tables import JobClass as ClassTable
from diracx_tasks.pilots.tables import Pilot
from tests.bench.matching_load import stored
from tests.bench.mixes import Burst, JobClass
from tests.bench.population import EPOCH, VO

T = TypeVar("T")
TABLES = ("{JobDB}.JobJDLs", "{JobDB}.Jobs", "{JobLoggingDB}.LoggingInfo", "JobPayloads")
LATER = ("JobAttempts", "{PilotAgentsDB}.PilotAgents", "{PilotAgentsDB}.JobToPilotMapping")
# So many rows or bursts go into one statement.
STATEMENT = 200
PAYLOAD = {
    "kind": "cwl",
    "bundle": "0f" * 32,
    "entrypoint": "simulate.cwl",
    "path": "",
    "inputs": {"events": 1000, "first_event": 1},
}
JDLS = """INSERT INTO {JobDB}.JobJDLs (JobID, JDL, JobRequirements, OriginalJDL)
 SELECT JobID, '', '', '' FROM MatchQueue"""
JOBS = """INSERT INTO {JobDB}.Jobs (JobID, JobType, JobGroup, Site, JobName, Owner, OwnerGroup, VO,
 SubmissionTime, LastUpdateTime, Status, MinorStatus, ApplicationStatus, UserPriority, RescheduleCounter,
 VerifiedFlag, AccountedFlag, Attempt)
 SELECT JobID, JobType, LPAD(JobID DIV 1000, 8, '0'), 'ANY', 'simulation', Owner, OwnerGroup, :vo,
 QueuedAt, QueuedAt, 'Waiting', 'Pilot Agent Submission', 'Unknown', Priority, 0, 'True', 'False', 1
 FROM MatchQueue JOIN JobClasses USING (ClassNo)"""
EVENTS = """INSERT INTO {JobLoggingDB}.LoggingInfo (JobID, SeqNum, Status, MinorStatus, ApplicationStatus,
 StatusTime, StatusTimeOrder, StatusSource)
 SELECT JobID, :number, :status, :minor, 'Unknown', QueuedAt,
 TIMESTAMPDIFF(SECOND, TIMESTAMP'1970-01-01 00:00:00', QueuedAt) - :epoch, :source FROM MatchQueue"""
HISTORY = (
    {"number": 1, "status": "Received", "minor": "Job accepted", "source": "JobManager"},
    {"number": 2, "status": "Waiting", "minor": "Pilot Agent Submission", "source": "JobScheduling"},
)
RECORDS = "CREATE OR REPLACE TEMPORARY TABLE BenchRecords (ClassNo INT PRIMARY KEY, Requirements LONGTEXT)"
PAYLOADS = """INSERT INTO JobPayloads (JobID, Payload, Requirements)
 SELECT JobID, :payload, Requirements FROM MatchQueue JOIN BenchRecords USING (ClassNo)"""


def fill_queue(made: Sequence[JobClass], parts: Sequence[Burst]) -> None:
    """Put all jobs into the matcher's tables, which are emptied before."""
    with engine().begin() as db:
        for table in ("MatchQueue", "JobClasses"):
            _run(db, f"TRUNCATE TABLE {table}")
        for classes in _chunks(made):
            db.execute(insert(plain(ClassTable)), [_row(one) for one in classes])
    for bursts in _chunks(parts):
        with engine().begin() as db:
            _run(db, _queueing(bursts))
    _analyse("MatchQueue, JobClasses")


def fill_jobs(made: Sequence[JobClass]) -> None:
    """Make the jobs of the filled queue whole: rows, events and payloads, and no others."""
    with engine().begin() as db:
        _run(db, "SET FOREIGN_KEY_CHECKS = 0")
        for table in (*TABLES, *LATER):
            _run(db, f"TRUNCATE TABLE {table}")
        _run(db, "SET FOREIGN_KEY_CHECKS = 1")
        _run(db, RECORDS)
        for chunk in _chunks(made):
            rows = [{"number": one.number, "record": orjson.dumps(one.record).decode()} for one in chunk]
            db.execute(text("INSERT INTO BenchRecords VALUES (:number, :record)"), rows)
        _run(db, JDLS)
        _run(db, JOBS, vo=VO)
        for event in HISTORY:
            _run(db, EVENTS, epoch=EPOCH, **event)
        _run(db, PAYLOADS, payload=packed(PAYLOAD))
    _analyse(", ".join(TABLES))


def add_pilots(stamps: Sequence[str], nodes: Sequence[dict[str, Any]]) -> None:
    """Register pilots that run on these nodes."""
    rows = [
        {"PilotStamp": stamp, "PilotJobReference": stamp, "VO": VO, "Status": "Running"}
        | {"GridSite": node["site"], "DestinationSite": node["ce"], "GridType": "bench"}
        for stamp, node in zip(stamps, nodes, strict=True)
    ]
    with engine().begin() as db:
        for chunk in _chunks(rows):
            db.execute(insert(plain(Pilot)), list(chunk))
    _analyse("{PilotAgentsDB}.PilotAgents")


def _run(db: Connection, statement: str, **values: Any) -> None:
    """Carry out SQL in which `{JobDB}` stands for what the database is called here."""
    names = {name: settings().database_schemas.get(name, name) for name in DIRAC_SCHEMAS}
    db.execute(text(statement.format(**names)), values)


def _analyse(tables: str) -> None:
    with engine().connect() as db:
        _run(db, f"ANALYZE TABLE {tables}")


def _row(one: JobClass) -> dict[str, Any]:
    of = stored(one)
    return {
        "ClassNo": of.class_no,
        "VO": of.vo,
        "Digest": f"bench-{of.class_no}",
        "JobType": of.job_type,
        "OwnerGroup": of.group,
        "Owner": of.owner,
        "Priority": of.priority,
        "Needs": of.needs,
        "UsedAt": now(),
    }


def _queueing(parts: Sequence[Burst]) -> str:
    """One INSERT of many bursts; MariaDB counts their jobs' numbers itself."""
    each = (
        f"SELECT seq, {one.of.number}, UTC_TIMESTAMP(6) FROM seq_{one.first}_to_{one.first + one.jobs - 1}"
        for one in parts
    )
    return f"INSERT INTO MatchQueue (JobID, ClassNo, QueuedAt) {' UNION ALL '.join(each)}"


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), STATEMENT):
        yield items[start : start + STATEMENT]
