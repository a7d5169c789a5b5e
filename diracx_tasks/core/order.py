"""The order of a search, and cursors: where in this order a page ended."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, DateTime, Enum, Float, Integer, String, and_, cast, false, or_

from diracx_tasks.core.conditions import LARGEST, Columns, column_of
from diracx_tasks.core.errors import BadRequest

Order = list[tuple[ColumnElement[Any], bool]]


def order_of(columns: Columns, sort: Sequence[Mapping[str, str]], key: str) -> Order:
    """The columns to sort by and whether downwards; `key` makes the order total."""
    found = [
        (
            column_of(columns, one["parameter"], "Cannot sort by {}: unknown column"),
            one["direction"] == "desc",
        )
        for one in sort
    ]
    named = [one["parameter"] for one in sort]
    return found[: named.index(key) + 1] if key in named else [*found, (columns[key], False)]


def sortable(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """What is sorted and compared alike: MySQL sorts an enumeration by place and compares it as text."""
    return cast(column, String(64)) if isinstance(column.type, Enum) else column


def cursor_of(place: str) -> str:
    """The cursor after a row with these values of the order's columns, a JSON array."""
    return base64.urlsafe_b64encode(place.encode()).decode()


def values_of(cursor: str, order: Order) -> list[Any]:
    """What the cursor holds; BadRequest when it is not one of this order."""
    try:
        found = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        if not isinstance(found, list) or len(found) != len(order):
            raise ValueError("another search's")
        return [_stored(value, column) for value, (column, _) in zip(found, order, strict=True)]
    except (ValueError, UnicodeError, TypeError, OverflowError) as error:
        raise BadRequest(f"this cursor is not one of this search: {error}") from error


def _stored(value: Any, column: ColumnElement[Any]) -> Any:
    if value is None:
        return None
    if isinstance(column.type, DateTime):
        return datetime.fromisoformat(value).replace(tzinfo=None)
    if isinstance(column.type, Integer | Float):
        number = float(value) if isinstance(column.type, Float) else int(value)
        if not -LARGEST < number < LARGEST:
            raise ValueError(f"{number} is no number of a row")
        return number
    return str(value)


def beyond(order: Order, values: list[Any]) -> ColumnElement[bool]:
    """Rows after the one with these values: NULL comes first upwards and last downwards, as it is sorted."""
    found: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    for (column, is_descending), value in zip(order, values, strict=True):
        found.append(and_(*[*same, _after(column, value, is_descending)]))
        same.append(column.is_(None) if value is None else column == value)
    return or_(*found)


def _after(column: ColumnElement[Any], value: Any, is_descending: bool) -> ColumnElement[bool]:
    if value is None:
        return false() if is_descending else column.is_not(None)
    further: ColumnElement[bool] = column < value if is_descending else column > value
    is_last = is_descending and getattr(column, "nullable", True)
    return or_(further, column.is_(None)) if is_last else further
