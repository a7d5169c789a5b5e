"""`diracx sites`: how sites and their queues stand, bans, and small jobs that say whether queues work."""

import time
from typing import Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.output import Column, Row, output_option

PERIOD = 2.0


def _why(row: Row) -> str:
    """What keeps pilots from a queue, or its jobs from running."""
    breaker = row["breaker_reason"] if row["breaker"] != "closed" else ""
    return "; ".join(words for words in (row["barred"], breaker, row["test_reason"]) if words)


TESTS = (
    Column("Site", lambda row: row["site"]),
    Column("CE", lambda row: row["ce"]),
    Column("Queue", lambda row: row["queue"]),
    Column("Job", lambda row: row["job_id"], is_number=True),
    Column("Test", lambda row: row["status"] or "never"),
    Column("Ended", lambda row: row["ended_at"] or ""),
    Column("Reason", lambda row: row["reason"]),
)
QUEUES = (
    Column("Site", lambda row: row["site"]),
    Column("CE", lambda row: row["ce"]),
    Column("Queue", lambda row: row["queue"]),
    Column("Used", lambda row: "yes" if row["is_allowed"] else "no"),
    Column("Breaker", lambda row: row["breaker"]),
    Column("Waiting", lambda row: row["waiting"], is_number=True),
    Column("Running", lambda row: row["running"], is_number=True),
    Column("Test", lambda row: row["test"] or "never"),
    Column("Reason", _why),
)
Names = tuple[str, str, str]


@click.group()
def sites() -> None:
    """See sites and their queues, test them; ban and allow them."""


@sites.command("list")
@click.option("--site", default="", help="This site only.")
@output_option
def list_sites(site: str, form: str) -> None:
    """How the queues of sites stand: whether they are used, why not, pilots, last tests."""
    rows = [row for row in output.connect().get("/api/sites/") if site in ("", row["site"])]
    if not rows:
        output.show_nothing(f"there are no queues of {site or 'any site'} in the configuration", form)
    elif form != output.TABLE:
        output.show_rows(rows, form, key="queue", columns=QUEUES)
    else:
        output.show_table(rows, QUEUES)


@sites.command()
@click.argument("site", default="")
@click.option("--ce", default="", help="This computing element only.")
@click.option("--reason", required=True, help="Why.")
def ban(site: str, ce: str, reason: str) -> None:
    """Have a site not used by your VO: no pilots, no jobs; for service administrators.

    What runs there goes on.
    """
    _state("ban", site, ce, reason)


@sites.command()
@click.argument("site", default="")
@click.option("--ce", default="", help="This computing element only.")
@click.option("--reason", default="it works again", show_default=True, help="Why.")
def allow(site: str, ce: str, reason: str) -> None:
    """Have a site used again by your VO, its breakers closed; for service administrators."""
    _state("allow", site, ce, reason)


@sites.command()
@click.argument("site", default="")
@click.option("--ce", default="", help="This computing element only.")
@click.option("--queue", default="", help="This queue only.")
@click.option("--wait", is_flag=True, help="Wait for the ends; exit code 1 when a test fails.")
@output_option
def test(site: str, ce: str, queue: str, wait: bool, form: str) -> None:
    """Submit a small job to each queue of a site, or of all; for service administrators."""
    client = output.connect()
    asked = client.post("/api/sites/test", {"site": site, "ce": ce, "queue": queue})
    chosen = {_names(one) for one in asked}
    rows = _rows(client, chosen)
    while wait and any(row["status"] == "Running" for row in rows):
        time.sleep(PERIOD)
        rows = _rows(client, chosen)
    _show(rows, form)
    if any(row["status"] == "Failed" for row in rows):
        raise SystemExit(1)


@sites.command()
@output_option
def tests(form: str) -> None:
    """The last test of each queue."""
    _show(output.connect().get("/api/sites/tests"), form)


def _state(verb: str, site: str, ce: str, reason: str) -> None:
    if not site and not ce:
        raise click.UsageError(f"say which site to {verb}, or which --ce")
    found = output.connect().post(f"/api/sites/{verb}", {"site": site, "ce": ce, "reason": reason})
    queues = f"{found['closed']} queue{'s get' if found['closed'] > 1 else ' gets'} pilots again"
    closed = f"; {queues}" if found["closed"] else ""
    click.echo(f"{found['name']} is {found['status']}: {found['reason']}{closed}")


def _rows(client: Any, chosen: set[Names]) -> list[Row]:
    return [row for row in client.get("/api/sites/tests") if _names(row) in chosen]


def _names(row: Row) -> Names:
    return row["site"], row["ce"], row["queue"]


def _show(rows: list[Row], form: str) -> None:
    if rows:
        output.show_rows(rows, form, key="job_id", columns=TESTS)
    else:
        output.show_nothing("there are no queues in the configuration", form)
