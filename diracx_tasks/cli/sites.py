"""`diracx sites`: how sites and their queues stand, bans, and small jobs that say whether queues work."""

from typing import Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.known import known_ces, known_queues, known_sites
from diracx_tasks.cli.lists import Page, show_list, watch_option, why_none
from diracx_tasks.cli.live import answers
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.progress import waiting
from diracx_tasks.cli.tables import Column, Row

PERIOD = 2.0
NO_QUEUES = (
    "there are no queues in the configuration: what `diracx up` runs needs none, "
    "its pilots are this machine's; to send pilots elsewhere, state Resources.Sites as "
    "docs/where-pilots-are-sent.md shows"
)


def _why(row: Row) -> str:
    """What keeps pilots from a queue, or its jobs from running."""
    breaker = row["breaker_reason"] if row["breaker"] != "closed" else ""
    return "; ".join(words for words in (row["barred"], breaker, row["test_reason"]) if words)


TESTS = (
    Column("Site", lambda row: row["site"]),
    Column("CE", lambda row: row["ce"], goes=1),
    Column("Queue", lambda row: row["queue"]),
    Column("Job", lambda row: row["job_id"], is_number=True),
    Column("Test", lambda row: output.state(row["status"] or "never")),
    Column("Ended", lambda row: output.ago(row["ended_at"]), goes=2),
    Column("Reason", lambda row: row["reason"], is_cut=True, goes=3),
)
QUEUES = (
    Column("Site", lambda row: row["site"]),
    Column("CE", lambda row: row["ce"], goes=2),
    Column("Queue", lambda row: row["queue"]),
    Column("Used", lambda row: "yes" if row["is_allowed"] else "no"),
    Column("Breaker", lambda row: output.state(row["breaker"]), goes=1),
    Column("Waiting", lambda row: row["waiting"], is_number=True, goes=4),
    Column("Running", lambda row: row["running"], is_number=True, goes=5),
    Column("Test", lambda row: output.state(row["test"] or "never"), goes=3),
    Column("Reason", _why, is_cut=True, goes=6),
)
Names = tuple[str, str, str]


@click.group(cls=Group)
def sites() -> None:
    """See sites and their queues, test them; ban and allow them."""


@sites.command("list")
@click.option("--site", default="", help="This site only.", shell_complete=known_sites)
@watch_option
@output_option
def list_sites(site: str, is_watched: bool, form: str) -> None:
    """How the queues of sites stand: whether they are used, why not, pilots, last tests."""
    client = output.connect()

    def ask() -> Page:
        return Page([row for row in client.get("/api/sites/") if site in ("", row["site"])])

    def why_empty() -> str:
        return why_none("queue", {"site": site}, lambda: client.get("/api/sites/"), otherwise=NO_QUEUES)

    show_list(ask, form, key="queue", columns=QUEUES, empty=why_empty, is_watched=is_watched)


@sites.command()
@click.argument("site", default="", shell_complete=known_sites)
@click.option("--ce", default="", help="This computing element only.", shell_complete=known_ces)
@click.option("--reason", required=True, help="Why.")
def ban(site: str, ce: str, reason: str) -> None:
    """Have a site not used by your VO: no pilots, no jobs; for service administrators.

    What runs there goes on.
    """
    _state("ban", site, ce, reason)


@sites.command()
@click.argument("site", default="", shell_complete=known_sites)
@click.option("--ce", default="", help="This computing element only.", shell_complete=known_ces)
@click.option("--reason", default="it works again", show_default=True, help="Why.")
def allow(site: str, ce: str, reason: str) -> None:
    """Have a site used again by your VO, its breakers closed; for service administrators."""
    _state("allow", site, ce, reason)


@sites.command()
@click.argument("site", default="", shell_complete=known_sites)
@click.option("--ce", default="", help="This computing element only.", shell_complete=known_ces)
@click.option("--queue", default="", help="This queue only.", shell_complete=known_queues)
@click.option("--wait", is_flag=True, help="Wait for the ends; exit code 1 when a test fails.")
@output_option
def test(site: str, ce: str, queue: str, wait: bool, form: str) -> None:
    """Submit a small job to each queue of a site, or of all; for service administrators."""
    client = output.connect()
    asked = client.post("/api/sites/test", {"site": site, "ce": ce, "queue": queue})
    chosen = {_names(one) for one in asked}
    rows = _waited(client, chosen) if wait else _rows(client, chosen)
    output.show_rows(rows, form, key="job_id", columns=TESTS, empty=NO_QUEUES)
    if any(row["status"] == "Failed" for row in rows):
        raise SystemExit(1)


@sites.command()
@watch_option
@output_option
def tests(is_watched: bool, form: str) -> None:
    """The last test of each queue."""
    client = output.connect()

    def ask() -> Page:
        return Page(client.get("/api/sites/tests"))

    show_list(ask, form, key="job_id", columns=TESTS, empty=NO_QUEUES, is_watched=is_watched)


def _state(verb: str, site: str, ce: str, reason: str) -> None:
    if not site and not ce:
        raise click.UsageError(f"say which site to {verb}, or which --ce")
    found = output.connect().post(f"/api/sites/{verb}", {"site": site, "ce": ce, "reason": reason})
    queues = f"{found['closed']} queue{'s get' if found['closed'] > 1 else ' gets'} pilots again"
    closed = f"; {queues}" if found["closed"] else ""
    click.echo(f"{found['name']} is {found['status']}: {found['reason']}{closed}")


def _waited(client: Any, chosen: set[Names]) -> list[Row]:
    """The tests once all have ended."""

    def running(rows: list[Row]) -> int:
        return sum(row["status"] == "Running" for row in rows)

    with waiting("tests") as now:
        for rows, _ in answers(lambda: _rows(client, chosen), lambda rows: not running(rows), PERIOD):
            done = len(rows) - running(rows)
            now(f"{done} of {len(rows)} tests have ended", done, len(rows))
    return rows


def _rows(client: Any, chosen: set[Names]) -> list[Row]:
    return [row for row in client.get("/api/sites/tests") if _names(row) in chosen]


def _names(row: Row) -> Names:
    return row["site"], row["ce"], row["queue"]
