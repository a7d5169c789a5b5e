"""What the attempts of jobs have used."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "JobAttemptUse",
        sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("Attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("CPUSeconds", sa.Float(), nullable=False),
        sa.Column("WallSeconds", sa.Float(), nullable=False),
        sa.Column("MemoryMB", sa.Float(), nullable=False),
        sa.Column("DiskMB", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("JobID", "Attempt"),
    )


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
