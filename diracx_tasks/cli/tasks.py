"""`diracx tasks`: what operators see and Flower forgets. Reads database and broker directly."""

import json
import traceback
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.known_tasks import known_keys, known_tasks
from diracx_tasks.cli.lists import Page, show_list, watch_option, why_none
from diracx_tasks.cli.newest import PAGE
from diracx_tasks.cli.operators import (
    changing,
    last_line,
    me,
    prepare,
    reading,
    show_failure,
    took,
    until,
)
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.queues import dead, limits, locks, queues, workers
from diracx_tasks.cli.schedule import schedule
from diracx_tasks.cli.tables import Column, Row, facts

if TYPE_CHECKING:
    from diracx_tasks.engine.declared import Declared

STATES = ("Waiting", "Backing off", "Done", "Failed", "Dead", "Revoked")
# So many tracebacks are shown of one key.
TRACEBACKS = 10


def _says(row: Row) -> str:
    return f"due {until(row['due'])}" if row["due"] else last_line(row["words"])


def _wants(row: Row) -> str:
    own = (f"task:{row['task']}", f"task:{row['task']}@{{vo}}")
    return ", ".join(["one at a time" if one in own else one for one in row["locks"]] + row["limits"])


RUN = (
    Column("State", lambda row: output.state(row["state"])),
    Column("Try", lambda row: row["try"], is_number=True, goes=1),
    Column("When", lambda row: output.ago(row["at"]), goes=4),
    Column("Took", lambda row: took(row["seconds"]), is_number=True, goes=2),
)
KEY = (Column("Key", lambda row: row["key"]), Column("Task", lambda row: row["task"], goes=3))
SAYS = Column("Says", _says, is_cut=True, goes=5)
LISTED = (*KEY, *RUN, SAYS)
RUNS = (*RUN, Column("Worker", lambda row: row["worker"], goes=3), SAYS)
REGISTERED = (
    Column("Task", lambda row: row["task"]),
    Column("Queue", lambda row: row["queue"]),
    Column("When", lambda row: (row["timing"] or "") if row["enabled"] else "disabled"),
    Column("Seconds", lambda row: f"{row['timeout']:g}", is_number=True, goes=2),
    Column("MiB", lambda row: row["memory"], is_number=True, goes=1),
    Column("Tries", lambda row: row["tries"], is_number=True, goes=3),
    Column("Wants", _wants, is_cut=True, goes=4),
)


@click.group(cls=Group)
def tasks() -> None:
    """What Celery's tasks are, what waits, what ran, what is due, what died."""


@tasks.command("list")
@click.option(
    "--state",
    type=click.Choice(STATES, case_sensitive=False),
    help="Those that back off wait as well; Failed ones were tried again.",
)
@click.option("--task", help="Only this task, such as workflows.advance.", shell_complete=known_tasks)
@click.option("--subject", help="Only what is about this, such as workflow-42 or job-17.")
@click.option("--before", type=click.IntRange(1), help="Only runs with lower numbers (run_id).")
@click.option("--limit", default=50, type=click.IntRange(1, 10000), show_default=True)
@watch_option
@output_option
def list_tasks(form: str, limit: int, is_watched: bool, **wanted: Any) -> None:
    """Tasks that wait or run, the oldest first, then runs that have ended, the newest first."""

    def why_empty() -> str:
        return why_none("task", wanted, lambda: _page(PAGE), otherwise="no task waits, runs or has run")

    def ask() -> Page:
        found = _page(limit, **wanted)
        # Processes write their runs some seconds late, each at its time.
        ended = sorted((row for row in found if row["run_id"]), key=lambda row: row["at"], reverse=True)
        oldest = min((row["run_id"] for row in ended), default=0)
        # Only what has ended has pages.
        how = f"--before {oldest}" if ended else "state a larger --limit, or a --task"
        more = f"There may be more: {how}" if len(found) == limit else ""
        return Page([row for row in found if not row["run_id"]] + ended, more)

    show_list(ask, form, key="key", columns=LISTED, empty=why_empty, is_watched=is_watched)


def _page(limit: int, **wanted: Any) -> list[Row]:
    with reading() as db:
        from diracx_tasks.engine import overview

        return overview.page(db, limit=limit, **wanted)


@tasks.command()
@output_option
def registered(form: str) -> None:
    """All tasks with what they declare and the configuration says."""
    prepare()
    from diracx_tasks.engine import overview

    output.show_rows(
        overview.registered(), form, key="task", columns=REGISTERED, empty="no tasks are registered"
    )


@tasks.command("show")
@click.argument("key", shell_complete=known_keys)
@output_option
def show_task(key: str, form: str) -> None:
    """Everything under a key: arguments, tries with their errors, parent and children, dead letters."""
    with reading() as db:
        from diracx_tasks.engine import overview

        found = overview.describe(db, key)
    if form != output.TABLE:
        output.show_one(found, form, key="key")
        return
    output.console().print(facts(_facts(found)))
    if rows := [*([found["waiting"]] if found["waiting"] else []), *found["runs"]]:
        click.echo()
        output.show_table(rows, RUNS)
    failed = [run for run in found["runs"] if run["state"] != "Done"]
    for run in reversed(failed[:TRACEBACKS]):
        show_failure(run["try"], run["at"], run["worker"], run["words"])
    if len(failed) > TRACEBACKS:
        click.echo(f"\nthe newest {TRACEBACKS} of {len(failed)} tries that failed; -o json has all", err=True)


def _facts(found: Row) -> list[tuple[str, Any]]:
    letters = [
        f"{one['letter_id']} is {one['state']}: see `diracx tasks dead show {one['letter_id']}`"
        for one in found["dead"][:3]
    ]
    return [
        ("Key", found["key"]),
        ("Task", found["task"]),
        ("About", found["about"]),
        ("Arguments", json.dumps(found["arguments"])),
        ("Subject", found["subject"]),
        ("Asked by", found["enqueued_by"]),
        ("Parent", found["parent"]),
        ("Children", ", ".join(found["children"])),
        *(("Dead letter", letter) for letter in letters),
    ]


@tasks.command()
@click.argument("key", shell_complete=known_keys)
def retry(key: str) -> None:
    """Have a task run now: one that waits, or the newest dead letter under the key."""
    with changing() as db:
        from diracx_tasks.engine import operate

        operate.retry(db, key, by=me())
    click.echo(f"{key} runs again")


@tasks.command()
@click.argument("key", shell_complete=known_keys)
@click.option("--terminate", is_flag=True, help="Stop it also where it runs.")
def revoke(key: str, terminate: bool) -> None:
    """Take out a task that waits."""
    with changing() as db:
        from diracx_tasks.engine import operate

        operate.revoke(db, key, is_running=terminate)
    click.echo(f"{key} is revoked")


@tasks.command()
@click.argument("name", shell_complete=known_tasks)
@click.argument("arguments", nargs=-1)
@click.option("--debugger", is_flag=True, help="Stop in pdb at the first line, and where it fails.")
@click.option("--enqueue", is_flag=True, help="Have a worker run it instead, with all that belongs to it.")
def call(name: str, arguments: tuple[str, ...], debugger: bool, enqueue: bool) -> None:
    """Run a task in this process: NAME with arguments such as workflow_id=42. Locks are kept, limits are not.

    Values are JSON where they can be read as JSON, else texts: a text that looks like a number is '"42"'.
    """
    if debugger and enqueue:
        raise click.UsageError("--debugger runs it here, --enqueue elsewhere: choose one")
    given = dict(_argument(one) for one in arguments)
    prepare()
    from diracx_tasks.engine import operate

    declared = operate.known(name)
    if enqueue:
        with changing() as db:
            key = operate.enqueue(db, name, given)
        click.echo(key)
    else:
        click.echo(_run_here(declared, given, debugger=debugger))


def _run_here(declared: "Declared", given: Row, *, debugger: bool) -> str:
    from diracx_tasks.core.errors import Conflict, DiracXError
    from diracx_tasks.engine.by_hand import by_hand
    from diracx_tasks.engine.execute import Again
    from diracx_tasks.engine.history import flush
    from diracx_tasks.engine.run import Later

    try:
        return by_hand(declared, given, by=me(), call=_debugged if debugger else None)
    except Again as error:
        raise Conflict(str(error)) from error
    except DiracXError:
        raise
    except Later as later:
        return f"{later}: it has more to do in {later.seconds:g} s"
    except Exception:
        # Whoever calls a task by hand wants to see where it fails.
        traceback.print_exc()
        raise click.exceptions.Exit(1) from None
    finally:
        flush()


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"{text!r}: an argument is NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _debugged(function: Any, arguments: Row) -> Any:
    import pdb

    try:
        outcome = pdb.Pdb().runcall(function, **arguments)
    except Exception as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        pdb.post_mortem(error.__traceback__)
        raise
    # A task says something: it was left with `q`.
    if outcome is None:
        raise KeyboardInterrupt from None
    return outcome


for command in (queues, workers, dead, limits, locks, schedule):
    tasks.add_command(command)
