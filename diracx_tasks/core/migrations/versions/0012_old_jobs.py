"""What finds old jobs and workflows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

JOBS = "JobDB"
TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.create_index("JobsByAge", "Jobs", ["VO", "Status", "LastUpdateTime"], schema=_name())
    op.create_index("WorkflowsByAge", "Workflows", ["VO", "Status", "EndedAt"])
    op.create_table(
        "JobCleaning",
        sa.Column("VO", sa.String(32), nullable=False),
        sa.Column("Deed", sa.String(16), nullable=False),
        sa.Column("Status", sa.String(32), nullable=False),
        sa.Column("ReachedTime", sa.DateTime(), nullable=False),
        sa.Column("ReachedNumber", sa.Integer(), nullable=False),
        sa.Column("BegunAt", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("VO", "Deed", "Status"),
    )


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")


def _name() -> str | None:
    """What JobDB is called here; Alembic translates names in CREATE TABLE only."""
    names = op.get_bind().get_execution_options().get("schema_translate_map") or {}
    found: str | None = names.get(JOBS, JOBS)
    return found
