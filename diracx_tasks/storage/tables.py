"""The file catalogue: which files there are, and where their replicas lie."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table, Timestamp

Number = BigInteger().with_variant(Integer(), "sqlite")
# Two files may differ in capitals only.
Lfn = String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_bin"), "mysql", "mariadb")
Pfn = String(512).with_variant(mysql.VARCHAR(512, collation="utf8mb4_bin"), "mysql", "mariadb")


class File(Table):
    """A file of a VO; its content never changes, and of its checksums at least one is known."""

    __tablename__ = "Files"
    __table_args__ = (UniqueConstraint("VO", "LFN", name="FileName"),)

    file_id: Mapped[int] = mapped_column("FileID", Number, primary_key=True, autoincrement=True)
    vo: Mapped[str] = mapped_column("VO", String(32))
    lfn: Mapped[str] = mapped_column("LFN", Lfn)
    guid: Mapped[str] = mapped_column("GUID", String(36))
    size: Mapped[int] = mapped_column("Size", BigInteger)
    adler32: Mapped[str | None] = mapped_column("Adler32", String(8))
    sha1: Mapped[str | None] = mapped_column("SHA1", String(40))
    sha256: Mapped[str | None] = mapped_column("SHA256", String(64))
    owner: Mapped[str] = mapped_column("Owner", String(64))
    group: Mapped[str] = mapped_column("OwnerGroup", String(128))
    # The job whose output it is.
    job_id: Mapped[int | None] = mapped_column("JobID", Integer)
    created_at: Mapped[datetime] = mapped_column("CreatedAt", Timestamp)


class Replica(Table):
    """A copy of a file at a storage element."""

    __tablename__ = "Replicas"
    __table_args__ = (Index("ReplicaPlace", "SE", "PFN"),)

    file_id: Mapped[int] = mapped_column("FileID", Number, ForeignKey("Files.FileID"), primary_key=True)
    se: Mapped[str] = mapped_column("SE", String(64), primary_key=True)
    pfn: Mapped[str] = mapped_column("PFN", Pfn)
    created_at: Mapped[datetime] = mapped_column("CreatedAt", Timestamp)


class Unclaimed(Table):
    """A stored object that may be no replica: announced and not registered yet, or removed."""

    __tablename__ = "UnclaimedReplicas"
    __table_args__ = (Index("UnclaimedSince", "Since"),)

    se: Mapped[str] = mapped_column("SE", String(64), primary_key=True)
    pfn: Mapped[str] = mapped_column("PFN", Pfn, primary_key=True)
    vo: Mapped[str] = mapped_column("VO", String(32))
    since: Mapped[datetime] = mapped_column("Since", Timestamp)
