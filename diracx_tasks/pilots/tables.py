"""DIRAC's PilotAgentsDB: the pilots that were started, which jobs they had, and what they wrote."""

from datetime import datetime

from sqlalchemy import DateTime, Double, Enum, Index, Integer, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table, Timestamp

SCHEMA = "PilotAgentsDB"
# A name in them is what its bytes are.
Place = String(128).with_variant(mysql.VARCHAR(128, collation="utf8mb4_bin"), "mysql", "mariadb")
Output = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


class Pilot(Table):
    """One pilot, known by its stamp."""

    __tablename__ = "PilotAgents"
    # SQLite has one namespace of indexes for all tables: DIRAC's names (Status, ...) would not do.
    __table_args__ = (
        Index("PilotStamp", "PilotStamp"),
        Index("PilotStatus", "Status", "LastUpdateTime"),
        Index("PilotReference", "PilotJobReference"),
        Index("PilotPlace", "GridSite", "DestinationSite", "Status"),
        Index("PilotQueue", "DestinationSite", "Queue", "Status"),
        Index("PilotVO", "VO", "Status"),
        {"schema": SCHEMA},
    )

    pilot_id: Mapped[int] = mapped_column("PilotID", Integer, primary_key=True, autoincrement=True)
    initial_job: Mapped[int] = mapped_column("InitialJobID", Integer, default=0)
    current_job: Mapped[int] = mapped_column("CurrentJobID", Integer, default=0)
    reference: Mapped[str] = mapped_column("PilotJobReference", String(255), default="Unknown")
    stamp: Mapped[str] = mapped_column("PilotStamp", String(32), default="")
    destination: Mapped[str] = mapped_column("DestinationSite", String(128), default="NotAssigned")
    queue: Mapped[str] = mapped_column("Queue", String(128), default="Unknown")
    site: Mapped[str] = mapped_column("GridSite", String(128), default="Unknown")
    vo: Mapped[str] = mapped_column("VO", String(128))
    grid_type: Mapped[str] = mapped_column("GridType", String(32), default="LCG")
    benchmark: Mapped[float] = mapped_column("BenchMark", Double, default=0.0)
    submitted_at: Mapped[datetime | None] = mapped_column("SubmissionTime", DateTime)
    updated_at: Mapped[datetime | None] = mapped_column("LastUpdateTime", DateTime)
    status: Mapped[str] = mapped_column("Status", String(32), default="Unknown")
    reason: Mapped[str] = mapped_column("StatusReason", String(255), default="Unknown")
    accounted: Mapped[str] = mapped_column(
        "AccountingSent", Enum("True", "False", name="pilot_accounted"), default="False"
    )


class PilotJob(Table):
    """A job that a pilot got. DIRAC's own table has no key: a row may be there twice."""

    __tablename__ = "JobToPilotMapping"
    __table_args__ = (Index("PilotsOfJob", "JobID"), {"schema": SCHEMA})

    pilot_id: Mapped[int] = mapped_column("PilotID", Integer, primary_key=True, autoincrement=False)
    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    started_at: Mapped[datetime] = mapped_column("StartTime", DateTime)


class PilotOutput(Table):
    """What a pilot wrote, as its computing element gave it."""

    __tablename__ = "PilotOutput"
    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012

    pilot_id: Mapped[int] = mapped_column("PilotID", Integer, primary_key=True, autoincrement=False)
    output: Mapped[str] = mapped_column("StdOutput", Output)
    errors: Mapped[str] = mapped_column("StdError", Output)


class StampLock(Table):
    """Whoever adds a stamp holds the row of its kind: DIRAC's table has no key that keeps stamps unique."""

    __tablename__ = "PilotStampLocks"

    number: Mapped[int] = mapped_column("Number", Integer, primary_key=True, autoincrement=False)


class Submission(Table):
    """How a pilot of ours got to its queue. It is claimed by who is about to submit it, once."""

    __tablename__ = "PilotSubmissions"
    __table_args__ = (
        Index("SubmissionsStarted", "VO", "StartedAt"),
        Index("SubmissionsOfElement", "VO", "CE", "ClaimedAt"),
        Index("SubmissionsToKill", "VO", "ToKill", "CE"),
    )

    stamp: Mapped[str] = mapped_column("PilotStamp", String(32), primary_key=True)
    vo: Mapped[str] = mapped_column("VO", Place)
    ce: Mapped[str] = mapped_column("CE", Place)
    queue: Mapped[str] = mapped_column("Queue", Place)
    planned_at: Mapped[datetime] = mapped_column("PlannedAt", Timestamp)
    claim: Mapped[str | None] = mapped_column("Claim", String(32))
    claimed_at: Mapped[datetime | None] = mapped_column("ClaimedAt", Timestamp)
    # It was withdrawn, and the batch system is still to be told so.
    to_kill: Mapped[int] = mapped_column("ToKill", Integer, default=0)
    # Noted within a minute of it.
    started_at: Mapped[datetime | None] = mapped_column("StartedAt", Timestamp)


class QueueState(Table):
    """What a queue did with pilots and tests of a VO: how its circuit breaker stands, how its test went."""

    __tablename__ = "PilotQueues"

    vo: Mapped[str] = mapped_column("VO", Place, primary_key=True)
    ce: Mapped[str] = mapped_column("CE", Place, primary_key=True)
    queue: Mapped[str] = mapped_column("Queue", Place, primary_key=True)
    failures: Mapped[int] = mapped_column("Failures", Integer, default=0)
    # None: the breaker is closed. In the past: one pilot may try.
    open_until: Mapped[datetime | None] = mapped_column("OpenUntil", Timestamp)
    backoff: Mapped[float] = mapped_column("BackoffSeconds", Double, default=0.0)
    reason: Mapped[str] = mapped_column("Reason", String(255), default="")
    changed_at: Mapped[datetime] = mapped_column("ChangedAt", Timestamp)
    test_job: Mapped[int | None] = mapped_column("TestJobID", Integer)
    test_asked_at: Mapped[datetime | None] = mapped_column("TestAskedAt", Timestamp)
    test_ended_at: Mapped[datetime | None] = mapped_column("TestEndedAt", Timestamp)
    test_status: Mapped[str] = mapped_column("TestStatus", String(16), default="")
    test_reason: Mapped[str] = mapped_column("TestReason", String(255), default="")


class Planning(Table):
    """Whoever plans a VO's pilots holds its row: what another has just planned is counted then."""

    __tablename__ = "PilotPlans"

    vo: Mapped[str] = mapped_column("VO", Place, primary_key=True)
    planned_at: Mapped[datetime] = mapped_column("PlannedAt", Timestamp)


class PilotSecret(Table):
    """The hash of what a pilot begins with: until `expires_at`, or `used_by` the hash of somebody's nonce.

    When it is used `expires_at` becomes the time until which the pilot may run.
    """

    __tablename__ = "PilotSecrets"
    __table_args__ = (Index("SecretsExpiry", "ExpiresAt"),)

    stamp: Mapped[str] = mapped_column("PilotStamp", String(32), primary_key=True)
    hashed: Mapped[str] = mapped_column("HashedSecret", String(64))
    expires_at: Mapped[datetime] = mapped_column("ExpiresAt", Timestamp)
    life_seconds: Mapped[float] = mapped_column("LifeSeconds", Double)
    used_at: Mapped[datetime | None] = mapped_column("UsedAt", Timestamp)
    used_by: Mapped[str | None] = mapped_column("UsedBy", String(64))
