"""Collections in chunks, reuse of results, retries of steps, and bundles that single jobs use."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "WorkflowCollections",
        sa.Column("CollectionID", NUMBER, autoincrement=True, nullable=False),
        sa.Column("WorkflowID", NUMBER, nullable=False),
        sa.Column("Length", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("CollectionID"),
    )
    op.create_index("CollectionsOfWorkflow", "WorkflowCollections", ["WorkflowID"])
    op.create_table(
        "WorkflowChunks",
        sa.Column("CollectionID", NUMBER, autoincrement=False, nullable=False),
        sa.Column("Chunk", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("Data", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("CollectionID", "Chunk"),
    )
    op.create_table(
        "BundleUse",
        sa.Column("Hash", sa.String(64), nullable=False),
        sa.Column("VO", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("Hash", "VO"),
    )
    with op.batch_alter_table("Workflows") as table:
        table.add_column(sa.Column("OnError", sa.String(8), nullable=False, server_default="stop"))
        table.add_column(sa.Column("Reuses", sa.Boolean(), nullable=False, server_default=sa.text("1")))
        table.add_column(sa.Column("MaxTries", sa.Integer(), nullable=False, server_default="3"))
        table.add_column(sa.Column("Tags", BLOB, nullable=True))
    with op.batch_alter_table("WorkflowNodes") as table:
        table.add_column(sa.Column("Ended", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("Bad", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("Skipped", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("Tries", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("MaxTries", sa.Integer(), nullable=True))
        table.add_column(sa.Column("RetryAt", TIMESTAMP, nullable=True))
        table.add_column(sa.Column("ReuseKey", sa.String(32), nullable=True))
        table.add_column(sa.Column("ReusedFrom", NUMBER, nullable=True))
        table.create_index("NodeReuse", ["ReuseKey"])
        table.create_index("NodeRetry", ["WorkflowID", "RetryAt"])
    _count_slots()
    # The outputs of a job that is Done are read from its result.
    with op.batch_alter_table("EndedJobs") as table:
        table.drop_column("Outputs")
        table.add_column(sa.Column("IsTemporary", sa.Boolean(), nullable=False, server_default=sa.text("0")))


def _count_slots() -> None:
    """Scatters that go on have counted nothing so far."""
    nodes = sa.table(
        "WorkflowNodes",
        *(sa.column(name) for name in ("NodeID", "ParentID", "Kind", "Status", "Ended", "Bad", "Skipped")),
    )
    slots = nodes.alias()
    counts = (
        sa.select(slots.c.ParentID, slots.c.Status, sa.func.count())
        .join(nodes, nodes.c.NodeID == slots.c.ParentID)
        .where(nodes.c.Kind == "scatter", nodes.c.Status == "Running")
        .where(slots.c.Status.in_(("Done", "Skipped", "Failed", "Killed")))
        .group_by(slots.c.ParentID, slots.c.Status)
    )
    for parent, status, count in op.get_bind().execute(counts).all():
        values = {"Ended": nodes.c.Ended + count}
        if status != "Done":
            counter = "Skipped" if status == "Skipped" else "Bad"
            values[counter] = nodes.c[counter] + count
        op.execute(sa.update(nodes).where(nodes.c.NodeID == parent).values(values))


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
