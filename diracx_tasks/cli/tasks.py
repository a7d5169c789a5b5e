"""`diracx tasks`: what operators see and Flower forgets. Reads database and broker directly."""

import getpass
import json
from typing import Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.operators import changing, plain, prepare, reading, show
from diracx_tasks.cli.output import Column, Row, output_option
from diracx_tasks.cli.queues import dead, limits, locks, queues, workers
from diracx_tasks.cli.schedule import schedule

COLUMNS = (
    Column("Key", lambda row: row["key"]),
    Column("Task", lambda row: row["task"]),
    Column("State", lambda row: row["state"]),
    Column("Try", lambda row: row["try"], is_number=True),
    Column("Since", lambda row: output.ago(row["at"])),
    Column("Seconds", lambda row: row["seconds"], is_number=True),
    Column("Says", lambda row: row["words"]),
)


@click.group()
def tasks() -> None:
    """What Celery's tasks are, what waits, what ran, what is due, what died."""


@tasks.command("list")
@click.option("--state", help="Waiting, Done, Failed (it is tried again) or Dead.")
@click.option("--task", help="Only this task, such as workflows.advance.")
@click.option("--subject", help="Only what is about this, such as workflow-42 or job-17.")
@click.option("--limit", default=50, type=click.IntRange(1, 10000), show_default=True)
@output_option
def list_tasks(state: str | None, task: str | None, subject: str | None, limit: int, form: str) -> None:
    """Tasks that wait, then runs that have ended, newest first."""
    with reading() as db:
        from diracx_tasks.engine import overview

        found = overview.page(db, state=state, task=task, subject=subject, limit=limit)
    show(found, form, "key", COLUMNS)


@tasks.command()
@output_option
def registered(form: str) -> None:
    """All tasks with what they declare and the configuration says."""
    prepare()
    from diracx_tasks.engine import overview

    names = ("task", "queue", "timing", "locks", "limits", "timeout", "memory", "tries", "enabled")
    show(overview.registered(), form, "task", plain(names))


@tasks.command("show")
@click.argument("key")
@output_option
def show_task(key: str, form: str) -> None:
    """Everything under a key: arguments, tries with their errors, parent and children, dead letters."""
    with reading() as db:
        from diracx_tasks.engine import overview

        found = overview.describe(db, key)
    if form != output.TABLE:
        output.show_one(found, form, key="key")
        return
    out = output.console()
    names = ("key", "task", "about", "arguments", "subject", "enqueued_by", "parent", "children")
    out.print(output.facts((name, found[name]) for name in names))
    waiting = [found["waiting"]] if found["waiting"] else []
    out.print(output.table([*waiting, *found["runs"]], COLUMNS))
    for run in found["runs"]:
        if run["state"] != "Done":
            click.echo(f"\ntry {run['try']} at {run['at']} on {run['worker']}:\n{run['words'].rstrip()}")


@tasks.command()
@click.argument("key")
def retry(key: str) -> None:
    """Have a task run now: one that waits, or the newest dead letter under the key."""
    with changing() as db:
        from diracx_tasks.engine import overview

        overview.retry(db, key, by=getpass.getuser())
    click.echo(f"{key} runs again")


@tasks.command()
@click.argument("key")
@click.option("--terminate", is_flag=True, help="Stop it also where it runs.")
def revoke(key: str, terminate: bool) -> None:
    """Take out a task that waits."""
    with changing() as db:
        from diracx_tasks.engine import overview

        overview.revoke(db, key, is_running=terminate)
    click.echo(f"{key} is revoked")


@tasks.command()
@click.argument("name")
@click.argument("arguments", nargs=-1)
@click.option("--debugger", is_flag=True, help="Stop in pdb at the first line, and where it fails.")
@click.option("--enqueue", is_flag=True, help="Have a worker run it instead, with all that belongs to it.")
def call(name: str, arguments: tuple[str, ...], debugger: bool, enqueue: bool) -> None:
    """Run a task in this process: NAME with arguments such as workflow_id=42. Locks are kept, limits are not.

    Values are JSON where they can be read as JSON, else texts.
    """
    prepare()
    from diracx_tasks.core.errors import Conflict, NotFound
    from diracx_tasks.engine import overview
    from diracx_tasks.engine.declared import REGISTRY
    from diracx_tasks.engine.execute import Again, by_hand
    from diracx_tasks.engine.history import flush

    given = dict(_argument(one) for one in arguments)
    if name not in REGISTRY:
        raise NotFound(f"there is no task {name!r}: see `diracx tasks registered`")
    if enqueue:
        with changing() as db:
            click.echo(overview.enqueue(db, name, given))
        return
    try:
        click.echo(by_hand(REGISTRY[name], given, by=getpass.getuser(), call=_debugged if debugger else None))
    except Again as error:
        raise Conflict(str(error)) from error
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

    debugger = pdb.Pdb()
    try:
        return debugger.runcall(function, **arguments)
    except Exception as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        pdb.post_mortem(error.__traceback__)
        raise


for command in (queues, workers, dead, limits, locks, schedule):
    tasks.add_command(command)
