"""What the engine stores: work that must happen, and when periodic tasks ran."""

from datetime import datetime

from sqlalchemy import JSON, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table, Timestamp


class Outbox(Table):
    """One task that must happen; the row goes when it has happened."""

    __tablename__ = "Outbox"
    __table_args__ = (Index("OutboxDue", "IsDead", "DueAt"),)

    key: Mapped[str] = mapped_column("TaskKey", String(128), primary_key=True)
    task: Mapped[str] = mapped_column("Task", String(128))
    arguments: Mapped[dict[str, object]] = mapped_column("Arguments", JSON)
    # How often it was asked for: a task that sees the number grow while it ran runs again.
    asked: Mapped[int] = mapped_column("Asked", default=1)
    published: Mapped[int] = mapped_column("Published", default=0)
    created_at: Mapped[datetime] = mapped_column("CreatedAt", Timestamp)
    due_at: Mapped[datetime] = mapped_column("DueAt", Timestamp)
    is_dead: Mapped[bool] = mapped_column("IsDead", default=False)
    error: Mapped[str | None] = mapped_column("Error", Text)


class PeriodicRun(Table):
    """The last run of a periodic task."""

    __tablename__ = "PeriodicRuns"

    task: Mapped[str] = mapped_column("Task", String(128), primary_key=True)
    started_at: Mapped[datetime] = mapped_column("StartedAt", Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column("EndedAt", Timestamp)
    outcome: Mapped[str | None] = mapped_column("Outcome", Text)
