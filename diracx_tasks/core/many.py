"""Many rows in one statement: to MariaDB and MySQL they go as one JSON text, which the server takes apart.

The driver escapes and the object mapper handles each value of each row in Python; this is ten times as fast.
SQLite, which runs in our own process, gets row by row.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    DateTime,
    Dialect,
    Executable,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    Update,
    bindparam,
    column,
    insert,
    select,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

Columns = Mapping[str, ColumnElement[Any]]
Row = Sequence[Any]
Values = Callable[[Columns], Mapping[str, Any]]
Only = Callable[[], ColumnElement[bool]] | None
ROWS = "rows"


class _JsonTable(FunctionElement[Any]):
    """Rows of a JSON array of arrays; `parts` are names and SQL types."""

    inherit_cache = True

    def __init__(self, parts: tuple[tuple[str, str], ...]) -> None:
        super().__init__(bindparam(ROWS, type_=String()))
        self.parts = parts


@compiles(_JsonTable)
def _json_table(element: _JsonTable, compiler: SQLCompiler, **options: Any) -> str:
    document = compiler.process(element.clauses, **options)
    parts = ", ".join(
        f"`{name}` {kind} PATH '$[{place}]' ERROR ON ERROR"
        for place, (name, kind) in enumerate(element.parts)
    )
    return f"JSON_TABLE({document}, '$[*]' COLUMNS ({parts}))"


def insert_many(db: Session, table: Table, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows with these columns."""
    if not rows:
        return
    if db.get_bind().dialect.name == "sqlite":
        statement, processors = _plainly(table, tuple(names), db.get_bind().dialect)
        db.connection().exec_driver_sql(statement, _bound(rows, processors))
    else:
        db.connection().execute(_insert(table, tuple(names)), {ROWS: _document(rows)})


def update_many(
    db: Session,
    table: Table,
    names: Sequence[str],
    values: Values,
    rows: Sequence[Row],
    *,
    keys: int = 1,
    only: Only = None,
) -> int:
    """Update rows by their key, the first `keys` of the names; `values` makes the SET of what is in a row.

    With `only` those stay as they are of which it does not hold; it has no IN, which SQLite's driver cannot
    run for many rows. Answers how many rows there were to update.
    """
    if not rows:
        return 0
    if db.get_bind().dialect.name == "sqlite":
        given = [{f"new_{name}": value for name, value in zip(names, row, strict=True)} for row in rows]
        return db.connection().execute(_update_each(table, tuple(names), values, keys, only), given).rowcount
    document = {ROWS: _document(rows)}
    return db.connection().execute(_update(table, tuple(names), values, keys, only), document).rowcount


@lru_cache(64)
def _plainly(table: Table, names: tuple[str, ...], dialect: Dialect) -> tuple[str, list[tuple[int, Any]]]:
    """An INSERT for the driver, and what makes the driver's values at the places where that is needed."""
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join("?" for _ in names)
    # The driver takes bytes as they are.
    kinds = [table.c[name].type.dialect_impl(dialect) for name in names]
    made = [None if isinstance(kind, LargeBinary) else kind.bind_processor(dialect) for kind in kinds]
    statement = f'INSERT INTO "{table.name}" ({columns}) VALUES ({values})'
    return statement, [(place, process) for place, process in enumerate(made) if process]


def _bound(rows: Sequence[Row], processors: Sequence[tuple[int, Any]]) -> list[tuple[Any, ...]]:
    """Rows as the driver takes them; an object that is in many rows is made a text once."""
    made: dict[int, Any] = {}
    found = list(map(list, rows))
    for place, process in processors:
        for row in found:
            value = row[place]
            if isinstance(value, (dict, list, datetime)):
                if id(value) not in made:
                    made[id(value)] = process(value)
                row[place] = made[id(value)]
            elif value is not None:
                row[place] = process(value)
    return list(map(tuple, found))


@lru_cache(64)
def _insert(table: Table, names: tuple[str, ...]) -> Executable:
    new = _new(table, names)
    return insert(table).from_select(list(names), select(*new.values()))


@lru_cache(64)
def _update(table: Table, names: tuple[str, ...], values: Values, keys: int, only: Only) -> Update:
    return _setting(table, _new(table, names), names[:keys], values, only)


@lru_cache(64)
def _update_each(table: Table, names: tuple[str, ...], values: Values, keys: int, only: Only) -> Update:
    new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return _setting(table, new, names[:keys], values, only)


def _setting(table: Table, new: Columns, keys: tuple[str, ...], values: Values, only: Only) -> Update:
    same = [table.c[name] == new[name] for name in keys]
    return update(table).where(*same, *([only()] if only else [])).values(dict(values(new)))


def _new(table: Table, names: tuple[str, ...]) -> Columns:
    parts = tuple((name, _kind(table.c[name].type)) for name in names)
    found = _JsonTable(parts).table_valued(*(column(name, table.c[name].type) for name in names), name="new")
    return {name: found.c[name] for name in names}


def _kind(kind: TypeEngine[Any]) -> str:
    if isinstance(kind, JSON):
        return "JSON"
    if isinstance(kind, (Boolean, Integer)):
        return "BIGINT"
    if isinstance(kind, DateTime):
        return "DATETIME(6)"
    if isinstance(kind, Float):
        return "DOUBLE"
    if isinstance(kind, Numeric):
        return f"DECIMAL({kind.precision},{kind.scale})"
    # JSON_TABLE cuts silently what is longer than here; one character too many is refused by the column.
    length = kind.length + 1 if isinstance(kind, String) and kind.length else None
    return f"VARCHAR({length}) CHARACTER SET utf8mb4" if length else "LONGTEXT CHARACTER SET utf8mb4"


def _document(rows: Sequence[Row]) -> str:
    return orjson.dumps(rows, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        # What is stored as bytes may be text; the server does not mind.
        return value.decode()
    raise TypeError(f"{type(value).__name__} is not stored this way")
