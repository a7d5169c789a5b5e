"""What is stored for accounting: how many jobs were in which state, and what attempts used."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Double, Index, Integer, String
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from diracx_tasks.core.database import Table, Timestamp


def _name(length: int) -> TypeEngine[str]:
    """A text of which capitals and accents count: a key."""
    exact = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")


class StateBucket(Table):
    """One snapshot of the states of all jobs; there is one a bucket of 300 s, named by its start."""

    __tablename__ = "StateBuckets"

    at: Mapped[datetime] = mapped_column("Bucket", DateTime, primary_key=True)
    taken_at: Mapped[datetime] = mapped_column("TakenAt", Timestamp)
    # How many rows it has; they are numbered from 0 on.
    kinds: Mapped[int] = mapped_column("Kinds", Integer)
    # When OpenSearch had all of it.
    sent_at: Mapped[datetime | None] = mapped_column("SentAt", Timestamp)


class StateCount(Table):
    """So many jobs were alike in a snapshot; of jobs that had ended, those since the snapshot before."""

    __tablename__ = "StateCounts"

    at: Mapped[datetime] = mapped_column("Bucket", DateTime, primary_key=True)
    number: Mapped[int] = mapped_column("Number", Integer, primary_key=True, autoincrement=False)
    vo: Mapped[str] = mapped_column("VO", _name(32))
    site: Mapped[str] = mapped_column("Site", _name(100))
    owner: Mapped[str] = mapped_column("Owner", _name(64))
    group: Mapped[str] = mapped_column("OwnerGroup", _name(128))
    job_type: Mapped[str] = mapped_column("JobType", _name(32))
    status: Mapped[str] = mapped_column("Status", _name(32))
    minor_status: Mapped[str] = mapped_column("MinorStatus", _name(128))
    jobs: Mapped[int] = mapped_column("Jobs", Integer)
    reschedules: Mapped[int] = mapped_column("Reschedules", Integer)


class UsageRecord(Table):
    """What one attempt used, written once, when it is counted; it outlives the job.

    Of an attempt whose pilot has told nothing `Measured` is 0, and only its wall time is known.
    """

    __tablename__ = "UsageRecords"
    __table_args__ = (
        Index("UsageRecordsByHour", "Hour", "VO"),
        Index("UsageRecordsOfWorkflow", "WorkflowID", "Hour"),
    )

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column("Attempt", Integer, primary_key=True, autoincrement=False)
    # In which it ended.
    hour: Mapped[datetime] = mapped_column("Hour", DateTime)
    ended_at: Mapped[datetime] = mapped_column("EndedAt", Timestamp)
    vo: Mapped[str] = mapped_column("VO", _name(32))
    site: Mapped[str] = mapped_column("Site", _name(100))
    ce: Mapped[str] = mapped_column("CE", _name(128))
    owner: Mapped[str] = mapped_column("Owner", _name(64))
    group: Mapped[str] = mapped_column("OwnerGroup", _name(128))
    job_type: Mapped[str] = mapped_column("JobType", _name(32))
    status: Mapped[str] = mapped_column("Status", _name(32))
    # 0 of a job that is no workflow's.
    workflow_id: Mapped[int] = mapped_column("WorkflowID", BigInteger)
    measured: Mapped[int] = mapped_column("Measured", Integer)
    cpu_seconds: Mapped[float] = mapped_column("CPUSeconds", Double)
    wall_seconds: Mapped[float] = mapped_column("WallSeconds", Double)
    core_seconds: Mapped[float] = mapped_column("CoreSeconds", Double)
    measured_core_seconds: Mapped[float] = mapped_column("MeasuredCoreSeconds", Double)
    memory_mb: Mapped[float] = mapped_column("MemoryMB", Double)
    disk_mb: Mapped[float] = mapped_column("DiskMB", Double)


class UsageHour(Table):
    """What all attempts of a kind used that ended within an hour: sums, memory and disk as well."""

    __tablename__ = "UsageHours"

    hour: Mapped[datetime] = mapped_column("Hour", DateTime, primary_key=True)
    vo: Mapped[str] = mapped_column("VO", _name(32), primary_key=True)
    site: Mapped[str] = mapped_column("Site", _name(100), primary_key=True)
    owner: Mapped[str] = mapped_column("Owner", _name(64), primary_key=True)
    group: Mapped[str] = mapped_column("OwnerGroup", _name(128), primary_key=True)
    job_type: Mapped[str] = mapped_column("JobType", _name(32), primary_key=True)
    status: Mapped[str] = mapped_column("Status", _name(32), primary_key=True)
    attempts: Mapped[int] = mapped_column("Attempts", BigInteger)
    measured: Mapped[int] = mapped_column("Measured", BigInteger)
    cpu_seconds: Mapped[float] = mapped_column("CPUSeconds", Double)
    wall_seconds: Mapped[float] = mapped_column("WallSeconds", Double)
    core_seconds: Mapped[float] = mapped_column("CoreSeconds", Double)
    measured_core_seconds: Mapped[float] = mapped_column("MeasuredCoreSeconds", Double)
    memory_mb: Mapped[float] = mapped_column("MemoryMB", Double)
    disk_mb: Mapped[float] = mapped_column("DiskMB", Double)
