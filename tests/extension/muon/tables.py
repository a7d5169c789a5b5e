"""What the muon community stores."""

from sqlalchemy import Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table, engine


class Hit(Table):
    """A muon that was seen in a chamber."""

    __tablename__ = "MuonHits"

    hit_id: Mapped[int] = mapped_column("HitID", Integer, primary_key=True, autoincrement=True)
    run_id: Mapped[int] = mapped_column("RunID", Integer, index=True)
    chamber: Mapped[str] = mapped_column("Chamber", String(32))


def create() -> None:
    """Make the tables that are missing; an operator calls it after `diracx admin migrate`."""
    Table.metadata.create_all(engine(), tables=[Table.metadata.tables["MuonHits"]])
