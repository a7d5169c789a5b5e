"""`diracx sites`: small jobs that say whether queues work."""

import time
from typing import Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.output import Column, Row, output_option

PERIOD = 2.0
TESTS = (
    Column("Site", lambda row: row["site"]),
    Column("CE", lambda row: row["ce"]),
    Column("Queue", lambda row: row["queue"]),
    Column("Job", lambda row: row["job_id"], is_number=True),
    Column("Test", lambda row: row["status"] or "never"),
    Column("Ended", lambda row: row["ended_at"] or ""),
    Column("Reason", lambda row: row["reason"]),
)
Names = tuple[str, str, str]


@click.group()
def sites() -> None:
    """See whether the queues of sites work."""


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


def _rows(client: Any, chosen: set[Names]) -> list[Row]:
    return [row for row in client.get("/api/sites/tests") if _names(row) in chosen]


def _names(row: Row) -> Names:
    return row["site"], row["ce"], row["queue"]


def _show(rows: list[Row], form: str) -> None:
    if rows:
        output.show_rows(rows, form, key="job_id", columns=TESTS)
    else:
        output.show_nothing("there are no queues in the configuration", form)
