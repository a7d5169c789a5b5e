"""Upstream's tables beside ours, in words: one line for each difference."""

from collections.abc import Iterator
from importlib.metadata import entry_points

from sqlalchemy import Column, MetaData, Table, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.schema import CreateColumn

from diracx_tasks.core.database import DIRAC_SCHEMAS
from diracx_tasks.core.database import Table as Ours
from diracx_tasks.core.plugins import load_tables

DIALECT: MySQLDialect = mysql.dialect()
DISTRIBUTION = "diracx-db"


def upstream() -> dict[str, MetaData]:
    """The metadata of each of diracx-db's databases."""
    points = entry_points(group="diracx.dbs.sql")
    found = [point for point in points if point.dist and point.dist.name == DISTRIBUTION]
    return {point.name: point.load().metadata for point in found}


def differences() -> set[str]:
    """Every difference, as `JobDB.Jobs.Attempt: only ours`."""
    return {line for database, theirs in upstream().items() for line in _databases(database, theirs)} | {
        f"{name}: only ours" for name in set(DIRAC_SCHEMAS) - upstream().keys()
    }


def _ours(database: str) -> dict[str, Table]:
    load_tables()
    tables = Ours.metadata.tables.values()
    return {table.name: table for table in tables if table.schema == database}


def _databases(database: str, theirs: MetaData) -> Iterator[str]:
    ours = _ours(database)
    if not ours:
        yield f"{database}: only upstream's"
        return
    for name in sorted(ours.keys() | theirs.tables.keys()):
        if name not in ours or name not in theirs.tables:
            yield f"{database}.{name}: only {_whose(name in ours)}"
            continue
        yield from _tables(f"{database}.{name}", theirs.tables[name], ours[name])


def _tables(place: str, theirs: Table, ours: Table) -> Iterator[str]:
    """Columns first, then keys; indexes and unique keys count by their columns, not by their names."""
    mine = [column.name for column in ours.columns if column.name not in theirs.columns]
    for name in [*theirs.columns.keys(), *mine]:
        left, right = theirs.columns.get(name), ours.columns.get(name)
        if left is None or right is None:
            yield f"{place}.{name}: only {_whose(left is None)}"
        elif _column(left) != _column(right):
            yield f"{place}.{name}: {_column(left)}; ours {_column(right)}"
        if left is not None and right is not None and _default(left) != _default(right):
            yield f"{place}.{name}: default {_default(left)}; ours {_default(right)}"
    if _key(theirs) != _key(ours):
        yield f"{place}: primary key {_key(theirs)}; ours {_key(ours)}"
    for kind, left_keys, right_keys in (
        ("index", _indexes(theirs), _indexes(ours)),
        ("unique", _unique(theirs), _unique(ours)),
        ("foreign key", _foreign(theirs), _foreign(ours)),
    ):
        yield from (f"{place}: {kind} {one}: only upstream's" for one in sorted(left_keys - right_keys))
        yield from (f"{place}: {kind} {one}: only ours" for one in sorted(right_keys - left_keys))


def _whose(is_ours: bool) -> str:
    return "ours" if is_ours else "upstream's"


def _column(column: Column[object]) -> str:
    """Type, nullability and the server's default as MySQL is told."""
    text = str(CreateColumn(column).compile(dialect=DIALECT))
    return " ".join(text.split(None, 1)[1].replace(" AUTO_INCREMENT", "").split())


def _default(column: Column[object]) -> str:
    """What the program stores when nothing is stated."""
    if column.default is None or not column.default.is_scalar:
        return "none"
    value = getattr(column.default, "arg", None)
    return str(getattr(value, "value", value)) or "an empty text"


def _key(table: Table) -> str:
    return ", ".join(column.name for column in table.primary_key.columns)


def _indexes(table: Table) -> set[str]:
    return {", ".join(column.name for column in index.columns) for index in table.indexes if not index.unique}


def _unique(table: Table) -> set[str]:
    found = [one for one in table.constraints if isinstance(one, UniqueConstraint)]
    return {", ".join(column.name for column in one.columns) for one in found} | {
        ", ".join(column.name for column in index.columns) for index in table.indexes if index.unique
    }


def _foreign(table: Table) -> set[str]:
    return {
        f"{', '.join(column.name for column in one.columns)} -> "
        f"{', '.join('.'.join(part.target_fullname.split('.')[-2:]) for part in one.elements)}"
        f"{' ON DELETE ' + one.ondelete if one.ondelete else ''}"
        for one in table.foreign_key_constraints
    }
