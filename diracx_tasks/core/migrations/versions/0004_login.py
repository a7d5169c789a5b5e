"""Login: flows that are under way, and refresh tokens."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "AuthDB"


def upgrade() -> None:
    if not _is_there("DeviceFlows"):
        op.create_table(
            "DeviceFlows",
            sa.Column("UserCode", sa.String(length=8), nullable=False),
            sa.Column("Status", sa.String(length=16), server_default="PENDING", nullable=False),
            sa.Column("CreationTime", sa.DateTime(), server_default=_now(), nullable=False),
            sa.Column("ClientID", sa.String(length=255), nullable=False),
            sa.Column("Scope", sa.String(length=1024), nullable=False),
            sa.Column("DeviceCode", sa.String(length=128), nullable=False),
            sa.Column("IDToken", sa.JSON(), nullable=True),
            sa.PrimaryKeyConstraint("UserCode"),
            sa.UniqueConstraint("DeviceCode"),
            schema=SCHEMA,
        )
    if not _is_there("AuthorizationFlows"):
        op.create_table(
            "AuthorizationFlows",
            sa.Column("UUID", sa.Uuid(as_uuid=False), nullable=False),
            sa.Column("Status", sa.String(length=16), server_default="PENDING", nullable=False),
            sa.Column("ClientID", sa.String(length=255), nullable=False),
            sa.Column("CreationTime", sa.DateTime(), server_default=_now(), nullable=False),
            sa.Column("Scope", sa.String(length=1024), nullable=False),
            sa.Column("CodeChallenge", sa.String(length=255), nullable=False),
            sa.Column("CodeChallengeMethod", sa.String(length=8), nullable=False),
            sa.Column("RedirectURI", sa.String(length=255), nullable=False),
            sa.Column("Code", sa.String(length=255), nullable=True),
            sa.Column("IDToken", sa.JSON(), nullable=True),
            sa.PrimaryKeyConstraint("UUID"),
            schema=SCHEMA,
        )
    if not _is_there("RefreshTokens"):
        op.create_table(
            "RefreshTokens",
            sa.Column("JTI", sa.Uuid(as_uuid=False), nullable=False),
            sa.Column("Status", sa.String(length=16), server_default="CREATED", nullable=False),
            sa.Column("Scope", sa.String(length=1024), nullable=False),
            sa.Column("Sub", sa.String(length=256), nullable=False),
            sa.PrimaryKeyConstraint("JTI"),
            schema=SCHEMA,
        )
        op.create_index("ix_RefreshTokens_Sub", "RefreshTokens", ["Sub"], schema=SCHEMA)
        op.create_index("index_status_sub", "RefreshTokens", ["Status", "Sub"], schema=SCHEMA)


def downgrade() -> None:
    raise NotImplementedError("everybody's login would be lost")


def _is_there(table: str) -> bool:
    """Whether DiracX has made the table."""
    bind = op.get_bind()
    names = bind.get_execution_options().get("schema_translate_map") or {}
    return sa.inspect(bind).has_table(table, schema=names.get(SCHEMA, SCHEMA))


def _now() -> Any:
    """DiracX's own default: it leaves the column out when it inserts."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    return sa.text("(DATETIME('now'))" if is_sqlite else "(UTC_TIMESTAMP)")
