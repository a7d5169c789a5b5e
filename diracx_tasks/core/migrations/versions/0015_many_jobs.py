"""What is to be done to many jobs, and how far that has come."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "BulkActions",
        sa.Column("BulkID", NUMBER, autoincrement=True, nullable=False),
        sa.Column("VO", sa.String(32), nullable=False),
        sa.Column("Owner", sa.String(64), nullable=False),
        sa.Column("IsAdministrator", sa.Boolean(), nullable=False),
        sa.Column("Action", sa.String(16), nullable=False),
        sa.Column("Search", sa.JSON(), nullable=False),
        sa.Column("Found", sa.Integer(), nullable=False),
        sa.Column("LastJobID", sa.Integer(), nullable=False),
        sa.Column("ReachedJobID", sa.Integer(), nullable=False),
        sa.Column("Changed", sa.JSON(), nullable=False),
        sa.Column("Kept", sa.JSON(), nullable=False),
        sa.Column("AskedAt", TIME, nullable=False),
        sa.Column("EndedAt", TIME, nullable=True),
        sa.PrimaryKeyConstraint("BulkID"),
    )
    op.create_index("BulkActionsEnded", "BulkActions", ["EndedAt"])


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
