"""Conditions of a search in SQL: DiracX's operators, and values as the column has them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Float, Integer, String, cast

from diracx_tasks.core import periods
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.rows import is_flag

Columns = Mapping[str, ColumnElement[Any]]
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": lambda column, value: column == value,
    "neq": lambda column, value: column != value,
    "gt": lambda column, value: column > value,
    "lt": lambda column, value: column < value,
    "like": lambda column, value: _text(column).like(value, escape="\\"),
    "not like": lambda column, value: _text(column).not_like(value, escape="\\"),
    "regex": lambda column, value: _text(column).regexp_match(value),
    "in": lambda column, values: column.in_(values),
    "not in": lambda column, values: column.not_in(values),
}
TEXTUAL = ("like", "not like", "regex")
LONGEST_REGEX = 256
LARGEST = 2**63


def conditions(columns: Columns, stated: Sequence[Mapping[str, Any]]) -> list[ColumnElement[bool]]:
    """The conditions in SQL; BadRequest for what cannot be understood."""
    return [_condition(columns, one) for one in stated]


def column_of(columns: Columns, name: str, words: str) -> ColumnElement[Any]:
    """The column of a name; BadRequest in these words when there is none."""
    if name not in columns:
        raise BadRequest(words.format(name))
    return columns[name]


def _condition(columns: Columns, one: Mapping[str, Any]) -> ColumnElement[bool]:
    name, operator = one["parameter"], one["operator"]
    column = column_of(columns, name, "Unknown column {}")
    is_list = operator in ("in", "not in")
    value = one.get("values") if is_list else one.get("value")
    if value is None:
        raise BadRequest(f"the condition on {name} lacks its value")
    if isinstance(column.type, DateTime):
        return periods.compare(column, operator, value)  # type: ignore[no-any-return]
    given = [_converted(column, operator, item, name) for item in value] if is_list else None
    compared = given if is_list else _converted(column, operator, value, name)
    found: ColumnElement[bool] = OPERATORS[operator](column, compared)
    return found


def _converted(column: ColumnElement[Any], operator: str, value: Any, name: str) -> Any:
    """The value as the column has it: numbers may come as texts and the other way round."""
    text = str(value)
    if any(0xD800 <= ord(letter) < 0xE000 or letter == "\0" for letter in text):
        raise BadRequest(f"the condition on {name} is no Unicode text")
    if operator in TEXTUAL:
        return _regex(text) if operator == "regex" else text
    if is_flag(column.type):
        known = {name.lower(): name for name in column.type.enums}  # type: ignore[attr-defined]
        if text.lower() not in known:
            raise BadRequest(f"Cannot parse value={value!r}: {name} is one of {', '.join(known.values())}")
        return known[text.lower()]
    if not isinstance(column.type, Integer | Float):
        return text
    try:
        number = int(text) if isinstance(column.type, Integer) else float(text)
    except ValueError as error:
        raise BadRequest(f"Cannot parse value={value!r}: {name} is a number") from error
    if not -LARGEST < number < LARGEST:
        raise BadRequest(f"Cannot parse value={value!r}: {name} is smaller")
    return number


def _regex(text: str) -> str:
    if len(text) > LONGEST_REGEX:
        raise BadRequest(f"Invalid regex: it has {len(text)} characters, {LONGEST_REGEX} are allowed")
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadRequest(f"Invalid regex {text!r}: {error}") from error
    return text


def _text(column: ColumnElement[Any]) -> ColumnElement[str]:
    return column if isinstance(column.type, String) else cast(column, String(64))
