"""What is stored of jobs: DIRAC's tables as they are, and beside them what an attempt and a payload are."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    String,
    Text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Blob, Table, Timestamp
from diracx_tasks.jobs import bulk_tables  # noqa: F401  # `load_tables` looks here for all of jobs

JOBS = "JobDB"
LOGGING = "JobLoggingDB"
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
# SQLite numbers rows by itself only in a column of the plain type INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")
# OpenSearch tells `a` from `A`.
ExactName = String(100).with_variant(mysql.VARCHAR(100, collation="utf8mb4_bin"), "mysql", "mariadb")
# Upper and lower case are different keys.
Key = String(128).with_variant(mysql.VARCHAR(128, collation="utf8mb4_bin"), "mysql", "mariadb")
Lfn = String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_bin"), "mysql", "mariadb")
_FLAGS = Enum("True", "False", name="flag", native_enum=True)
_ACCOUNTED = Enum("True", "False", "Failed", name="accounted", native_enum=True)


class JobJDL(Table):
    """The description that a job was submitted with; its number is the job's."""

    __tablename__ = "JobJDLs"
    __table_args__ = {"schema": JOBS}  # noqa: RUF012

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=True)
    jdl: Mapped[str] = mapped_column("JDL", LongText, default="")
    requirements: Mapped[str] = mapped_column("JobRequirements", LongText, default="")
    original: Mapped[str] = mapped_column("OriginalJDL", LongText, default="")


class Job(Table):
    """One job; Attempt, NextCheckAt and Requirements are ours, everything else is DIRAC's."""

    __tablename__ = "Jobs"
    __table_args__ = (
        Index("JobGroup", "JobGroup"),
        Index("Owner", "Owner"),
        Index("Status", "Status"),
        Index("LastUpdateTime", "LastUpdateTime"),
        Index("NextCheckAt", "NextCheckAt"),
        # Everybody sees jobs of one VO: its rows in the order of JobID, and counts by status from the index.
        Index("JobsOfVO", "VO"),
        Index("StatusOfVO", "VO", "Status"),
        # A VO's jobs of a status that nothing has happened to for longest: those that go first.
        Index("JobsByAge", "VO", "Status", "LastUpdateTime"),
        {"schema": JOBS},
    )

    job_id: Mapped[int] = mapped_column(
        "JobID", Integer, ForeignKey(f"{JOBS}.JobJDLs.JobID", ondelete="CASCADE"), primary_key=True
    )
    job_type: Mapped[str] = mapped_column("JobType", String(32), default="user")
    job_group: Mapped[str] = mapped_column("JobGroup", String(32), default="00000000")
    site: Mapped[str] = mapped_column("Site", String(100), default="ANY")
    name: Mapped[str] = mapped_column("JobName", String(128), default="Unknown")
    owner: Mapped[str] = mapped_column("Owner", String(64), default="Unknown")
    group: Mapped[str] = mapped_column("OwnerGroup", String(128), default="Unknown")
    vo: Mapped[str] = mapped_column("VO", String(32))
    submitted_at: Mapped[datetime | None] = mapped_column("SubmissionTime", DateTime)
    rescheduled_at: Mapped[datetime | None] = mapped_column("RescheduleTime", DateTime)
    updated_at: Mapped[datetime | None] = mapped_column("LastUpdateTime", DateTime)
    started_at: Mapped[datetime | None] = mapped_column("StartExecTime", DateTime)
    heartbeat_at: Mapped[datetime | None] = mapped_column("HeartBeatTime", DateTime)
    ended_at: Mapped[datetime | None] = mapped_column("EndExecTime", DateTime)
    status: Mapped[str] = mapped_column("Status", String(32), default="Received")
    minor_status: Mapped[str] = mapped_column("MinorStatus", String(128), default="Unknown")
    application_status: Mapped[str] = mapped_column("ApplicationStatus", String(255), default="Unknown")
    priority: Mapped[int] = mapped_column("UserPriority", Integer, default=0)
    reschedules: Mapped[int] = mapped_column("RescheduleCounter", Integer, default=0)
    verified: Mapped[str] = mapped_column("VerifiedFlag", _FLAGS, default="False")
    accounted: Mapped[str] = mapped_column("AccountedFlag", _ACCOUNTED, default="False")
    attempt: Mapped[int] = mapped_column("Attempt", Integer, default=0, server_default="0")
    # When the job must have moved on, by the database's clock; null: nothing is expected of anybody.
    next_check_at: Mapped[datetime | None] = mapped_column("NextCheckAt", Timestamp)


class InputFile(Table):
    """A file of the grid that a job reads."""

    __tablename__ = "InputData"
    __table_args__ = {"schema": JOBS}  # noqa: RUF012

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    lfn: Mapped[str] = mapped_column("LFN", Lfn, primary_key=True, default="")
    status: Mapped[str] = mapped_column("Status", String(32), default="AprioriGood")


class JobEvent(Table):
    """One change of a job, numbered within the job as DIRAC does."""

    __tablename__ = "LoggingInfo"
    __table_args__ = {"schema": LOGGING}  # noqa: RUF012

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column("SeqNum", Integer, primary_key=True, autoincrement=False)
    status: Mapped[str] = mapped_column("Status", String(32), default="")
    minor_status: Mapped[str] = mapped_column("MinorStatus", String(128), default="")
    application_status: Mapped[str] = mapped_column("ApplicationStatus", String(255), default="")
    at: Mapped[datetime] = mapped_column("StatusTime", DateTime)
    order: Mapped[Any] = mapped_column("StatusTimeOrder", Numeric(12, 3), default=0)
    source: Mapped[str] = mapped_column("StatusSource", String(32), default="Unknown")


class Payload(Table):
    """What a job runs and whom its end concerns."""

    __tablename__ = "JobPayloads"

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    payload: Mapped[bytes] = mapped_column("Payload", Blob)
    requirements: Mapped[dict[str, Any]] = mapped_column("Requirements", JSON)
    # The task that the end of the job asks for; the ended job is noted under this owner.
    owner_task: Mapped[str | None] = mapped_column("OwnerTask", String(64))
    owner_id: Mapped[int | None] = mapped_column("OwnerID", Number)


class Attempt(Table):
    """One pilot's hold of a job."""

    __tablename__ = "JobAttempts"
    __table_args__ = (Index("AttemptsEnded", "EndedAt"),)

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column("Attempt", Integer, primary_key=True, autoincrement=False)
    pilot: Mapped[str] = mapped_column("PilotStamp", String(64), index=True)
    site: Mapped[str] = mapped_column("Site", String(100), default="")
    ce: Mapped[str] = mapped_column("CE", String(128), default="", server_default="")
    node: Mapped[str] = mapped_column("Node", String(255), default="", server_default="")
    started_at: Mapped[datetime] = mapped_column("StartedAt", Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column("EndedAt", Timestamp)
    status: Mapped[str] = mapped_column("Status", String(32), default="Matched")
    reason: Mapped[str] = mapped_column("Reason", String(255), default="")
    # How often its pilot reports; null: as DIRACX_HEARTBEAT_SECONDS says.
    heartbeat_seconds: Mapped[float | None] = mapped_column("HeartbeatSeconds", Float)
    usage: Mapped[dict[str, Any] | None] = mapped_column("Usage", JSON)
    log: Mapped[str | None] = mapped_column("Log", LongText)
    log_at: Mapped[datetime | None] = mapped_column("LogAt", Timestamp)


class AttemptUse(Table):
    """What an attempt has used, as its pilot measured; apart from the log, so that many are read quickly."""

    __tablename__ = "JobAttemptUse"

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column("Attempt", Integer, primary_key=True, autoincrement=False)
    cpu_seconds: Mapped[float] = mapped_column("CPUSeconds", Float)
    wall_seconds: Mapped[float] = mapped_column("WallSeconds", Float)
    memory_mb: Mapped[float] = mapped_column("MemoryMB", Float)
    disk_mb: Mapped[float] = mapped_column("DiskMB", Float)


class ToCount(Table):
    """An attempt that has ended and is in no sum of what was used yet; written with its end."""

    __tablename__ = "AttemptsToCount"

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column("Attempt", Integer, primary_key=True, autoincrement=False)


class Heartbeat(Table):
    """What a payload used at one moment; one row where DIRAC has one per number."""

    __tablename__ = "JobHeartbeats"

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column("HeartBeatTime", Timestamp, primary_key=True)
    usage: Mapped[str] = mapped_column("Usage", Text)


class Submission(Table):
    """The answer to a submission, for the case that the same request comes again."""

    __tablename__ = "JobSubmissions"
    __table_args__ = (Index("SubmissionAge", "SubmittedAt"),)

    vo: Mapped[str] = mapped_column("VO", String(32), primary_key=True)
    owner: Mapped[str] = mapped_column("Owner", Key, primary_key=True)
    key: Mapped[str] = mapped_column("IdempotencyKey", Key, primary_key=True)
    digest: Mapped[str] = mapped_column("Digest", String(64))
    answer: Mapped[bytes] = mapped_column("Answer", Blob)
    at: Mapped[datetime] = mapped_column("SubmittedAt", Timestamp)


class Parametric(Table):
    """A parametric job that a task expands: the first job of it, and how far the others have been made."""

    __tablename__ = "ParametricJobs"

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    total: Mapped[int] = mapped_column("Total", Integer)
    made: Mapped[int] = mapped_column("Made", Integer)
    group: Mapped[str] = mapped_column("OwnerGroup", String(128))


class Ended(Table):
    """The journal of ended jobs that their owner has not taken note of yet."""

    __tablename__ = "EndedJobs"
    __table_args__ = (Index("EndedOwner", "OwnerTask", "OwnerID", "JobID"),)

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    owner_task: Mapped[str] = mapped_column("OwnerTask", String(64))
    owner_id: Mapped[int] = mapped_column("OwnerID", Number)
    status: Mapped[str] = mapped_column("Status", String(32))
    reason: Mapped[str] = mapped_column("Reason", Text)
    # Whether trying again may help, as the tool's exit code says (`temporaryFailCodes`).
    is_temporary: Mapped[bool] = mapped_column("IsTemporary", default=False)


class Result(Table):
    """The outputs of a job that is Done."""

    __tablename__ = "JobOutputs"

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column("Attempt", Integer)
    outputs: Mapped[bytes] = mapped_column("Outputs", Blob)


class Cleaned(Table):
    """How far a VO's jobs of a status have been looked at, the oldest first, for what is done to old ones.

    What was left there belongs to somebody else; from time to time it is looked at again from the beginning.
    """

    __tablename__ = "JobCleaning"

    vo: Mapped[str] = mapped_column("VO", String(32), primary_key=True)
    deed: Mapped[str] = mapped_column("Deed", String(16), primary_key=True)
    status: Mapped[str] = mapped_column("Status", String(32), primary_key=True)
    # The LastUpdateTime and the number of the last job that was looked at.
    reached: Mapped[datetime] = mapped_column("ReachedTime", DateTime)
    number: Mapped[int] = mapped_column("ReachedNumber", Integer)
    begun_at: Mapped[datetime] = mapped_column("BegunAt", Timestamp)


class Parameter(Table):
    """A parameter of a job, as text; DiracX's table, used without OpenSearch."""

    __tablename__ = "JobParameters"
    __table_args__ = {"schema": JOBS}  # noqa: RUF012

    job_id: Mapped[int] = mapped_column(
        "JobID", Integer, ForeignKey(f"{JOBS}.Jobs.JobID", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column("Name", String(100), primary_key=True)
    value: Mapped[str] = mapped_column("Value", Text)


class ParameterNews(Table):
    """The newest value of a parameter that OpenSearch has not acknowledged; no name: the job is removed.

    A null DueAt means that OpenSearch refuses the value for good. The order of the columns is that in which
    MySQL assigns them in an upsert.
    """

    __tablename__ = "JobParameterJournal"
    __table_args__ = (Index("JobParameterJournalDue", "DueAt"),)

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column("Name", ExactName, primary_key=True)
    vo: Mapped[str] = mapped_column("VO", String(32))
    value: Mapped[str] = mapped_column("Value", LongText)
    # A new one with each value: what was written while an older value was being sent stays.
    token: Mapped[int] = mapped_column("Token", Number)
    written_at: Mapped[datetime] = mapped_column("WrittenAt", Timestamp)
    due_at: Mapped[datetime | None] = mapped_column("DueAt", Timestamp)
    reason: Mapped[str | None] = mapped_column("Reason", Text)
