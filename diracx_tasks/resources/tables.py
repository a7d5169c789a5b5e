"""DIRAC's ResourceStatusDB: the status of sites and resources, and what it was before."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Integer, String
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from diracx_tasks.core.database import Table

SCHEMA = "ResourceStatusDB"
# SQLite numbers rows by itself only in a column of the plain type INTEGER.
_Number = BigInteger().with_variant(Integer(), "sqlite")


class _Placed:
    """A table of ResourceStatusDB, called as its class."""

    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012

    @declared_attr.directive
    def __tablename__(cls: type) -> str:
        return cls.__name__


class _Said(_Placed):
    """What is said of a site or resource, besides whose status it is."""

    status: Mapped[str] = mapped_column("Status", String(8), server_default="")
    reason: Mapped[str] = mapped_column("Reason", String(512), server_default="Unspecified")
    effective_at: Mapped[datetime] = mapped_column("DateEffective", DateTime)
    token_expires_at: Mapped[datetime] = mapped_column(
        "TokenExpiration", DateTime, server_default="9999-12-31 23:59:59"
    )
    kind: Mapped[str] = mapped_column("ElementType", String(32), server_default="")
    checked_at: Mapped[datetime] = mapped_column(
        "LastCheckTime", DateTime, server_default="1000-01-01 00:00:00"
    )
    by: Mapped[str] = mapped_column("TokenOwner", String(16), server_default="rs_svc")


class _Now(_Said):
    """The status in force."""

    name: Mapped[str] = mapped_column("Name", String(64), primary_key=True)
    status_type: Mapped[str] = mapped_column(
        "StatusType", String(128), server_default="all", primary_key=True
    )
    vo: Mapped[str] = mapped_column("VO", String(64), server_default="all", primary_key=True)


class _Once(_Said):
    """A status that was set."""

    row_id: Mapped[int] = mapped_column("ID", _Number, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column("Name", String(64))
    status_type: Mapped[str] = mapped_column("StatusType", String(128), server_default="all")
    vo: Mapped[str] = mapped_column("VO", String(64), server_default="all")


class SiteStatus(_Now, Table):
    """The status of a site, for all VOs or for one."""


class SiteLog(_Once, Table):
    """Everything that was said of sites."""


class SiteHistory(_Once, Table):
    """The statuses that sites had."""


class ResourceStatus(_Now, Table):
    """The status of a resource, for all VOs or for one; of a storage element one for each kind of access."""


class ResourceLog(_Once, Table):
    """Everything that was said of resources."""


class ResourceHistory(_Once, Table):
    """The statuses that resources had."""
