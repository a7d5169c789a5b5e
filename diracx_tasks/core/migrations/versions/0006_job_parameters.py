"""Job parameters in SQL, and what waits for OpenSearch."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.String(100).with_variant(mysql.VARCHAR(100, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    if not sa.inspect(op.get_bind()).has_table("JobParameters", schema=_schema()):
        op.create_table(
            "JobParameters",
            sa.Column("JobID", _type_of_job_ids(), nullable=False),
            sa.Column("Name", sa.String(100), nullable=False),
            sa.Column("Value", sa.Text(), nullable=False),
            sa.ForeignKeyConstraint(["JobID"], ["JobDB.Jobs.JobID"], ondelete="CASCADE"),
            sa.PrimaryKeyConstraint("JobID", "Name"),
            schema="JobDB",
        )
    op.create_table(
        "JobParameterJournal",
        sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("Name", NAME, nullable=False),
        sa.Column("VO", sa.String(32), nullable=False),
        sa.Column("Value", LONG_TEXT, nullable=False),
        sa.Column("Token", NUMBER, nullable=False),
        sa.Column("WrittenAt", TIMESTAMP, nullable=False),
        sa.Column("DueAt", TIMESTAMP, nullable=True),
        sa.Column("Reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("JobID", "Name"),
    )
    op.create_index("JobParameterJournalDue", "JobParameterJournal", ["DueAt"])


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")


def _schema() -> str | None:
    names = op.get_bind().get_execution_options().get("schema_translate_map") or {}
    found: str | None = names.get("JobDB", "JobDB")
    return found


def _type_of_job_ids() -> sa.types.TypeEngine[int]:
    """DIRAC 9 has them unsigned, and a foreign key must have the type of its parent."""
    columns = sa.inspect(op.get_bind()).get_columns("Jobs", schema=_schema())
    (found,) = (column["type"] for column in columns if column["name"] == "JobID")
    return mysql.INTEGER(unsigned=True) if getattr(found, "unsigned", False) else sa.Integer()
