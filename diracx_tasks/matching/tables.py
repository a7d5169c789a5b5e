"""The matcher's truth: which jobs wait in which class. The queue in Redis is made from it."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Index, Integer, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table, Timestamp

# A name in them is what its bytes are: `Alice` is not `alice`, nor is `gpu ` with a blank `gpu`.
LongText = Text().with_variant(mysql.MEDIUMTEXT(collation="utf8mb4_bin"), "mysql", "mariadb")


class JobClass(Table):
    """Jobs that ask for the same and are of the same type, group, owner and priority."""

    __tablename__ = "JobClasses"
    # A number that Redis may still know must not be another class's; SQLite alone would use it again.
    __table_args__ = (Index("ClassesOfVO", "VO"), {"sqlite_autoincrement": True})

    class_no: Mapped[int] = mapped_column("ClassNo", Integer, primary_key=True, autoincrement=True)
    vo: Mapped[str] = mapped_column("VO", String(32))
    # Of all the columns that follow, and the VO.
    digest: Mapped[str] = mapped_column("Digest", String(64), unique=True)
    job_type: Mapped[str] = mapped_column("JobType", String(32))
    group: Mapped[str] = mapped_column("OwnerGroup", String(128))
    owner: Mapped[str] = mapped_column("Owner", String(64))
    priority: Mapped[int] = mapped_column("Priority", Integer)
    needs: Mapped[str] = mapped_column("Needs", LongText)
    used_at: Mapped[datetime] = mapped_column("UsedAt", Timestamp)


class Queued(Table):
    """A job that waits for a pilot."""

    __tablename__ = "MatchQueue"
    # With the primary key behind it, as InnoDB has it: a class's jobs in their order.
    __table_args__ = (Index("QueueOfClass", "ClassNo"),)

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    class_no: Mapped[int] = mapped_column("ClassNo", Integer)
    queued_at: Mapped[datetime] = mapped_column("QueuedAt", Timestamp)


class Use(Table):
    """Core seconds that ended attempts used, by the hour in which they ended."""

    __tablename__ = "MatchUse"

    vo: Mapped[str] = mapped_column("VO", String(32), primary_key=True)
    hour: Mapped[datetime] = mapped_column("Hour", DateTime, primary_key=True)
    group: Mapped[str] = mapped_column("OwnerGroup", String(128), primary_key=True)
    owner: Mapped[str] = mapped_column("Owner", String(64), primary_key=True)
    job_type: Mapped[str] = mapped_column("JobType", String(32), primary_key=True)
    seconds: Mapped[int] = mapped_column("Seconds", BigInteger)


class Cursor(Table):
    """How far a VO's ended attempts have been looked at."""

    __tablename__ = "MatchCursor"

    vo: Mapped[str] = mapped_column("VO", String(32), primary_key=True)
    ended_at: Mapped[datetime] = mapped_column("EndedAt", Timestamp)
    job_id: Mapped[int] = mapped_column("JobID", Integer)
    attempt: Mapped[int] = mapped_column("Attempt", Integer)
