"""What the database really holds of a job or workflow: every table with such a column, as it is there."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    Date,
    DateTime,
    Enum,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    func,
    insert,
    select,
)

from diracx_tasks.core.database import engine, now
from diracx_tasks.core.settings import settings

# What stays when a job is removed.
NOT_A_JOBS = {
    "Files": "a file in the catalogue outlives the job that has made it",
    "MatchCursor": "a place in time",
    "UsageRecords": "what was used outlives the job",
    "WorkflowEvents": "a workflow's, removed with it",
    "WorkflowNodes": "a workflow's, removed with it",
}


def tables_with(column: str) -> list[Table]:
    """All tables in the database that have the column, those of DIRAC that we know nothing of as well."""
    found = MetaData()
    with engine().connect() as connection:
        plain = connection.execution_options(schema_translate_map={})
        for schema in _schemas(plain):
            found.reflect(plain, schema=schema, resolve_fks=False)
    return [table for table in found.tables.values() if column in table.c and table.name not in NOT_A_JOBS]


def counts(column: str, number: int, tables: Sequence[Table] = ()) -> dict[str, int]:
    """How many rows each table has of a job or workflow; those without any are left out.

    To have found the `tables` before saves their being looked up.
    """
    tables = tables or tables_with(column)
    with engine().connect() as connection:
        plain = connection.execution_options(schema_translate_map={})
        rows = {
            table.name: plain.scalar(select(func.count()).select_from(table).where(table.c[column] == number))
            for table in tables
        }
    return {name: int(count) for name, count in rows.items() if count}


def fill(column: str, number: int) -> set[str]:
    """Give a job or workflow a row in every table that has none of it yet; the names of all of them."""
    tables, there = tables_with(column), counts(column, number)
    with engine().begin() as connection:
        plain = connection.execution_options(schema_translate_map={})
        for table in tables:
            if table.name not in there:
                plain.execute(insert(table).values(_row(table) | {column: number}))
    return {table.name for table in tables}


def _schemas(connection: Connection) -> set[str | None]:
    if connection.dialect.name == "sqlite":
        return {None}
    return {None, *settings().database_schemas.values()}


def _row(table: Table) -> dict[str, Any]:
    needed = [one for one in table.c if not one.nullable and one.server_default is None]
    return {one.name: _value(one.type) for one in needed if one is not table.autoincrement_column}


def _value(kind: Any) -> Any:
    if isinstance(kind, DateTime | Date):
        return now().replace(microsecond=0)
    if isinstance(kind, Integer | Numeric | Boolean):
        return 1
    if isinstance(kind, Enum):
        return kind.enums[0]
    return b"1" if isinstance(kind, LargeBinary) else "1"
