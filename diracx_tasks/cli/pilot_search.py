"""Which pilots are meant: by stamps or by conditions; `diracx pilots list` and `show`."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.known import (
    known_ces,
    known_pilot_statuses,
    known_pilots,
    known_queues,
    known_sites,
)
from diracx_tasks.cli.lists import Page, show_list, watch_option, why_none
from diracx_tasks.cli.newest import PAGE, newest
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Column, Row, facts
from diracx_tasks.cli.where import HELP, PILOT_NAMES, Condition, Where, words_of

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

NAMES = {"site": "GridSite", "ce": "DestinationSite", "queue": "Queue", "status": "Status"}
ENDED = ("Done", "Failed", "Aborted", "Deleted")
COLUMNS = (
    Column("Stamp", lambda row: row["PilotStamp"]),
    Column("Status", lambda row: output.state(row["Status"])),
    Column("Site", lambda row: row["GridSite"]),
    Column("CE", lambda row: row["DestinationSite"], goes=2),
    Column("Queue", lambda row: row["Queue"], goes=1),
    Column("Job", lambda row: row.get("CurrentJobID") or "", is_number=True),
    Column("Heard of", lambda row: output.ago(row["LastUpdateTime"]), goes=3),
    Column("Reason", lambda row: _reason(row["StatusReason"]), is_cut=True, goes=4),
)
JOBS = (
    Column("Job", lambda row: row["job_id"], is_number=True),
    Column("Attempt", lambda row: row["attempt"], is_number=True),
    Column("Status", lambda row: output.state(row["status"])),
    Column("Began", lambda row: output.ago(row["started_at"])),
    Column("Took", lambda row: output.took(row["started_at"], row["ended_at"])),
    Column("Reason", lambda row: row["reason"], is_cut=True),
)
EVENTS = (
    Column("Time (UTC)", lambda row: output.time_of(row["at"])),
    Column("What", lambda row: row["words"], is_cut=True),
)
FACTS = {"reference": "Reference", "site": "Site", "ce": "CE", "queue": "Queue", "kind": "Kind"}


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which pilots are meant; `chosen` makes conditions of them."""
    where = Where(PILOT_NAMES, "pilot")
    status = "Only pilots in this status, e.g. Running."
    for add in (
        click.option("--where", "conditions", type=where, multiple=True, help=f"Pilots {HELP}"),
        click.option("--status", help=status, shell_complete=known_pilot_statuses),
        click.option("--queue", help="Only pilots of this queue.", shell_complete=known_queues),
        click.option("--ce", help="Only pilots of this computing element.", shell_complete=known_ces),
        click.option("--site", help="Only pilots at this site.", shell_complete=known_sites),
    ):
        command = add(command)
    return command


def chosen(conditions: tuple[Condition, ...], **named: str | None) -> list[Condition]:
    """The conditions that the options of `filtered` state."""
    given = {name: value for name, value in named.items() if value}
    if "status" in given:
        given["status"] = given["status"].capitalize()
    mine = [{"parameter": NAMES[name], "operator": "eq", "value": value} for name, value in given.items()]
    return [*mine, *conditions]


def found(client: "Client", conditions: list[Condition], most: int | None = None) -> Iterator[Row]:
    """Up to `most` pilots, the newest first."""
    return newest(client, "/api/pilots/search", "PilotID", conditions, most)


@click.command("list")
@filtered
@click.option("--all", "is_all", is_flag=True, help="Those that have ended as well.")
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True, help="How many at most.")
@watch_option
@output_option
def list_pilots(
    *,
    conditions: tuple[Condition, ...],
    is_all: bool,
    limit: int,
    is_watched: bool,
    form: str,
    **named: str | None,
) -> None:
    """List pilots that have not ended, the newest first."""
    wanted = chosen(conditions, **named)
    is_open = not is_all and not any(one["parameter"] == "Status" for one in wanted)
    alive = [{"parameter": "Status", "operator": "not in", "values": list(ENDED)}] if is_open else []
    client = output.connect()

    def ask() -> Page:
        rows = list(found(client, [*wanted, *alive], limit + 1))
        return Page(rows[:limit], f"There are more: --limit {limit * 4}." if len(rows) > limit else "")

    def why_empty() -> str:
        what = "pilot that has not ended" if is_open else "pilot"
        none = "no pilots that have not ended: --all shows the others" if is_open else "no pilots"
        filters = {**named, "": words_of(conditions)}
        return why_none(what, filters, lambda: found(client, alive, PAGE), otherwise=none)

    show_list(ask, form, key="PilotStamp", columns=COLUMNS, empty=why_empty, is_watched=is_watched)


@click.command()
@click.argument("stamp", shell_complete=known_pilots)
@output_option
def show(stamp: str, form: str) -> None:
    """Show a pilot: its queue, its jobs, what happened to it."""
    row = output.connect().get(f"/api/pilots/{quote(stamp, safe='')}/history")
    if form != output.TABLE:
        output.show_one(row, form, key="stamp")
        return
    out = output.console()
    out.print(facts(_facts(row)))
    for title, rows, columns in (("Jobs", row["jobs"], JOBS), ("History", row["events"], EVENTS)):
        if rows:
            out.print(f"\n{title}", style="bold")
            output.show_table(rows, columns)


def _facts(row: Row) -> Iterator[tuple[str, Any]]:
    yield "Status", output.state(row["status"])
    yield "Reason", row["reason"]
    for name, title in FACTS.items():
        yield title, row[name]
    yield "Power", f"{row['benchmark']:.3g} DB12" if row["benchmark"] else None
    yield "Heard of", output.ago(row["updated_at"])
    yield "Has now", ", ".join(f"job {one['job_id']}" for one in row["jobs"] if one["is_held"])
    yield "Had", f"{len(row['job_ids'])} job{'s' * (len(row['job_ids']) != 1)}"
    yield "To be killed", f"{row['ce']} has not heard it yet" if row["is_to_be_killed"] else None


def _reason(words: str) -> str:
    return "" if words == "Unknown" else words
