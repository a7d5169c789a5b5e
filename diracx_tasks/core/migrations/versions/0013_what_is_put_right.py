"""What was put right is counted; each attempt has the interval at which its pilot reports."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
KEY = sa.String(128).with_variant(mysql.VARCHAR(128, collation="utf8mb4_bin"), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("JobAttempts", sa.Column("HeartbeatSeconds", sa.Float(), nullable=True))
    op.create_table(
        "Repairs",
        sa.Column("Invariant", KEY, nullable=False),
        sa.Column("Total", NUMBER, nullable=False),
        sa.Column("LookedUntil", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("Invariant"),
    )


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
