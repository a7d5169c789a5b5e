"""The file catalogue: files, their replicas, and stored objects that may be no replica."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def _exact(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "Files",
        sa.Column("FileID", NUMBER, autoincrement=True, nullable=False),
        sa.Column("VO", sa.String(32), nullable=False),
        sa.Column("LFN", _exact(255), nullable=False),
        sa.Column("GUID", sa.String(36), nullable=False),
        sa.Column("Size", sa.BigInteger(), nullable=False),
        sa.Column("Adler32", sa.String(8)),
        sa.Column("SHA1", sa.String(40)),
        sa.Column("SHA256", sa.String(64)),
        sa.Column("Owner", sa.String(64), nullable=False),
        sa.Column("OwnerGroup", sa.String(128), nullable=False),
        sa.Column("JobID", sa.Integer()),
        sa.Column("CreatedAt", TIME, nullable=False),
        sa.PrimaryKeyConstraint("FileID"),
        sa.UniqueConstraint("VO", "LFN", name="FileName"),
    )
    op.create_table(
        "Replicas",
        sa.Column("FileID", NUMBER, nullable=False),
        sa.Column("SE", sa.String(64), nullable=False),
        sa.Column("PFN", _exact(512), nullable=False),
        sa.Column("CreatedAt", TIME, nullable=False),
        sa.ForeignKeyConstraint(["FileID"], ["Files.FileID"]),
        sa.PrimaryKeyConstraint("FileID", "SE"),
    )
    op.create_index("ReplicaPlace", "Replicas", ["SE", "PFN"])
    op.create_table(
        "UnclaimedReplicas",
        sa.Column("SE", sa.String(64), nullable=False),
        sa.Column("PFN", _exact(512), nullable=False),
        sa.Column("VO", sa.String(32), nullable=False),
        sa.Column("Since", TIME, nullable=False),
        sa.PrimaryKeyConstraint("SE", "PFN"),
    )
    op.create_index("UnclaimedSince", "UnclaimedReplicas", ["Since"])


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
