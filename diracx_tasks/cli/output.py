"""What commands put out: tables, JSON or ids in the same words and colours."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from diracx_tasks.cli.complaints import headline, one_line
from diracx_tasks.cli.tables import FAINT, Column, Row, fitted
from diracx_tasks.core import words
from diracx_tasks.core.errors import ApiError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from diracx_tasks.core.client import Client

F = TypeVar("F", bound=Callable[..., Any])
TABLE, JSON, ID = "table", "json", "id"
# Terminal style and web colour of what a person sees of a workflow, step or job: the same seven everywhere.
STATES = {
    "Received": ("cyan", "#607d8b"),
    "Waiting": ("yellow", "#ffb300"),
    "Running": ("bright_blue", "#1976d2"),
    "Done": ("green", "#4caf50"),
    "Skipped": ("bright_black", "#9e9e9e"),
    "Failed": ("red", "#f44336"),
    "Killed": ("magenta", "#b71c1c"),
}
# DIRAC has more words; each looks like one of the seven.
LOOKS = {"Submitting": "Received", "Checking": "Received", "Scouting": "Received", "Staging": "Waiting"}
LOOKS |= {"Rescheduled": "Waiting", "Matched": "Running", "Stalled": "Running", "Completing": "Running"}
LOOKS |= {"Not run": "Skipped", "Completed": "Done", "Killing": "Killed", "Deleted": "Killed"}
# So have pilots, tasks, schedules, breakers and checks.
LOOKS |= {"Submitted": "Received", "Aborted": "Failed", "Backing off": "Waiting", "Dead": "Failed"}
LOOKS |= {"Revoked": "Killed", "Paused": "Waiting", "DryRun": "Waiting", "On": "Done"}
LOOKS |= {"open": "Failed", "half-open": "Waiting", "closed": "Done", "ok": "Done", "WRONG": "Failed"}
# In a pipe and in a file there is room for everything.
ENDLESS = 100_000


def output_option(command: F) -> F:
    """Add `-o/--output`: a table on a terminal, JSON in a pipe, or what DIRACX_OUTPUT says."""
    option = click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([TABLE, JSON, ID], case_sensitive=False),
        envvar="DIRACX_OUTPUT",
        callback=lambda _ctx, _option, value: value or (TABLE if sys.stdout.isatty() else JSON),
        help="How to print.  [default: table on a terminal, json in a pipe]",
    )
    return option(command)


def connect() -> "Client":
    """A client for the server of the environment."""
    from diracx_tasks.core.client import Client

    return Client.from_environment(retries=3)


def console(*, stderr: bool = False) -> "Console":
    """Where tables go; nothing in a text is taken for markup."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = ENDLESS
    return made


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2))


def show_rows(
    rows: Sequence[Row],
    form: str,
    *,
    key: str,
    columns: Iterable[Column],
    empty: str | Callable[[], str],
    more: str = "",
) -> None:
    """Print rows as a table with the remark `more` below it, as a JSON list, or the ids under `key`.

    Without rows it is said why: `empty`.
    """
    if not rows:
        show_nothing(empty if isinstance(empty, str) else empty(), form)
    elif form == JSON:
        show_json(rows)
    elif form == ID:
        for row in rows:
            click.echo(row[key])
    else:
        show_table(rows, columns, more)


def show_table(rows: Iterable[Row], columns: Iterable[Column], more: str = "") -> None:
    """Print rows as a table that fits, and a remark below it."""
    out = console()
    out.print(drawn(rows, columns, out.width, more))


def drawn(rows: Iterable[Row], columns: Iterable[Column], width: int, more: str = "") -> "RenderableType":
    """Rows as a table within a width, with what is left out of it and a remark below."""
    from rich.console import Group
    from rich.text import Text

    found = fitted(rows, columns, width)
    words = f"No room here for {', '.join(found.left_out)}." if found.left_out else ""
    return Group(found.drawn, *(Text(line, style=FAINT) for line in (words, more) if line))


def show_one(thing: Row, form: str, *, key: str) -> None:
    """Print one thing as JSON, or its id."""
    if form == ID:
        click.echo(thing[key])
    else:
        show_json(thing)


def show_nothing(words: str, form: str) -> None:
    """Say why a list is empty; not on stdout when a program reads that."""
    if form == JSON:
        show_json([])
    click.echo(words, err=form != TABLE)


def state(word: str) -> "Text":
    """A state in its colour."""
    from rich.text import Text

    return Text(one_line(word), style=STATES.get(LOOKS.get(word, word), ("", ""))[0])


def moment(iso: str | None) -> datetime | None:
    """A time of the API; those without a zone are UTC."""
    if not iso:
        return None
    found = datetime.fromisoformat(iso)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def ago(iso: str | None) -> str:
    """About how long ago something was; empty for None."""
    at = moment(iso)
    if at is None:
        return ""
    return words.ago((datetime.now(UTC) - at).total_seconds())


def time_of(iso: str | None, *, parts: str = "seconds") -> str:
    """A time in UTC as tables have it; empty for None."""
    at = moment(iso)
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", parts) if at else ""


def ago_and_time(iso: str | None) -> str:
    """About how long ago something was, and when; empty for None."""
    return f"{ago(iso)} ({time_of(iso)} UTC)" if iso else ""


def took(start: str | None, end: str | None) -> str:
    """The time between two times, or until now; empty before the start."""
    first = moment(start)
    return words.span(((moment(end) or datetime.now(UTC)) - first).total_seconds()) if first else ""


def agree(question: str, *, yes: bool) -> None:
    """Return if the user agrees, has agreed, or is no person at a terminal; exit with 1 otherwise."""
    if not yes and sys.stdin.isatty() and not click.confirm(question, err=True):
        raise click.exceptions.Exit(1)


def must_agree(question: str, *, yes: bool) -> None:
    """As `agree`, but a script must have said yes: a search may find more than its writer thought."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can be asked here: say --yes, or --dry-run to count only")
    agree(question, yes=yes)


def for_each(ids: Iterable[int], act: Callable[[int], None]) -> None:
    """Do something for each; one that fails does not stop the others, and makes the exit code."""
    code = 0
    for one in ids:
        try:
            act(one)
        except ApiError as error:
            click.echo(f"diracx: {headline(error)}", err=True)
            code = error.exit_code
    if code:
        raise click.exceptions.Exit(code)
