"""DiracX's AuthDB: logins that are under way, and refresh tokens."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, Index, String, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table

SCHEMA = "AuthDB"


class Flow(StrEnum):
    """How far a login is: waiting for the provider, confirmed, its tokens given out, or refused."""

    PENDING = "PENDING"
    READY = "READY"
    DONE = "DONE"
    ERROR = "ERROR"


class State(StrEnum):
    """Whether a refresh token may still be used."""

    CREATED = "CREATED"
    REVOKED = "REVOKED"


class DeviceFlow(Table):
    """A login on a device that shows a code; `id_token` keeps who it was, or why it was refused."""

    __tablename__ = "DeviceFlows"
    __table_args__ = (UniqueConstraint("DeviceCode"), {"schema": SCHEMA})

    user_code: Mapped[str] = mapped_column("UserCode", String(8), primary_key=True)
    status: Mapped[str] = mapped_column("Status", String(16), default=Flow.PENDING)
    created_at: Mapped[datetime] = mapped_column("CreationTime", DateTime)
    client_id: Mapped[str] = mapped_column("ClientID", String(255))
    scope: Mapped[str] = mapped_column("Scope", String(1024))
    device_code: Mapped[str] = mapped_column("DeviceCode", String(128))
    id_token: Mapped[dict[str, Any] | None] = mapped_column("IDToken", JSON)


class AuthorizationFlow(Table):
    """A login of a page in a browser; `code` is the sha256 of what that page exchanges for tokens."""

    __tablename__ = "AuthorizationFlows"
    __table_args__ = ({"schema": SCHEMA},)

    uuid: Mapped[str] = mapped_column("UUID", Uuid(as_uuid=False), primary_key=True)
    status: Mapped[str] = mapped_column("Status", String(16), default=Flow.PENDING)
    client_id: Mapped[str] = mapped_column("ClientID", String(255))
    created_at: Mapped[datetime] = mapped_column("CreationTime", DateTime)
    scope: Mapped[str] = mapped_column("Scope", String(1024))
    code_challenge: Mapped[str] = mapped_column("CodeChallenge", String(255))
    code_challenge_method: Mapped[str] = mapped_column("CodeChallengeMethod", String(8))
    redirect_uri: Mapped[str] = mapped_column("RedirectURI", String(255))
    code: Mapped[str | None] = mapped_column("Code", String(255))
    id_token: Mapped[dict[str, Any] | None] = mapped_column("IDToken", JSON)


class RefreshToken(Table):
    """A refresh token that was given out; its id is a UUID of version 7, so ids sort by time."""

    __tablename__ = "RefreshTokens"
    __table_args__ = (
        Index("ix_RefreshTokens_Sub", "Sub"),
        Index("index_status_sub", "Status", "Sub"),
        {"schema": SCHEMA},
    )

    jti: Mapped[str] = mapped_column("JTI", Uuid(as_uuid=False), primary_key=True)
    status: Mapped[str] = mapped_column("Status", String(16), default=State.CREATED)
    scope: Mapped[str] = mapped_column("Scope", String(1024))
    sub: Mapped[str] = mapped_column("Sub", String(256))
