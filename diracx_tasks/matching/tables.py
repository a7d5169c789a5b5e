"""The matcher's truth: which jobs wait in which class. The queue in Redis is made from it."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Double, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table, Timestamp


class JobClass(Table):
    """Jobs with equal requirements; the class is the hash of what they require."""

    __tablename__ = "JobClasses"

    class_id: Mapped[str] = mapped_column("ClassID", String(32), primary_key=True)
    vo: Mapped[str] = mapped_column("VO", String(32))
    requirements: Mapped[dict[str, Any]] = mapped_column("Requirements", JSON)


class Queued(Table):
    """A job that waits for a pilot."""

    __tablename__ = "MatchQueue"
    __table_args__ = (Index("QueueOrder", "VO", "JobID"), Index("QueueClass", "ClassID", "Place"))

    job_id: Mapped[int] = mapped_column("JobID", Integer, primary_key=True, autoincrement=False)
    vo: Mapped[str] = mapped_column("VO", String(32))
    class_id: Mapped[str] = mapped_column("ClassID", String(32))
    # Lower is sooner: by priority, then by number.
    place: Mapped[float] = mapped_column("Place", Double)
    queued_at: Mapped[datetime] = mapped_column("QueuedAt", Timestamp)
