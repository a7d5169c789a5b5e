"""`diracx pilots kill` and `logs`: the end of pilots, and what they have written."""

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.known import known_pilots
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.pilot_search import COLUMNS, ENDED, chosen, filtered, found
from diracx_tasks.cli.progress import waiting
from diracx_tasks.cli.tables import Column, Row
from diracx_tasks.cli.where import Condition
from diracx_tasks.core.errors import ApiError

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

# So many in one request: what they hold is rescheduled in it.
AT_ONCE = 100
POLL = 1.0
KILLED = (
    Column("Stamp", lambda row: row["stamp"]),
    Column("Was", lambda row: output.state(row["was"])),
    Column("What", lambda row: row["words"], is_cut=True),
)


@click.command()
@click.argument("stamps", nargs=-1, shell_complete=known_pilots)
@filtered
@click.option("--dry-run", is_flag=True, help="Only show which.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option
def kill(
    stamps: tuple[str, ...],
    conditions: tuple[Condition, ...],
    dry_run: bool,
    yes: bool,
    form: str,
    **named: str | None,
) -> None:
    """End pilots that have not ended, by stamps or by conditions; for service administrators.

    What they hold goes to other pilots at once.
    """
    wanted = chosen(conditions, **named)
    if bool(stamps) == bool(wanted):
        raise click.UsageError("say which pilots: stamps, or --site, --ce, --queue, --status, --where")
    client = output.connect()
    if stamps and not dry_run:
        output.agree(f"Kill {_pilots(len(stamps))}?", yes=yes)
        _kill(client, list(dict.fromkeys(stamps)), form)
        return
    rows = _alive(client, stamps, wanted)
    if not rows or dry_run:
        _show_doomed(rows, form)
    else:
        output.must_agree(f"Kill {_pilots(len(rows))}?", yes=yes)
        _kill(client, [row["PilotStamp"] for row in rows], form)


@click.command()
@click.argument("stamp", shell_complete=known_pilots)
@click.option("--element", "is_elements", is_flag=True, help="What its computing element has of it.")
@click.option(
    "--wait", type=click.FloatRange(0), default=60, show_default=True, help="Seconds to wait for the element."
)
def logs(stamp: str, is_elements: bool, wait: float) -> None:
    """Print the log that a pilot has sent, or what its computing element has of it.

    For service administrators.
    """
    client = output.connect()
    text = None if is_elements else _sent(client, stamp)
    if text is not None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    if not is_elements:
        click.echo(f"diracx: pilot {stamp} has sent no log: its computing element is asked", err=True)
    answer = _given(client, stamp, wait)
    click.echo(answer["output"], nl=False)
    click.echo(answer["errors"], nl=False, err=True)
    if not answer["output"] and not answer["errors"]:
        click.echo("diracx: its computing element has nothing of it", err=True)


def _alive(client: "Client", stamps: tuple[str, ...], wanted: list[Condition]) -> list[Row]:
    alive = {"parameter": "Status", "operator": "not in", "values": list(ENDED)}
    named = [{"parameter": "PilotStamp", "operator": "in", "values": list(stamps)}] if stamps else []
    return list(found(client, [*wanted, *named, alive]))


def _show_doomed(rows: list[Row], form: str) -> None:
    words = f"{_pilots(len(rows))} would be killed"
    empty = "no such pilot that has not ended"
    output.show_rows(rows, form, key="PilotStamp", columns=COLUMNS, empty=empty, more=words)


def _kill(client: "Client", stamps: list[str], form: str) -> None:
    """End pilots, some in each request; what was done before a request that fails is shown as well."""
    rows: list[Row] = []
    try:
        with waiting(f"killing {_pilots(len(stamps))}") as now:
            for start in range(0, len(stamps), AT_ONCE):
                rows += client.post("/api/pilots/kill", {"stamps": stamps[start : start + AT_ONCE]})
                now(f"{len(rows)} of {_pilots(len(stamps))} killed", len(rows), len(stamps))
    finally:
        if rows:
            output.show_rows(rows, form, key="stamp", columns=KILLED, empty="")


def _pilots(count: int) -> str:
    return f"{count} pilot{'s' * (count != 1)}"


def _sent(client: "Client", stamp: str) -> str | None:
    """The log that a pilot has sent; None when it has sent none, or is not there."""
    try:
        with client.stream(f"/api/pilots/{quote(stamp, safe='')}/log", timeout=60) as answer:
            return answer.data.decode(errors="replace")
    except ApiError as error:
        if error.status != 404:
            raise
        return None


def _given(client: "Client", stamp: str, wait: float) -> Row:
    """What the element gives, once it has been asked by a worker."""
    path = f"/api/pilots/{quote(stamp, safe='')}/output"
    client.post(path)
    until = time.monotonic() + wait
    with waiting(f"the computing element of pilot {stamp} is asked"):
        while True:
            try:
                given: Row = client.get(path)
            except ApiError as error:
                if error.status != 404:
                    raise
            else:
                return given
            if time.monotonic() >= until:
                words = f"the computing element has not answered within {wait:g} s; it is still being asked"
                raise click.ClickException(words)
            time.sleep(min(POLL, max(0.05, until - time.monotonic())))
