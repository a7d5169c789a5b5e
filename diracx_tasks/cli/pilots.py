"""`diracx pilots`: where pilots are sent."""

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.pilot_actions import kill, logs
from diracx_tasks.cli.pilot_file import pack
from diracx_tasks.cli.pilot_search import list_pilots, show
from diracx_tasks.cli.sites import NO_QUEUES
from diracx_tasks.cli.tables import Column

PLAN = (
    Column("Site", lambda row: row["site"]),
    Column("CE", lambda row: row["ce"], goes=2),
    Column("Queue", lambda row: row["queue"]),
    Column("New", lambda row: row["new"], is_number=True),
    Column("Waiting", lambda row: row["waiting"], is_number=True),
    Column("Running", lambda row: row["running"], is_number=True),
    Column("Wait", lambda row: f"{row['wait_seconds']:.0f} s", is_number=True, goes=1),
    Column("Held back by", lambda row: row["words"], is_cut=True),
)


@click.group(cls=Group)
def pilots() -> None:
    """See pilots, their logs, and where they are sent; kill them."""


for one in (list_pilots, show, logs, kill):
    pilots.add_command(one)


@pilots.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done now.")
@output_option
def plan(dry_run: bool, form: str) -> None:
    """Send pilots for the jobs that wait now, as is done every minute anyway; for service administrators."""
    found = output.connect().post("/api/pilots/plan", {"dry_run": dry_run})
    output.show_rows(found["queues"], form, key="queue", columns=PLAN, empty=NO_QUEUES)
    if found["queues"] and form == output.TABLE:
        verb = "would be sent" if dry_run else "are being sent"
        words = f"{found['new']} pilots {verb} for {found['jobs']} waiting jobs"
        lost = f"; {found['homeless']} of the jobs fit no queue" if found["homeless"] else ""
        click.echo(words + lost, err=True)


pilots.add_command(pack)
