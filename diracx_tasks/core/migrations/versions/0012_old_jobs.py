"""What finds old jobs, workflows and sandboxes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

JOBS, SANDBOXES = "JobDB", "SandboxMetadataDB"
TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.create_index("JobsByAge", "Jobs", ["VO", "Status", "LastUpdateTime"], schema=_name(JOBS))
    op.create_index("WorkflowsByAge", "Workflows", ["VO", "Status", "EndedAt"])
    _find_sandboxes()
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


def _find_sandboxes() -> None:
    """What DIRAC's own table of sandboxes lacks: all of them would be read to find those to be cleaned."""
    table, index, schema = "sb_SandBoxes", "SandboxCleaning", _name(SANDBOXES)
    there = {one["name"] for one in sa.inspect(op.get_bind()).get_indexes(table, schema=schema)}
    if index not in there:
        op.create_index(index, table, ["Assigned", "LastAccessTime"], schema=schema)


def _name(database: str) -> str | None:
    """What one of DIRAC's databases is called here; Alembic translates names in CREATE TABLE only."""
    names = op.get_bind().get_execution_options().get("schema_translate_map") or {}
    found: str | None = names.get(database, database)
    return found
