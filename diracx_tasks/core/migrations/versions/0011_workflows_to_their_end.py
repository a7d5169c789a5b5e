"""What stops a workflow after a failure, finds the forgotten ones, and tells paths apart by case."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

EXACT = sa.String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    with op.batch_alter_table("Workflows") as table:
        table.add_column(sa.Column("IsBroken", sa.Boolean(), nullable=False, server_default=sa.text("0")))
        table.add_column(sa.Column("EndsAs", sa.String(32), nullable=False, server_default="Killed"))
        table.create_index("WorkflowsByStatus", ["Status", "WorkflowID"])
    op.create_index("NodesByStatus", "WorkflowNodes", ["WorkflowID", "Status"])
    op.execute(
        "UPDATE Workflows SET IsBroken = 1 WHERE WorkflowID IN"
        " (SELECT WorkflowID FROM WorkflowNodes WHERE Status IN ('Failed', 'Killed'))"
    )
    if op.get_bind().dialect.name != "sqlite":
        # SQLite compares exactly anyway.
        op.alter_column("WorkflowNodes", "Path", type_=EXACT, existing_nullable=False)
        op.alter_column("WorkflowEvents", "Path", type_=EXACT, existing_nullable=False)


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
