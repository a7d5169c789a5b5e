"""`diracx tasks schedule`: what is due when; pause, resume, run now, other times."""

import json

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.known_tasks import known_entries
from diracx_tasks.cli.lists import Page, show_list, watch_option
from diracx_tasks.cli.operators import changing, last_line, prepare, reading, took, until
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Column, Row


def _when(row: Row) -> str:
    return str(row["timing"]) if row["origin"] == "code" else f"{row['timing']} ({row['origin']})"


def _says(row: Row) -> str:
    words = last_line(row["words"])
    return words if row["outcome"] in (None, "Done", "DryRun") else f"{row['outcome']}: {words}"


COLUMNS = (
    Column("Name", lambda row: row["name"]),
    Column("When", _when, goes=3),
    Column("State", lambda row: output.state(row["state"])),
    Column("Last", lambda row: output.ago(row["last"]) or "never", goes=2),
    Column("Took", lambda row: took(row["seconds"]), is_number=True, goes=1),
    Column("Next", lambda row: "" if row["state"] == "Paused" else until(row["next"])),
    Column("Says", _says, is_cut=True, goes=4),
)
NOT_MADE = "nothing: the schedule is made by `celery -A diracx_tasks beat`; does it run?"
NEXT = (Column("Time (UTC)", lambda row: output.time_of(row["at"])),)


@click.group(cls=Group, invoke_without_command=True)
@watch_option
@output_option
@click.pass_context
def schedule(ctx: click.Context, is_watched: bool, form: str) -> None:
    """What is due when, when it last ran and how that went; without a command: the list."""
    if ctx.invoked_subcommand:
        return

    def ask() -> Page:
        with reading() as db:
            from diracx_tasks.engine import overview

            return Page(overview.schedule(db))

    show_list(ask, form, key="name", columns=COLUMNS, empty=NOT_MADE, is_watched=is_watched)


@schedule.command()
@click.argument("name", shell_complete=known_entries)
def pause(name: str) -> None:
    """Do not run an entry until it is resumed."""
    _set_state(name, "Paused")


@schedule.command()
@click.argument("name", shell_complete=known_entries)
def resume(name: str) -> None:
    """Run an entry at its times again."""
    _set_state(name, "On")


@schedule.command("dry-run")
@click.argument("name", shell_complete=known_entries)
def dry_run(name: str) -> None:
    """Only note at its times what would be enqueued."""
    _set_state(name, "DryRun")


@schedule.command()
@click.argument("name", shell_complete=known_entries)
@click.option("--dry-run", is_flag=True, help="Only say what would be enqueued.")
def run(name: str, dry_run: bool) -> None:
    """Run an entry now; its next time stays."""
    with changing() as db:
        from diracx_tasks.engine import schedules

        found = schedules.find(db, name)
        if not dry_run:
            schedules.run_now(db, name)
        words = f"{found.task} {json.dumps(found.arguments)}" if found.arguments else found.task
    click.echo(f"would enqueue {words}" if dry_run else f"{words} is enqueued under the key {name}")


@schedule.command("set")
@click.argument("name", shell_complete=known_entries)
@click.option("--every", type=click.FloatRange(0.5), help="Seconds between two times.")
@click.option("--cron", help="Minute, hour, day of month, month, day of week: '0 3 * * *'.")
@click.option("--rrule", help="A recurrence rule (RFC 5545): 'FREQ=HOURLY;BYMINUTE=5'.")
@click.option("--default", "is_default", is_flag=True, help="As code and configuration say.")
def set_timing(name: str, every: float | None, cron: str | None, rrule: str | None, is_default: bool) -> None:
    """Have an entry be due at other times, until --default."""
    given = [one for one in (every, cron, rrule) if one is not None]
    if len(given) + is_default != 1:
        raise click.UsageError("state exactly one of --every, --cron, --rrule and --default")
    prepare()
    from diracx_tasks.engine import schedules
    from diracx_tasks.engine.timing import Timing, timing_of

    timing = None if is_default else Timing(every, cron, rrule)
    with changing() as db:
        found = schedules.set_timing(db, name, timing)
        shown = timing_of(found.own_timing or found.timing)
    click.echo(f"{name} is due {shown}, next at {found.next_at:%Y-%m-%d %H:%M:%S} UTC")


@schedule.command("next")
@click.argument("name", shell_complete=known_entries)
@click.option("--count", default=5, type=click.IntRange(1, 1000), show_default=True)
@output_option
def next_times(name: str, count: int, form: str) -> None:
    """The next times of an entry, in UTC."""
    with reading() as db:
        from diracx_tasks.core.database import utc
        from diracx_tasks.engine import schedules

        rows = [{"at": utc(moment)} for moment in schedules.preview(schedules.find(db, name), count)]
    output.show_rows(rows, form, key="at", columns=NEXT, empty=f"{name} is never due")


def _set_state(name: str, state: str) -> None:
    with changing() as db:
        from diracx_tasks.engine import schedules

        schedules.set_state(db, name, state)
    click.echo(f"{name} is {state}")
