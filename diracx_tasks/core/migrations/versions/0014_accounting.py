"""Snapshots of the states of jobs, and what attempts used: each by itself, and summed up by the hour."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def name(title: str, length: int) -> sa.Column[str]:
    exact = mysql.VARCHAR(length, collation="utf8mb4_bin")
    kind: TypeEngine[str] = sa.String(length).with_variant(exact, "mysql", "mariadb")
    return sa.Column(title, kind, nullable=False)


def number(title: str, kind: type[TypeEngine[int]] = sa.Integer) -> sa.Column[int]:
    return sa.Column(title, kind(), autoincrement=False, nullable=False)


def who() -> list[sa.Column[str]]:
    return [
        name("Owner", 64),
        name("OwnerGroup", 128),
        name("JobType", 32),
        name("Status", 32),
    ]


def used() -> list[sa.Column[float]]:
    titles = ("CPUSeconds", "WallSeconds", "CoreSeconds", "MeasuredCoreSeconds", "MemoryMB", "DiskMB")
    return [sa.Column(title, sa.Double(), nullable=False) for title in titles]


def upgrade() -> None:
    op.create_table(
        "AttemptsToCount",
        number("JobID"),
        number("Attempt"),
        sa.PrimaryKeyConstraint("JobID", "Attempt"),
    )
    # What ended before this version is counted as well.
    op.execute(
        "INSERT INTO AttemptsToCount (JobID, Attempt) "
        "SELECT JobID, Attempt FROM JobAttempts WHERE EndedAt IS NOT NULL"
    )
    _snapshots()
    op.create_table(
        "UsageRecords",
        number("JobID"),
        number("Attempt"),
        sa.Column("Hour", sa.DateTime(), nullable=False),
        sa.Column("EndedAt", TIME, nullable=False),
        name("VO", 32),
        name("Site", 100),
        name("CE", 128),
        *who(),
        number("WorkflowID", sa.BigInteger),
        number("Measured"),
        *used(),
        sa.PrimaryKeyConstraint("JobID", "Attempt"),
    )
    op.create_index("UsageRecordsByHour", "UsageRecords", ["Hour", "VO"])
    op.create_index("UsageRecordsOfWorkflow", "UsageRecords", ["WorkflowID", "Hour"])
    op.create_table(
        "UsageHours",
        sa.Column("Hour", sa.DateTime(), nullable=False),
        name("VO", 32),
        name("Site", 100),
        *who(),
        number("Attempts", sa.BigInteger),
        number("Measured", sa.BigInteger),
        *used(),
        sa.PrimaryKeyConstraint("Hour", "VO", "Site", "Owner", "OwnerGroup", "JobType", "Status"),
    )


def _snapshots() -> None:
    op.create_table(
        "StateBuckets",
        sa.Column("Bucket", sa.DateTime(), nullable=False),
        sa.Column("TakenAt", TIME, nullable=False),
        number("Kinds"),
        sa.Column("SentAt", TIME, nullable=True),
        sa.PrimaryKeyConstraint("Bucket"),
    )
    op.create_table(
        "StateCounts",
        sa.Column("Bucket", sa.DateTime(), nullable=False),
        number("Number"),
        name("VO", 32),
        name("Site", 100),
        *who(),
        name("MinorStatus", 128),
        number("Jobs"),
        number("Reschedules"),
        sa.PrimaryKeyConstraint("Bucket", "Number"),
    )


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
