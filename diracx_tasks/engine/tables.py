"""What the engine stores: work that must happen, what could not, what happened, and when things are due."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, Index, Integer, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table, Timestamp

LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
# SQLite numbers rows by itself only in a column of the plain type INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")
# Keys that differ in case or accents only are different keys.
Key = String(128).with_variant(mysql.VARCHAR(128, collation="utf8mb4_bin"), "mysql", "mariadb")


class Outbox(Table):
    """One task that must happen; the row goes when it has happened."""

    __tablename__ = "Outbox"
    __table_args__ = (Index("OutboxDue", "DueAt"), Index("OutboxTask", "Task", "CreatedAt"))

    key: Mapped[str] = mapped_column("TaskKey", Key, primary_key=True)
    task: Mapped[str] = mapped_column("Task", Key)
    arguments: Mapped[dict[str, Any]] = mapped_column("Arguments", JSON)
    # Of this row and no other under the same key: who has seen an earlier one changes nothing.
    token: Mapped[int] = mapped_column("Token", Number, server_default="0")
    # How often it was asked for: a task that sees the number grow while it ran runs again.
    asked: Mapped[int] = mapped_column("Asked", default=1)
    # How often it went to the broker; 0 while it waits here for its time.
    published: Mapped[int] = mapped_column("Published", default=0)
    published_at: Mapped[datetime | None] = mapped_column("PublishedAt", Timestamp)
    # How many tries have failed.
    tries: Mapped[int] = mapped_column("Tries", default=0, server_default="0")
    # How often it was put off because a lock or place was not free.
    waits: Mapped[int] = mapped_column("Waits", default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column("CreatedAt", Timestamp)
    due_at: Mapped[datetime] = mapped_column("DueAt", Timestamp)
    # When it was asked for with a delay, while it was under way: it comes again then.
    next_at: Mapped[datetime | None] = mapped_column("NextAt", Timestamp)
    enqueued_by: Mapped[str] = mapped_column("EnqueuedBy", Key, default="", server_default="")
    parent: Mapped[str | None] = mapped_column("Parent", Key)
    trace: Mapped[str | None] = mapped_column("Trace", String(64))


class DeadLetter(Table):
    """A task whose tries are used up."""

    __tablename__ = "DeadLetters"
    __table_args__ = (Index("DeadLettersByState", "State", "LetterID"), Index("DeadLettersByKey", "TaskKey"))

    letter_id: Mapped[int] = mapped_column("LetterID", Number, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column("TaskKey", Key)
    task: Mapped[str] = mapped_column("Task", Key)
    arguments: Mapped[dict[str, Any]] = mapped_column("Arguments", JSON)
    # Dead, then Retried or Dropped.
    state: Mapped[str] = mapped_column("State", String(16), default="Dead")
    tries: Mapped[int] = mapped_column("Tries")
    # [{"at", "try", "worker", "error"}, ...], the error with its traceback.
    errors: Mapped[list[dict[str, Any]]] = mapped_column("Errors", JSON)
    enqueued_by: Mapped[str] = mapped_column("EnqueuedBy", Key, default="")
    parent: Mapped[str | None] = mapped_column("Parent", Key)
    created_at: Mapped[datetime] = mapped_column("CreatedAt", Timestamp)
    died_at: Mapped[datetime] = mapped_column("DiedAt", Timestamp)
    resolved_at: Mapped[datetime | None] = mapped_column("ResolvedAt", Timestamp)
    resolved_by: Mapped[str | None] = mapped_column("ResolvedBy", Key)


class TaskRun(Table):
    """One try of a task that has ended."""

    __tablename__ = "TaskRuns"
    __table_args__ = (
        Index("TaskRunsByStart", "StartedAt"),
        Index("TaskRunsByKey", "TaskKey", "RunID"),
        Index("TaskRunsByTask", "Task", "RunID"),
        Index("TaskRunsBySubject", "Subject", "RunID"),
        Index("TaskRunsByParent", "Parent"),
    )

    run_id: Mapped[int] = mapped_column("RunID", Number, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column("TaskKey", Key)
    task: Mapped[str] = mapped_column("Task", Key)
    arguments: Mapped[dict[str, Any]] = mapped_column("Arguments", JSON)
    # Done, Failed (it is tried again) or Dead.
    outcome: Mapped[str] = mapped_column("Outcome", String(16))
    # What the task said, or its traceback.
    words: Mapped[str] = mapped_column("Words", LongText, default="")
    tries: Mapped[int] = mapped_column("Try", default=1)
    started_at: Mapped[datetime] = mapped_column("StartedAt", Timestamp)
    seconds: Mapped[float] = mapped_column("Seconds", Float)
    worker: Mapped[str] = mapped_column("Worker", Key, default="")
    subject: Mapped[str | None] = mapped_column("Subject", String(64))
    parent: Mapped[str | None] = mapped_column("Parent", Key)
    enqueued_by: Mapped[str] = mapped_column("EnqueuedBy", Key, default="")
    # How many runs the row stands for: of many small ones that went well, one in ten is kept.
    weight: Mapped[int] = mapped_column("Weight", default=1)


class Schedule(Table):
    """One entry of the schedule: a task that is due at times."""

    __tablename__ = "Schedules"
    __table_args__ = (Index("SchedulesDue", "State", "NextAt"),)

    name: Mapped[str] = mapped_column("Name", Key, primary_key=True)
    task: Mapped[str] = mapped_column("Task", Key)
    arguments: Mapped[dict[str, Any]] = mapped_column("Arguments", JSON)
    # {"every": seconds}, {"cron": text} or {"rrule": text}, and who says so: code, configuration, operator.
    timing: Mapped[dict[str, Any]] = mapped_column("Timing", JSON)
    origin: Mapped[str] = mapped_column("Origin", String(16))
    # What an operator has set; it goes over code and configuration.
    own_timing: Mapped[dict[str, Any] | None] = mapped_column("OwnTiming", JSON(none_as_null=True))
    # On, Paused, or DryRun: then what would be enqueued is noted only.
    state: Mapped[str] = mapped_column("State", String(16), default="On")
    next_at: Mapped[datetime] = mapped_column("NextAt", Timestamp)
    last_due_at: Mapped[datetime | None] = mapped_column("LastDueAt", Timestamp)
    last_started_at: Mapped[datetime | None] = mapped_column("LastStartedAt", Timestamp)
    last_seconds: Mapped[float | None] = mapped_column("LastSeconds", Float)
    last_outcome: Mapped[str | None] = mapped_column("LastOutcome", String(16))
    last_words: Mapped[str | None] = mapped_column("LastWords", Text)


class Leader(Table):
    """Who does what only one should do at a time."""

    __tablename__ = "Leaders"

    role: Mapped[str] = mapped_column("Role", String(32), primary_key=True)
    holder: Mapped[str] = mapped_column("Holder", Key)
    since: Mapped[datetime] = mapped_column("Since", Timestamp)
    until: Mapped[datetime] = mapped_column("Until", Timestamp)


class FanOut(Table):
    """Many runs of one task, and what happens when all have ended."""

    __tablename__ = "FanOuts"

    fan_id: Mapped[int] = mapped_column("FanID", Number, primary_key=True, autoincrement=True)
    task: Mapped[str] = mapped_column("Task", Key)
    total: Mapped[int] = mapped_column("Total", default=0)
    pending: Mapped[int] = mapped_column("Pending", default=0)
    failed: Mapped[int] = mapped_column("Failed", default=0)
    then_task: Mapped[str | None] = mapped_column("ThenTask", Key)
    then_key: Mapped[str | None] = mapped_column("ThenKey", Key)
    then_arguments: Mapped[dict[str, Any]] = mapped_column("ThenArguments", JSON)
    created_at: Mapped[datetime] = mapped_column("CreatedAt", Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column("EndedAt", Timestamp)
    enqueued_by: Mapped[str] = mapped_column("EnqueuedBy", Key, default="")


class Child(Table):
    """One run of a fan-out."""

    __tablename__ = "FanChildren"

    fan_id: Mapped[int] = mapped_column("FanID", Number, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column("Number", Integer, primary_key=True, autoincrement=False)
    arguments: Mapped[dict[str, Any]] = mapped_column("Arguments", JSON)
    # Waiting, Done or Failed.
    state: Mapped[str] = mapped_column("State", String(16), default="Waiting")
    tries: Mapped[int] = mapped_column("Tries", default=0)
    due_at: Mapped[datetime | None] = mapped_column("DueAt", Timestamp)
    words: Mapped[str | None] = mapped_column("Words", Text)


class Call(Table):
    """One call that waits to be taken together with others by a task that works in batches."""

    __tablename__ = "BatchCalls"
    __table_args__ = (Index("BatchCallsDue", "Task", "DueAt", "CallID"),)

    call_id: Mapped[int] = mapped_column("CallID", Number, primary_key=True, autoincrement=True)
    task: Mapped[str] = mapped_column("Task", Key)
    arguments: Mapped[dict[str, Any]] = mapped_column("Arguments", JSON)
    tries: Mapped[int] = mapped_column("Tries", default=0)
    due_at: Mapped[datetime] = mapped_column("DueAt", Timestamp)
    created_at: Mapped[datetime] = mapped_column("CreatedAt", Timestamp)
    enqueued_by: Mapped[str] = mapped_column("EnqueuedBy", Key, default="")


class Repair(Table):
    """How often something was found that should never be."""

    __tablename__ = "Repairs"

    invariant: Mapped[str] = mapped_column("Invariant", Key, primary_key=True)
    total: Mapped[int] = mapped_column("Total", Number)
    # What happened before has been looked at; null where all that there is is looked at each time.
    looked_until: Mapped[datetime | None] = mapped_column("LookedUntil", Timestamp)
