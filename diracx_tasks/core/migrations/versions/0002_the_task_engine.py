"""The task engine: dead letters, history, schedules, fan-outs and batches.

Before the first release: servers are stopped for it, since it drops columns of the outbox.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.String(128).with_variant(mysql.VARCHAR(128, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    _dead_letters()
    _outbox()
    _history()
    _schedules()
    _fan_outs()
    op.create_table(
        "BatchCalls",
        sa.Column("CallID", NUMBER, autoincrement=True, nullable=False),
        sa.Column("Task", KEY, nullable=False),
        sa.Column("Arguments", sa.JSON(), nullable=False),
        sa.Column("Tries", sa.Integer(), nullable=False),
        sa.Column("DueAt", TIMESTAMP, nullable=False),
        sa.Column("CreatedAt", TIMESTAMP, nullable=False),
        sa.Column("EnqueuedBy", KEY, nullable=False),
        sa.PrimaryKeyConstraint("CallID"),
    )
    op.create_index("BatchCallsDue", "BatchCalls", ["Task", "DueAt", "CallID"])


def downgrade() -> None:
    raise NotImplementedError("dead letters and what waits would be lost")


def _dead_letters() -> None:
    op.create_table(
        "DeadLetters",
        sa.Column("LetterID", NUMBER, autoincrement=True, nullable=False),
        sa.Column("TaskKey", KEY, nullable=False),
        sa.Column("Task", KEY, nullable=False),
        sa.Column("Arguments", sa.JSON(), nullable=False),
        sa.Column("State", sa.String(16), nullable=False),
        sa.Column("Tries", sa.Integer(), nullable=False),
        sa.Column("Errors", sa.JSON(), nullable=False),
        sa.Column("EnqueuedBy", KEY, nullable=False),
        sa.Column("Parent", KEY, nullable=True),
        sa.Column("CreatedAt", TIMESTAMP, nullable=False),
        sa.Column("DiedAt", TIMESTAMP, nullable=False),
        sa.Column("ResolvedAt", TIMESTAMP, nullable=True),
        sa.Column("ResolvedBy", KEY, nullable=True),
        sa.PrimaryKeyConstraint("LetterID"),
    )
    op.create_index("DeadLettersByState", "DeadLetters", ["State", "LetterID"])
    op.create_index("DeadLettersByKey", "DeadLetters", ["TaskKey"])


def _outbox() -> None:
    """Dead rows move to the dead letters; their one error becomes the list of errors."""
    op.execute(
        sa.text(
            "INSERT INTO DeadLetters"
            " (TaskKey, Task, Arguments, State, Tries, Errors, EnqueuedBy, CreatedAt, DiedAt)"
            " SELECT TaskKey, Task, Arguments, 'Dead', Published,"
            " JSON_ARRAY(JSON_OBJECT('try', Published, 'error', COALESCE(Error, ''))), '', CreatedAt, DueAt"
            " FROM Outbox WHERE IsDead"
        )
    )
    op.execute(sa.text("DELETE FROM Outbox WHERE IsDead"))
    op.drop_index("OutboxDue", "Outbox")
    with op.batch_alter_table("Outbox") as outbox:
        outbox.drop_column("IsDead")
        outbox.drop_column("Error")
        outbox.alter_column("TaskKey", type_=KEY, existing_nullable=False)
        outbox.alter_column("Task", type_=KEY, existing_nullable=False)
        outbox.add_column(sa.Column("Token", NUMBER, server_default="0", nullable=False))
        outbox.add_column(sa.Column("NextAt", TIMESTAMP, nullable=True))
        outbox.add_column(sa.Column("PublishedAt", TIMESTAMP, nullable=True))
        outbox.add_column(sa.Column("Tries", sa.Integer(), server_default="0", nullable=False))
        outbox.add_column(sa.Column("Waits", sa.Integer(), server_default="0", nullable=False))
        outbox.add_column(sa.Column("EnqueuedBy", KEY, server_default="", nullable=False))
        outbox.add_column(sa.Column("Parent", KEY, nullable=True))
        outbox.add_column(sa.Column("Trace", sa.String(64), nullable=True))
    op.create_index("OutboxDue", "Outbox", ["DueAt"])
    op.create_index("OutboxTask", "Outbox", ["Task", "CreatedAt"])


def _history() -> None:
    op.create_table(
        "TaskRuns",
        sa.Column("RunID", NUMBER, autoincrement=True, nullable=False),
        sa.Column("TaskKey", KEY, nullable=False),
        sa.Column("Task", KEY, nullable=False),
        sa.Column("Arguments", sa.JSON(), nullable=False),
        sa.Column("Outcome", sa.String(16), nullable=False),
        sa.Column("Words", LONG_TEXT, nullable=False),
        sa.Column("Try", sa.Integer(), nullable=False),
        sa.Column("StartedAt", TIMESTAMP, nullable=False),
        sa.Column("Seconds", sa.Float(), nullable=False),
        sa.Column("Worker", KEY, nullable=False),
        sa.Column("Subject", sa.String(64), nullable=True),
        sa.Column("Parent", KEY, nullable=True),
        sa.Column("EnqueuedBy", KEY, nullable=False),
        sa.Column("Weight", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("RunID"),
    )
    op.create_index("TaskRunsByStart", "TaskRuns", ["StartedAt"])
    op.create_index("TaskRunsByKey", "TaskRuns", ["TaskKey", "RunID"])
    op.create_index("TaskRunsByTask", "TaskRuns", ["Task", "RunID"])
    op.create_index("TaskRunsBySubject", "TaskRuns", ["Subject", "RunID"])
    op.create_index("TaskRunsByParent", "TaskRuns", ["Parent"])


def _schedules() -> None:
    op.drop_table("PeriodicRuns")
    op.create_table(
        "Schedules",
        sa.Column("Name", KEY, nullable=False),
        sa.Column("Task", KEY, nullable=False),
        sa.Column("Arguments", sa.JSON(), nullable=False),
        sa.Column("Timing", sa.JSON(), nullable=False),
        sa.Column("Origin", sa.String(16), nullable=False),
        sa.Column("OwnTiming", sa.JSON(), nullable=True),
        sa.Column("State", sa.String(16), nullable=False),
        sa.Column("NextAt", TIMESTAMP, nullable=False),
        sa.Column("LastDueAt", TIMESTAMP, nullable=True),
        sa.Column("LastStartedAt", TIMESTAMP, nullable=True),
        sa.Column("LastSeconds", sa.Float(), nullable=True),
        sa.Column("LastOutcome", sa.String(16), nullable=True),
        sa.Column("LastWords", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("Name"),
    )
    op.create_index("SchedulesDue", "Schedules", ["State", "NextAt"])
    op.create_table(
        "Leaders",
        sa.Column("Role", sa.String(32), nullable=False),
        sa.Column("Holder", KEY, nullable=False),
        sa.Column("Since", TIMESTAMP, nullable=False),
        sa.Column("Until", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("Role"),
    )


def _fan_outs() -> None:
    op.create_table(
        "FanOuts",
        sa.Column("FanID", NUMBER, autoincrement=True, nullable=False),
        sa.Column("Task", KEY, nullable=False),
        sa.Column("Total", sa.Integer(), nullable=False),
        sa.Column("Pending", sa.Integer(), nullable=False),
        sa.Column("Failed", sa.Integer(), nullable=False),
        sa.Column("ThenTask", KEY, nullable=True),
        sa.Column("ThenKey", KEY, nullable=True),
        sa.Column("ThenArguments", sa.JSON(), nullable=False),
        sa.Column("CreatedAt", TIMESTAMP, nullable=False),
        sa.Column("EndedAt", TIMESTAMP, nullable=True),
        sa.Column("EnqueuedBy", KEY, nullable=False),
        sa.PrimaryKeyConstraint("FanID"),
    )
    op.create_table(
        "FanChildren",
        sa.Column("FanID", NUMBER, nullable=False),
        sa.Column("Number", sa.Integer(), nullable=False),
        sa.Column("Arguments", sa.JSON(), nullable=False),
        sa.Column("State", sa.String(16), nullable=False),
        sa.Column("Tries", sa.Integer(), nullable=False),
        sa.Column("DueAt", TIMESTAMP, nullable=True),
        sa.Column("Words", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("FanID", "Number"),
    )
