"""Job parameters in SQL, and what waits for OpenSearch."""

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")
