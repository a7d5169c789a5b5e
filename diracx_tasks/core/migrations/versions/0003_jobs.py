"""Jobs: what the whole DiracX API stores of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JOBS = "JobDB"
TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
LFN = sa.String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_bin"), "mysql", "mariadb")
KEY = sa.String(128).with_variant(mysql.VARCHAR(128, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    _widen_descriptions()
    op.create_index("JobsOfVO", "Jobs", ["VO"], schema=_name())
    op.create_index("StatusOfVO", "Jobs", ["VO", "Status"], schema=_name())
    if not _is_there("InputData"):
        op.create_table(
            "InputData",
            sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("LFN", LFN, nullable=False),
            sa.Column("Status", sa.String(32), nullable=False),
            sa.PrimaryKeyConstraint("JobID", "LFN"),
            schema=JOBS,
        )
    op.create_table(
        "JobHeartbeats",
        sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("HeartBeatTime", TIMESTAMP, nullable=False),
        sa.Column("Usage", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("JobID", "HeartBeatTime"),
    )
    op.create_table(
        "JobSubmissions",
        sa.Column("VO", sa.String(32), nullable=False),
        sa.Column("Owner", KEY, nullable=False),
        sa.Column("IdempotencyKey", KEY, nullable=False),
        sa.Column("Digest", sa.String(64), nullable=False),
        sa.Column("Answer", BLOB, nullable=False),
        sa.Column("SubmittedAt", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("VO", "Owner", "IdempotencyKey"),
    )
    op.create_index("SubmissionAge", "JobSubmissions", ["SubmittedAt"])
    op.create_table(
        "ParametricJobs",
        sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("Total", sa.Integer(), nullable=False),
        sa.Column("Made", sa.Integer(), nullable=False),
        sa.Column("OwnerGroup", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("JobID"),
    )


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")


def _widen_descriptions() -> None:
    """DiracX has 64 KiB for a description, DIRAC 9 and we have 16 MiB."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for column in sa.inspect(op.get_bind()).get_columns("JobJDLs", schema=_name()):
        if type(column["type"]) is mysql.TEXT:
            op.alter_column(
                "JobJDLs", column["name"], type_=mysql.MEDIUMTEXT(), existing_nullable=False, schema=_name()
            )


def _is_there(table: str) -> bool:
    """Whether an installation of DIRAC has made the table."""
    return sa.inspect(op.get_bind()).has_table(table, schema=_name())


def _name() -> str | None:
    """What JobDB is called here; Alembic translates names in CREATE TABLE only."""
    names = op.get_bind().get_execution_options().get("schema_translate_map") or {}
    found: str | None = names.get(JOBS, JOBS)
    return found
