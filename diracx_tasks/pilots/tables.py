"""DIRAC's PilotAgentsDB: the pilots that were started."""

from datetime import datetime

from sqlalchemy import DateTime, Double, Enum, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table

SCHEMA = "PilotAgentsDB"


class Pilot(Table):
    """One pilot, known by its stamp."""

    __tablename__ = "PilotAgents"
    __table_args__ = (
        Index("PilotStamp", "PilotStamp"),
        Index("PilotStatus", "Status", "LastUpdateTime"),
        {"schema": SCHEMA},
    )

    pilot_id: Mapped[int] = mapped_column("PilotID", Integer, primary_key=True, autoincrement=True)
    initial_job: Mapped[int] = mapped_column("InitialJobID", Integer, default=0)
    current_job: Mapped[int] = mapped_column("CurrentJobID", Integer, default=0)
    reference: Mapped[str] = mapped_column("PilotJobReference", String(255), default="Unknown")
    stamp: Mapped[str] = mapped_column("PilotStamp", String(32), default="")
    destination: Mapped[str] = mapped_column("DestinationSite", String(128), default="NotAssigned")
    queue: Mapped[str] = mapped_column("Queue", String(128), default="Unknown")
    site: Mapped[str] = mapped_column("GridSite", String(128), default="Unknown")
    vo: Mapped[str] = mapped_column("VO", String(128))
    grid_type: Mapped[str] = mapped_column("GridType", String(32), default="LCG")
    benchmark: Mapped[float] = mapped_column("BenchMark", Double, default=0.0)
    submitted_at: Mapped[datetime | None] = mapped_column("SubmissionTime", DateTime)
    updated_at: Mapped[datetime | None] = mapped_column("LastUpdateTime", DateTime)
    status: Mapped[str] = mapped_column("Status", String(32), default="Unknown")
    reason: Mapped[str] = mapped_column("StatusReason", String(255), default="Unknown")
    accounted: Mapped[str] = mapped_column(
        "AccountingSent", Enum("True", "False", name="pilot_accounted"), default="False"
    )
