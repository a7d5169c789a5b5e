"""Pilots begin with secrets, of which the hashes are kept."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "PilotSecrets",
        sa.Column("PilotStamp", sa.String(32), nullable=False),
        sa.Column("HashedSecret", sa.String(64), nullable=False),
        sa.Column("ExpiresAt", TIME, nullable=False),
        sa.Column("LifeSeconds", sa.Double(), nullable=False),
        sa.Column("UsedAt", TIME, nullable=True),
        sa.Column("UsedBy", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("PilotStamp"),
    )
    op.create_index("SecretsExpiry", "PilotSecrets", ["ExpiresAt"])


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
