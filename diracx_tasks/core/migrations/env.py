"""Alembic's entry: runs on the connection that `core/schema` gives, with our metadata."""

from typing import Any

from alembic import context

from diracx_tasks.core.database import DIRAC_SCHEMAS, Table
from diracx_tasks.core.plugins import load_tables

load_tables()
OURS = {None, *DIRAC_SCHEMAS}


def _is_ours(name: str | None, kind: str, parents: Any) -> bool:
    return kind != "schema" or name in OURS


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Table.metadata,
    include_schemas=connection.dialect.name != "sqlite",
    include_name=_is_ours,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
