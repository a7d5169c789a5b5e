"""Pilots are planned before they are submitted; what queues do with pilots and tests is remembered."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
PLACE = sa.String(128).with_variant(mysql.VARCHAR(128, collation="utf8mb4_bin"), "mysql", "mariadb")


def place(title: str) -> sa.Column[str]:
    return sa.Column(title, PLACE, nullable=False)


def time(title: str, *, nullable: bool = True) -> sa.Column[datetime]:
    return sa.Column(title, TIME, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "PilotSubmissions",
        sa.Column("PilotStamp", sa.String(32), nullable=False),
        place("VO"),
        place("CE"),
        place("Queue"),
        time("PlannedAt", nullable=False),
        sa.Column("Claim", sa.String(32), nullable=True),
        time("ClaimedAt"),
        sa.Column("ToKill", sa.Integer(), nullable=False),
        time("StartedAt"),
        sa.PrimaryKeyConstraint("PilotStamp"),
    )
    op.create_index("SubmissionsStarted", "PilotSubmissions", ["VO", "StartedAt"])
    op.create_index("SubmissionsOfElement", "PilotSubmissions", ["VO", "CE", "ClaimedAt"])
    op.create_index("SubmissionsToKill", "PilotSubmissions", ["VO", "ToKill", "CE"])
    op.create_table(
        "PilotQueues",
        place("VO"),
        place("CE"),
        place("Queue"),
        sa.Column("Failures", sa.Integer(), nullable=False),
        time("OpenUntil"),
        sa.Column("BackoffSeconds", sa.Double(), nullable=False),
        sa.Column("Reason", sa.String(255), nullable=False),
        time("ChangedAt", nullable=False),
        sa.Column("TestJobID", sa.Integer(), nullable=True),
        time("TestAskedAt"),
        time("TestEndedAt"),
        sa.Column("TestStatus", sa.String(16), nullable=False),
        sa.Column("TestReason", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("VO", "CE", "Queue"),
    )
    op.create_table(
        "PilotPlans",
        place("VO"),
        time("PlannedAt", nullable=False),
        sa.PrimaryKeyConstraint("VO"),
    )


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
