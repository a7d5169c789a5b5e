"""What is stored of actions on many jobs."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table, Timestamp

# SQLite numbers rows by itself only in a column of the plain type INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")


class BulkAction(Table):
    """What somebody wants done to all jobs that a search finds, and how far that has come.

    Jobs with numbers above `last` were submitted later and are not meant.
    """

    __tablename__ = "BulkActions"
    __table_args__ = (Index("BulkActionsEnded", "EndedAt"),)

    bulk_id: Mapped[int] = mapped_column("BulkID", Number, primary_key=True, autoincrement=True)
    vo: Mapped[str] = mapped_column("VO", String(32))
    owner: Mapped[str] = mapped_column("Owner", String(64))
    # He administrated the VO when he asked: also others' jobs are meant.
    is_admin: Mapped[bool] = mapped_column("IsAdministrator")
    action: Mapped[str] = mapped_column("Action", String(16))
    search: Mapped[list[dict[str, Any]]] = mapped_column("Search", JSON)
    found: Mapped[int] = mapped_column("Found", Integer)
    last: Mapped[int] = mapped_column("LastJobID", Integer)
    reached: Mapped[int] = mapped_column("ReachedJobID", Integer)
    # How many became what; and for each reason how many stay as they are, with the first of them.
    changed: Mapped[dict[str, int]] = mapped_column("Changed", JSON)
    kept: Mapped[dict[str, Any]] = mapped_column("Kept", JSON)
    asked_at: Mapped[datetime] = mapped_column("AskedAt", Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column("EndedAt", Timestamp)
