"""Rows that the database writes as JSON: what is only passed on needs no Python object per value."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Enum, Float, Integer, String, case, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import DateTime, TypeEngine


class joined(FunctionElement[str]):
    """Texts one after the other; null when one of them is."""

    type = String()
    inherit_cache = True


class moment_text(FunctionElement[str]):
    """A time as the API gives it, quoted: "2026-11-23T10:00:00.123456Z"."""

    type = String()
    inherit_cache = True


class number_text(FunctionElement[str]):
    """A number with all its digits."""

    type = String()
    inherit_cache = True


@compiles(joined)
def _concat(element: joined, compiler: SQLCompiler, **options: Any) -> str:
    return f"CONCAT({compiler.process(element.clauses, **options)})"


@compiles(joined, "sqlite")
def _sqlite_concat(element: joined, compiler: SQLCompiler, **options: Any) -> str:
    return " || ".join(f"({compiler.process(part, **options)})" for part in element.clauses)


@compiles(number_text)
def _number(element: number_text, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(number_text, "sqlite")
def _sqlite_number(element: number_text, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite itself writes 15 digits: another number, which a cursor would not find again.
    return f"printf('%!.17g', {compiler.process(element.clauses, **options)})"


@compiles(moment_text)
def _date_format(element: moment_text, compiler: SQLCompiler, **options: Any) -> str:
    # The driver's own placeholders are written with percent signs as well.
    pattern = "%Y-%m-%dT%H:%i:%s.%fZ".replace("%", "%%")
    return f"DATE_FORMAT({compiler.process(element.clauses, **options)}, '\"{pattern}\"')"


@compiles(moment_text, "sqlite")
def _sqlite_date(element: moment_text, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    # A time without a fraction is padded to six digits.
    return f"'\"' || replace(substr({column} || '.000000', 1, 26), ' ', 'T') || 'Z\"'"


def as_text(made: ColumnElement[str], dialect: Dialect) -> ColumnElement[str]:
    """The expression as SQL that is not analysed again with each statement that it stands in."""
    compiled = str(made.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    # Where the driver's placeholders have percent signs, other signs are doubled: once more when it is used.
    doubled = dialect.paramstyle in ("format", "pyformat")
    return literal_column(compiled.replace("%%", "%") if doubled else compiled, String())


def json_object(columns: Mapping[str, ColumnElement[Any]]) -> ColumnElement[str]:
    """A row as the text of a JSON object with these names."""
    parts: list[ColumnElement[Any]] = []
    for place, (name, column) in enumerate(columns.items()):
        parts += [_text(f'{"," if place else "{"}"{name}":'), json_value(column)]
    return joined(*parts, _text("}"))


def json_array(columns: list[ColumnElement[Any]]) -> ColumnElement[str]:
    """Values as the text of a JSON array."""
    parts: list[ColumnElement[Any]] = []
    for place, column in enumerate(columns):
        parts += [_text("," if place else "["), json_value(column)]
    return joined(*parts, _text("]"))


def json_value(column: ColumnElement[Any]) -> ColumnElement[str]:
    """One value as JSON: enumerations of True and False are booleans."""
    return func.coalesce(_not_null(column, column.type), _text("null"))


def is_flag(kind: TypeEngine[Any]) -> bool:
    """Whether a column is one of DIRAC's booleans, `enum('True','False',...)`."""
    return isinstance(kind, Enum) and {"True", "False"} <= set(kind.enums)


def _not_null(column: ColumnElement[Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    if isinstance(kind, Float):
        # Null stays null: printf would make it a zero.
        return case((column.is_not(None), number_text(column)))
    if isinstance(kind, Integer):
        return column
    if isinstance(kind, DateTime):
        return moment_text(column)
    if is_flag(kind):
        assert isinstance(kind, Enum)
        others = [name for name in kind.enums if name not in ("True", "False")]
        quoted = [(column == name, _text(f'"{name}"')) for name in others]
        return case(*quoted, else_=func.lower(column)) if quoted else func.lower(column)
    return func.json_quote(column)


def _text(value: str) -> ColumnElement[str]:
    return literal_column("'" + value.replace("'", "''") + "'", String())
