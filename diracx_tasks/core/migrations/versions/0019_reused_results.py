"""The results that a workflow has taken from earlier ones are counted beside its jobs, in the same index."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

COLUMNS = ["WorkflowID", "Path", "Kind", "Status"]


def upgrade() -> None:
    if op.get_bind().dialect.name in ("mysql", "mariadb"):
        # In one statement: lists of workflows name the index, and what is broken off leaves the old one.
        found = ", ".join(f"`{name}`" for name in (*COLUMNS, "ReusedFrom"))
        op.execute(f"ALTER TABLE `WorkflowNodes` DROP INDEX `NodeCounts`, ADD INDEX `NodeCounts` ({found})")
        return
    with op.batch_alter_table("WorkflowNodes") as table:
        table.drop_index("NodeCounts")
        table.create_index("NodeCounts", [*COLUMNS, "ReusedFrom"])


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
