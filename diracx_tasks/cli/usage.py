"""`diracx usage`: what jobs have used, or how many were in which state, by place, person and kind."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Column, Row
from diracx_tasks.core.words import size_of_mb, span

# Words of the command line, and the API's.
DIMENSIONS = {
    "site": "site",
    "owner": "owner",
    "group": "group",
    "type": "job_type",
    "status": "status",
    "minor": "minor_status",
    "ce": "ce",
    "workflow": "workflow_id",
}
# What only attempts that have ended have, and what only jobs that are counted every five minutes have.
OF_ATTEMPTS, OF_STATES = ("ce", "workflow"), ("minor",)
MEASURES = {"cores": "core_seconds", "cpu": "cpu_seconds", "wall": "wall_seconds", "attempts": "attempts"}
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
AGO = re.compile(r"(\d{1,6})([mhdw])")


class Moment(click.ParamType[datetime]):
    """A time: `7d`, `12h`, `30m`, `2w` ago, or a date with or without a time, in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time; a usage error for what is none."""
        if isinstance(value, datetime):
            return value
        try:
            if found := AGO.fullmatch(value):
                return datetime.now(UTC) - timedelta(**{UNITS[found[2]]: int(found[1])})
            moment = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: write 7d, 12h, 2026-11-23 or 2026-11-23T10:00", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.command()
@click.option(
    "--by",
    "names",
    multiple=True,
    type=click.Choice(list(DIMENSIONS)),
    help="Group by this, or several; `ce` and `workflow` for at most 31 days, `minor` with --states.",
)
@click.option(
    "--states", "is_of_states", is_flag=True, help="How many jobs were in which state, every 5 minutes."
)
@click.option(
    "--since",
    type=Moment(),
    help="From then on: 7d, 12h, 2026-11-23.  [default: 7d, of states 1d, before --until]",
)
@click.option("--until", type=Moment(), help="Until then.  [default: now]")
@click.option("--each", type=click.Choice(["hour", "day"]), help="Rows for each hour or day.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write a plot to this SVG file."
)
@click.option("--show", type=click.Choice(list(MEASURES)), help="What is plotted.  [default: cores]")
@output_option
def usage(
    *,
    names: tuple[str, ...],
    is_of_states: bool,
    since: datetime | None,
    until: datetime | None,
    each: str | None,
    plot: Path | None,
    show: str | None,
    form: str,
) -> None:
    """Say what jobs have used that ended in a period, or how many were in which state."""
    if wrong := sorted({*names} & {*(OF_ATTEMPTS if is_of_states else OF_STATES)}):
        words = "nothing that --states tells" if is_of_states else "told with --states only"
        raise click.UsageError(f"--by {wrong[0]}: it is {words}")
    if is_of_states and each:
        raise click.UsageError(f"--each {each}: --states tells of every 5 minutes")
    if is_of_states and show:
        raise click.UsageError(f"--show {show}: --states tells of numbers of jobs")
    by = [DIMENSIONS[name] for name in dict.fromkeys(names)]
    since = since or (until or datetime.now(UTC)) - timedelta(days=1 if is_of_states else 7)
    query = {"by": by or None, "from": since.isoformat()} | ({"to": until.isoformat()} if until else {})
    if is_of_states:
        _show_states(query, by or ["status"], plot, form)
        return
    query["bucket"] = each
    if plot:
        _write_plot(plot, "/api/usage/plot", {**query, "measure": MEASURES[show or "cores"]})
        return
    rows = [_flat(row, by) for row in output.connect().get("/api/usage", **query)]
    columns = [*([WHEN[each]] if each else []), *map(_column, by), *NUMBERS]
    key, empty = by[0] if by else "attempts", "nothing has ended in this time"
    output.show_rows(rows, form, key=key, columns=columns, empty=empty)


def _show_states(query: Row, by: list[str], plot: Path | None, form: str) -> None:
    if plot:
        _write_plot(plot, "/api/usage/states/plot", query)
        return
    found = output.connect().get("/api/usage/states", **query)
    rows = [{"at": row["at"], **row["of"], "jobs": row["jobs"]} for row in found]
    columns = [WHEN["snapshot"], *map(_column, by), Column("Jobs", lambda row: row["jobs"], is_number=True)]
    output.show_rows(rows, form, key=by[0], columns=columns, empty="there is no snapshot of this time")


def _write_plot(path: Path, source: str, query: Row) -> None:
    with output.connect().stream(source, timeout=60, **query) as answer:
        drawn = answer.read()
    path.write_bytes(drawn)
    click.echo(f"{path} has the plot", err=True)


def _flat(row: Row, by: list[str]) -> Row:
    """A row with what it is of beside its numbers."""
    numbers = {name: value for name, value in row.items() if name not in ("at", "of")}
    return {"at": row["at"], **{name: row["of"].get(name) for name in by}, **numbers}


def _column(name: str) -> Column:
    title = next(word for word, field in DIMENSIONS.items() if field == name).capitalize()
    return Column(title if name != "ce" else "CE", lambda row: row[name])


def _share(row: Row) -> str:
    return "" if row["cpu_share"] is None else f"{100 * row['cpu_share']:.0f} %"


def _mb(amount: float | None) -> str:
    return "" if amount is None else size_of_mb(amount)


WHEN = {
    "snapshot": Column("Time", lambda row: row["at"][:16].replace("T", " ")),
    "hour": Column("Hour", lambda row: row["at"][:16].replace("T", " ")),
    "day": Column("Day", lambda row: row["at"][:10]),
}
NUMBERS = (
    Column("Attempts", lambda row: row["attempts"], is_number=True),
    Column("CPU", lambda row: span(row["cpu_seconds"]), is_number=True, goes=5),
    Column("Wall", lambda row: span(row["wall_seconds"]), is_number=True, goes=3),
    Column("Core time", lambda row: span(row["core_seconds"]), is_number=True),
    Column("CPU share", _share, is_number=True, goes=4),
    Column("Memory", lambda row: _mb(row["memory_mb"]), is_number=True, goes=2),
    Column("Disk", lambda row: _mb(row["disk_mb"]), is_number=True, goes=1),
)
