"""`diracx matching`: what waits, which nodes ask, what is limited or slowed; and reasons in words."""

from typing import Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.complaints import one_line
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.known import known_sites
from diracx_tasks.cli.lists import Page, show_list, watch_option
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Column, Row
from diracx_tasks.core.errors import ApiError
from diracx_tasks.core.words import ago, span

NO_SUCH_PAGE = 416


def _span(seconds: float | None) -> str:
    return "" if seconds is None else span(seconds)


def _jobs(row: Row) -> str:
    return str(row["jobs"]) if row["is_exact"] else f"about {row['jobs']}"


def _asked(row: Row) -> str:
    seconds = row["last_asked_seconds"]
    return "none in the last hour" if seconds is None else ago(seconds)


def _used(row: Row) -> str:
    if row["kind"] == "delay":
        burst = f", {row['burst']} at once after a while" if row["burst"] > 1 else ""
        return f"one every {row['seconds']:g} s{burst}"
    running = "not counted" if row["running"] is None else row["running"]
    return f"{running} of {row['most']}"


CLASSES = (
    Column("Class", lambda row: row["class_no"], is_number=True),
    Column("Jobs", _jobs, is_number=True),
    Column("Oldest", lambda row: _span(row["oldest_seconds"]), is_number=True),
    Column("Owner", lambda row: f"{row['owner']} ({row['group']})", goes=5),
    Column("Type", lambda row: row["job_type"], goes=1),
    Column("Priority", lambda row: row["priority"], is_number=True, goes=2),
    Column("Node asked", _asked, goes=3),
    Column("Asks for", lambda row: " or: ".join(row["asks"]), is_cut=True),
    Column("Held back by", lambda row: "; ".join(row["blocked"]), is_cut=True, goes=4),
)
NODES = (
    Column("Site", lambda row: row["site"]),
    Column("CE", lambda row: row["ce"], goes=1),
    Column("Asked", lambda row: ago(row["last_asked_seconds"]), goes=2),
    Column("Offers", lambda row: row["offers"], is_cut=True),
    Column("Banned", lambda row: row["banned"], is_cut=True),
)
LIMITS = (
    Column("Where", lambda row: row["scope"]),
    Column("Jobs of", lambda row: f"{row['attribute']} {row['value']}"),
    Column("Used", _used),
    Column("State", lambda row: "full" if row["is_full"] else ""),
)
SLOWED = (
    Column("Site", lambda row: row["site"]),
    Column("Node", lambda row: row["node"] or "all"),
    Column("A job every", lambda row: f"{row['seconds']:g} s", is_number=True),
    Column("Failed", lambda row: row["failed"], is_number=True),
    Column("Done", lambda row: row["done"], is_number=True),
)


@click.group(cls=Group)
def matching() -> None:
    """See what waits, which nodes ask for work, and what holds jobs back."""


def _page_options(command: Any) -> Any:
    size = click.option(
        "--limit", type=click.IntRange(1, 200), default=25, show_default=True, help="How many at most."
    )
    page = click.option("--page", type=click.IntRange(1), default=1, help="Go on with this page of so many.")
    return size(page(watch_option(output_option(command))))


@matching.command()
@_page_options
def classes(**how: Any) -> None:
    """What waits: jobs that ask for the same together, the most numerous first."""
    _show_page("/api/matching/classes", CLASSES, "class_no", empty="no job waits", **how)


@matching.command()
@_page_options
def nodes(**how: Any) -> None:
    """The kinds of nodes that asked for work within the last hour, the newest first."""
    empty = "no node has asked for work within the last hour"
    _show_page("/api/matching/nodes", NODES, "site", empty=empty, **how)


@matching.command()
@watch_option
@output_option
def limits(is_watched: bool, form: str) -> None:
    """Limits and delays of the configuration, and how far they are used up."""
    client = output.connect()

    def ask() -> Page:
        return Page(client.get("/api/matching/limits"))

    show_list(ask, form, key="scope", columns=LIMITS, empty="nothing is limited", is_watched=is_watched)


@matching.command()
@watch_option
@output_option
def health(is_watched: bool, form: str) -> None:
    """Sites and nodes on which jobs fail, and which get fewer of them for that."""
    client = output.connect()

    def ask() -> Page:
        return Page(client.get("/api/matching/health"), "Let one go: diracx matching release SITE [NODE]")

    empty = "no site and no node is slowed"
    show_list(ask, form, key="site", columns=SLOWED, empty=empty, is_watched=is_watched)


@matching.command()
@click.argument("site", shell_complete=known_sites)
@click.argument("node", default="")
def release(site: str, node: str) -> None:
    """Give a site, or one node of it, jobs as to any other again; for service administrators."""
    found = output.connect().post("/api/matching/health/release", {"site": site, "node": node})
    name = f"{site}/{node}" if node else site
    click.echo(f"{name} is released" if found["is_released"] else f"{name} was not slowed")


def show_why(found: Row) -> None:
    """Print why a job is where it is, and below that what to do."""
    click.echo(f"job {found['job_id']} is {found['status']}")
    for reason in found["reasons"]:
        click.echo(f"  {one_line(reason)}")
    if advice := found.get("advice"):
        click.echo("What to do:")
        for text in advice:
            click.echo(f"  {one_line(text)}")


def _show_page(
    path: str,
    columns: tuple[Column, ...],
    key: str,
    *,
    limit: int,
    page: int,
    is_watched: bool,
    form: str,
    empty: str,
) -> None:
    client = output.connect()

    def ask() -> Page:
        try:
            rows = client.get(path, page=page, per_page=limit)
        except ApiError as error:
            if error.status != NO_SUCH_PAGE:
                raise
            rows = []
        return Page(rows, f"There may be more: --page {page + 1}." if len(rows) == limit else "")

    words = empty if page == 1 else f"there is no page {page}"
    show_list(ask, form, key=key, columns=columns, empty=words, is_watched=is_watched)
