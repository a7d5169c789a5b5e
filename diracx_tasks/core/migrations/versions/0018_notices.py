"""What users want to be told, what they are to be told, and the messages that it goes into."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def exact(title: str, length: int) -> sa.Column[str]:
    binary = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.Column(title, sa.String(length).with_variant(binary, "mysql", "mariadb"), nullable=False)


def text(title: str, length: int) -> sa.Column[str]:
    return sa.Column(title, sa.String(length), nullable=False)


def long(title: str) -> sa.Column[str]:
    return sa.Column(title, sa.Text(), nullable=False)


def time(title: str, *, nullable: bool = True) -> sa.Column[datetime]:
    return sa.Column(title, TIME, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "NoticeWishes",
        exact("VO", 32),
        exact("Owner", 64),
        sa.Column("Events", sa.JSON(), nullable=False),
        sa.Column("IntervalSeconds", sa.Integer(), nullable=False),
        exact("Mail", 254),
        exact("NewMail", 254),
        text("HashedCode", 64),
        time("CodeExpiresAt"),
        sa.Column("Guesses", sa.Integer(), nullable=False),
        sa.Column("CodesAsked", sa.Integer(), nullable=False),
        time("CodesSince"),
        long("Webhook"),
        long("SealedSecret"),
        sa.PrimaryKeyConstraint("VO", "Owner"),
    )
    op.create_table(
        "NoticeMessages",
        sa.Column("MessageID", NUMBER, autoincrement=True, nullable=False),
        exact("VO", 32),
        exact("Owner", 64),
        text("Channel", 16),
        text("Token", 32),
        text("State", 16),
        time("MadeAt", nullable=False),
        time("SendingUntil"),
        time("EndedAt"),
        long("Error"),
        sa.PrimaryKeyConstraint("MessageID"),
    )
    op.create_index("MessagesOfUser", "NoticeMessages", ["VO", "Owner", "Channel", "MessageID"])
    op.create_index("MessagesByState", "NoticeMessages", ["State", "EndedAt"])
    _notices()
    op.create_table(
        "WatchedGroups",
        exact("VO", 32),
        exact("Owner", 64),
        exact("JobGroup", 32),
        time("AskedAt", nullable=False),
        sa.PrimaryKeyConstraint("VO", "Owner", "JobGroup"),
    )


def _notices() -> None:
    op.create_table(
        "Notices",
        sa.Column("NoticeID", NUMBER, autoincrement=True, nullable=False),
        exact("VO", 32),
        exact("Owner", 64),
        text("Channel", 16),
        text("Event", 16),
        exact("Subject", 64),
        text("Name", 128),
        text("Status", 32),
        long("Reason"),
        time("HappenedAt", nullable=False),
        sa.Column("MessageID", NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("NoticeID"),
    )
    op.create_index("NoticesOfMessage", "Notices", ["MessageID", "VO", "Owner", "Channel"])
    op.create_index("NoticesOfSubject", "Notices", ["VO", "Owner", "Subject"])


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
