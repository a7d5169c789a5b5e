"""DIRAC's SandboxMetadataDB: which files are stored, whose they are and which jobs they belong to."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, DateTime, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table

SCHEMA = "SandboxMetadataDB"


class SandboxOwner(Table):
    """An owner in one of his groups."""

    __tablename__ = "sb_Owners"
    __table_args__ = (UniqueConstraint("Owner", "OwnerGroup", "VO", name="unique_owner"), {"schema": SCHEMA})

    owner_id: Mapped[int] = mapped_column("OwnerID", Integer, primary_key=True, autoincrement=True)
    owner: Mapped[str] = mapped_column("Owner", String(32))
    group: Mapped[str] = mapped_column("OwnerGroup", String(32))
    vo: Mapped[str] = mapped_column("VO", String(64))


class Sandbox(Table):
    """One stored object; the row is there before the upload."""

    __tablename__ = "sb_SandBoxes"
    __table_args__ = (
        UniqueConstraint("SEName", "SEPFN", name="Location"),
        Index("SandboxCleaning", "Assigned", "LastAccessTime"),
        {"schema": SCHEMA},
    )

    sandbox_id: Mapped[int] = mapped_column("SBId", Integer, primary_key=True, autoincrement=True)
    owner_id: Mapped[int] = mapped_column("OwnerId", Integer, ForeignKey(f"{SCHEMA}.sb_Owners.OwnerID"))
    se_name: Mapped[str] = mapped_column("SEName", String(64))
    pfn: Mapped[str] = mapped_column("SEPFN", String(512))
    size: Mapped[int] = mapped_column("Bytes", BigInteger)
    registered_at: Mapped[datetime] = mapped_column("RegistrationTime", DateTime)
    accessed_at: Mapped[datetime] = mapped_column("LastAccessTime", DateTime)
    is_assigned: Mapped[bool] = mapped_column("Assigned", Boolean, default=False)


class Mapping(Table):
    """A sandbox of a job (`Job:42`) or of a workflow (`Workflow:7`)."""

    __tablename__ = "sb_EntityMapping"
    __table_args__ = (Index("Entity", "EntityId"), {"schema": SCHEMA})

    sandbox_id: Mapped[int] = mapped_column(
        "SBId", Integer, ForeignKey(f"{SCHEMA}.sb_SandBoxes.SBId"), primary_key=True
    )
    entity: Mapped[str] = mapped_column("EntityId", String(128), primary_key=True)
    kind: Mapped[str] = mapped_column("Type", String(64), primary_key=True)
