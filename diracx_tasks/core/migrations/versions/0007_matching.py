"""Classes of jobs by number, what the matcher knows of use, and where an attempt runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    # What waits is put into the new queue by `jobs.requeue`: the classes are others now.
    op.drop_table("MatchQueue")
    op.drop_table("JobClasses")
    op.create_table(
        "JobClasses",
        sa.Column("ClassNo", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("VO", sa.String(32), nullable=False),
        sa.Column("Digest", sa.String(64), nullable=False),
        sa.Column("JobType", sa.String(32), nullable=False),
        sa.Column("OwnerGroup", sa.String(128), nullable=False),
        sa.Column("Owner", sa.String(64), nullable=False),
        sa.Column("Priority", sa.Integer(), nullable=False),
        sa.Column("Needs", LONG_TEXT, nullable=False),
        sa.Column("UsedAt", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("ClassNo"),
        sa.UniqueConstraint("Digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ClassesOfVO", "JobClasses", ["VO"])
    op.create_table(
        "MatchQueue",
        sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ClassNo", sa.Integer(), nullable=False),
        sa.Column("QueuedAt", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("JobID"),
    )
    op.create_index("QueueOfClass", "MatchQueue", ["ClassNo"])
    _use()
    with op.batch_alter_table("JobAttempts") as table:
        table.add_column(sa.Column("Node", sa.String(255), nullable=False, server_default=""))
        table.add_column(sa.Column("CE", sa.String(128), nullable=False, server_default=""))
        table.create_index("AttemptsEnded", ["EndedAt"])


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")


def _use() -> None:
    op.create_table(
        "MatchUse",
        sa.Column("VO", sa.String(32), nullable=False),
        sa.Column("Hour", sa.DateTime(), nullable=False),
        sa.Column("OwnerGroup", sa.String(128), nullable=False),
        sa.Column("Owner", sa.String(64), nullable=False),
        sa.Column("JobType", sa.String(32), nullable=False),
        sa.Column("Seconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("VO", "Hour", "OwnerGroup", "Owner", "JobType"),
    )
    op.create_table(
        "MatchCursor",
        sa.Column("VO", sa.String(32), nullable=False),
        sa.Column("EndedAt", TIMESTAMP, nullable=False),
        sa.Column("JobID", sa.Integer(), nullable=False),
        sa.Column("Attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("VO"),
    )
