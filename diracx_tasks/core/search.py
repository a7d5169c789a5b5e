"""DiracX's search over the columns of a table: pages by number or by cursor, and counts."""

import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Dialect, column, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from diracx_tasks.core.conditions import Columns, conditions
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.order import Order, beyond, cursor_of, order_of, sortable, values_of
from diracx_tasks.core.remembered import remembered
from diracx_tasks.core.rows import as_text, json_array, json_object

# Counting up to here costs a few milliseconds: it is done each time.
CHEAP = 10_000
# Threads that all take rows apart wait for each other row by row: two at a time answer more. Who has waited
# for so long goes on all the same: a slow search holds nobody up.
_TURNS = threading.BoundedSemaphore(2)
TURN_SECONDS = 0.25
# A summary of more groups is a list of rows: that is what a search is for.
MOST_GROUPS = 10_000
# MariaDB and MySQL: the pattern is no regular expression to them, or takes too long.
ER_REGEXP_ERROR = 1139
REGEX_ERRORS = range(3685, 3700)


@dataclass(frozen=True)
class Listing:
    """Rows that somebody may search: columns in the table's order, the one that is unique, and which rows.

    `scope` says in words whose rows `where` leaves over; counts of many rows are remembered under it.
    """

    columns: Columns
    key: str
    where: Sequence[ColumnElement[bool]]
    scope: str


@dataclass(frozen=True)
class Query:
    """What is searched; `conditions` and `sort` as the API has them.

    A cursor goes on after an earlier page. `beside` names columns that the caller needs itself. The total
    is found when `is_counted` only: among many rows it is dearer than the page.
    """

    parameters: Collection[str] | None = None
    conditions: Sequence[Mapping[str, Any]] = ()
    sort: Sequence[Mapping[str, str]] = ()
    page: int = 1
    per_page: int = 100
    distinct: bool = False
    cursor: str | None = None
    beside: Sequence[str] = ()
    is_counted: bool = True


@dataclass(frozen=True)
class Page:
    """One page: rows as JSON texts, the columns `beside`; `total` may be None when it was not asked for."""

    rows: list[str]
    beside: list[Sequence[Any]]
    total: int | None
    first: int
    next_cursor: str | None


def chosen(columns: Columns, parameters: Collection[str] | None) -> Columns:
    """The columns that are asked for, in the table's order; all when none is named."""
    if unknown := set(parameters or ()) - columns.keys():
        raise BadRequest(f"Unrecognised parameters requested {unknown}")
    return {name: column for name, column in columns.items() if not parameters or name in parameters}


def page_of(db: Session, listing: Listing, query: Query) -> Page:
    """One page: columns in the table's order, rows in the order that is asked for, then by the key."""
    wanted = chosen(listing.columns, query.parameters)
    order = order_of(listing.columns, query.sort, listing.key)
    if query.distinct:
        order = _distinct(order, wanted)
    order = [(sortable(column), is_descending) for column, is_descending in order]
    fitting = [*listing.where, *conditions(listing.columns, query.conditions)]
    statement = (
        select(
            _shown(db, listing.columns, tuple(wanted)).label("row"),
            json_array([one for one, _ in order]).label("place"),
            *(listing.columns[name] for name in query.beside),
        )
        .select_from(listing.columns[listing.key].table)
        .where(*fitting)
    )
    if query.distinct:
        statement = statement.distinct()
    if query.cursor is not None:
        statement = statement.where(beyond(order, values_of(query.cursor, order)))
    first = 0 if query.cursor is not None else (query.page - 1) * query.per_page
    sorting = (one.desc() if is_descending else one.asc() for one, is_descending in order)
    found = _rows(db, statement.order_by(*sorting).offset(first).limit(query.per_page + 1))
    rows, is_last = found[: query.per_page], len(found) <= query.per_page
    total = first + len(rows) if is_last and (rows or not first) else None
    if total is None and query.cursor is None and query.is_counted:
        total = _total(db, listing, wanted, fitting, query)
    following = None if is_last else cursor_of(rows[-1].place)
    return Page([row.row for row in rows], [row[2:] for row in rows], total, first, following)


def summary(
    db: Session, listing: Listing, grouping: Collection[str], stated: Sequence[Mapping[str, Any]]
) -> list[str]:
    """How many rows there are of each combination of the columns in `grouping`, as JSON texts."""
    wanted = chosen(listing.columns, grouping)
    count = func.count()
    statement = (
        select(json_object({**wanted, "count": count}), count)
        .where(*listing.where, *conditions(listing.columns, stated))
        .group_by(*wanted.values())
    )
    found = remembered(
        (_place(db), listing.scope, "summary", _fingerprint(grouping, stated)),
        lambda: _rows(db, statement.limit(MOST_GROUPS + 1)),
        is_dear=lambda rows: sum(row[1] for row in rows) > CHEAP,
    )
    if len(found) > MOST_GROUPS:
        raise BadRequest(f"there are more than {MOST_GROUPS} combinations of {', '.join(wanted)}")
    return [row[0] for row in found]


def _shown(db: Session, columns: Columns, names: tuple[str, ...]) -> ColumnElement[str]:
    """A row as JSON: made once for each choice of columns, which most searches share."""
    kinds = tuple(columns[name].type for name in names)
    return _row_text(db.get_bind().dialect, names, kinds)


@lru_cache(1000)
def _row_text(
    dialect: Dialect, names: tuple[str, ...], kinds: tuple[TypeEngine[Any], ...]
) -> ColumnElement[str]:
    plain = {name: column(name, kind) for name, kind in zip(names, kinds, strict=True)}
    return as_text(json_object(plain), dialect)


def _distinct(order: Order, wanted: Columns) -> Order:
    """The order by what is shown only: rows that look the same are one."""
    shown = list(wanted.values())
    # The key is there to tell rows apart, which is not wanted here unless it is shown.
    by = [(found, down) for found, down in order if any(found is one for one in shown)]
    rest = [(found, False) for found in shown if all(found is not one for one, _ in by)]
    return [*by, *rest]


def _total(
    db: Session, listing: Listing, wanted: Columns, fitting: list[ColumnElement[bool]], query: Query
) -> int:
    shown = select(*wanted.values()).where(*fitting).distinct().subquery()
    whole = select(func.count(listing.columns[listing.key])).where(*fitting)
    statement = select(func.count()).select_from(shown) if query.distinct else whole
    names = wanted if query.distinct else ()
    total: int = remembered(
        (
            _place(db),
            listing.scope,
            "total",
            _fingerprint(names, query.conditions),
        ),
        lambda: _rows(db, statement)[0][0],
        is_dear=lambda found: found > CHEAP,
    )
    return total


def _place(db: Session) -> Hashable:
    """The database, for answers that are remembered."""
    return db.get_bind().engine.url


def _fingerprint(names: Collection[str], stated: Sequence[Mapping[str, Any]]) -> bytes:
    return orjson.dumps([sorted(names), [dict(one) for one in stated]])


def _rows(db: Session, statement: Any) -> Sequence[Any]:
    is_my_turn = _TURNS.acquire(timeout=TURN_SECONDS)
    try:
        return db.execute(statement).all()
    except DBAPIError as error:
        words = error.orig.args if error.orig else ()
        if words and (words[0] == ER_REGEXP_ERROR or words[0] in REGEX_ERRORS):
            raise BadRequest(f"Invalid regex: {words[-1]}") from error
        raise
    finally:
        if is_my_turn:
            _TURNS.release()
