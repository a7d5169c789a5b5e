"""What list commands share: pages of rows in the wanted form, once or again and again; why there are none."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.live import changes, live
from diracx_tasks.cli.newest import PAGE
from diracx_tasks.cli.tables import Column, Row

watch_option = click.option(
    "--watch", "is_watched", is_flag=True, help="Show it again and again, until Ctrl-C."
)


class Page(NamedTuple):
    """What a list shows: rows, a remark below them, and what JSON has instead of them, if not None."""

    rows: list[Row]
    more: str = ""
    whole: Any = None


def first(rows: Iterable[Row], limit: int | None) -> Page:
    """The first rows, with how to see more of them; all without a limit."""
    found = list(rows)
    if limit is None or len(found) <= limit:
        return Page(found)
    return Page(found[:limit], f"There are more: --limit {limit * 4}, or --all.")


def show_list(
    ask: Callable[[], Page],
    form: str,
    *,
    key: str,
    columns: Iterable[Column],
    empty: str | Callable[[], str],
    is_watched: bool = False,
) -> None:
    """Print what is asked for as a table, JSON or ids; if it is watched, again whenever it changes."""
    columns = tuple(columns)
    if not is_watched:
        page = ask()
        if form == output.JSON and page.whole is not None:
            output.show_json(page.whole)
        else:
            output.show_rows(page.rows, form, key=key, columns=columns, empty=empty, more=page.more)
    elif form == output.TABLE:
        live(ask, lambda page, width: _drawn(page, columns, width, empty))
    else:
        _show_changes(ask, form, key)


def why_none(
    what: str, filters: Mapping[str, Any], others: Callable[[], Iterable[Any]], *, otherwise: str
) -> str:
    """Why a list is empty: the filters that are stated, and how many there are without them."""
    given = [f"{name}={value}" if name else str(value) for name, value in filters.items() if value]
    if not given:
        return otherwise
    count = sum(1 for _ in others())
    many = f"{count} or more" if count == PAGE else str(count)
    return f"no {what} matches {' and '.join(given)}; {many} without this filter"


def _drawn(page: Page, columns: tuple[Column, ...], width: int, empty: str | Callable[[], str]) -> Any:
    if page.rows:
        return output.drawn(page.rows, columns, width, page.more)
    return empty if isinstance(empty, str) else empty()


def _show_changes(ask: Callable[[], Page], form: str, key: str) -> None:
    """A line of JSON, or the ids, whenever something has changed."""
    for page in changes(ask):
        if form == output.JSON:
            click.echo(json.dumps(page.rows if page.whole is None else page.whole))
        else:
            for row in page.rows:
                click.echo(row[key])
