"""`diracx tasks queues|workers|dead|limits|locks`: where work waits, who does it, who holds what."""

import getpass

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.operators import changing, plain, prepare, reading, show
from diracx_tasks.cli.output import Column, output_option

LETTERS = (
    Column("ID", lambda row: row["letter_id"], is_number=True),
    Column("Key", lambda row: row["key"]),
    Column("Tries", lambda row: row["tries"], is_number=True),
    Column("Died", lambda row: output.ago(row["died"])),
    Column("State", lambda row: row["state"]),
    Column(
        "Error", lambda row: row["errors"][-1]["error"].strip().rpartition("\n")[2] if row["errors"] else ""
    ),
)


@click.command()
@output_option
def queues(form: str) -> None:
    """The nine queues: what waits and runs, since when, who looks after it; and what the outbox holds."""
    with reading() as db:
        from diracx_tasks.engine import overview

        rows, totals = overview.queues(db), overview.totals(db)
    show(rows, form, "queue", plain(("queue", "waiting", "running", "oldest_seconds", "workers")))
    late = f"the schedule is {totals['schedule_lag_seconds']:g} s late"
    beat = f"beat {totals['leader']} leads, {late}" if totals["leader"] else f"no beat runs, {late}"
    waits = f"outbox: {totals['pending']} pending, the oldest for {totals['oldest_seconds']:g} s"
    click.echo(f"{waits}; {totals['dead']} dead; {beat}", err=True)


@click.command()
@output_option
def workers(form: str) -> None:
    """The workers that answer, their queues, and what they run now."""
    prepare()
    from diracx_tasks.engine import broker

    rows = [{**one, "running": [run["key"] for run in one["running"]]} for one in broker.workers()]
    show(rows, form, "worker", plain(("worker", "processes", "uptime", "queues", "running")))


@click.group(invoke_without_command=True)
@click.option("--task", help="Only of this task.")
@click.option("--all", "is_all", is_flag=True, help="Also those that were retried or dropped.")
@click.option("--limit", default=50, type=click.IntRange(1, 10000), show_default=True)
@output_option
@click.pass_context
def dead(ctx: click.Context, task: str | None, is_all: bool, limit: int, form: str) -> None:
    """Tasks whose tries are used up; without a command: the list."""
    if ctx.invoked_subcommand:
        return
    with reading() as db:
        from diracx_tasks.engine import dead_letters, overview

        rows = overview.dead(db, task=task, state=None if is_all else dead_letters.DEAD, limit=limit)
    show(rows, form, "letter_id", LETTERS)


@dead.command("show")
@click.argument("letter_id", type=click.IntRange(1))
@output_option
def show_dead(letter_id: int, form: str) -> None:
    """One dead letter with its arguments and every error."""
    with reading() as db:
        from diracx_tasks.engine import dead_letters, overview

        found = overview.letter_row(dead_letters.find(db, letter_id))
    if form != output.TABLE:
        output.show_one(found, form, key="letter_id")
        return
    output.console().print(output.facts((name, found[name]) for name in found if name != "errors"))
    for error in found["errors"]:
        click.echo(
            f"\ntry {error['try']} at {error['at']} on {error.get('worker', '')}:\n{error['error'].rstrip()}"
        )


@dead.command("retry")
@click.argument("letter_ids", type=click.IntRange(1), nargs=-1, required=True)
def retry_dead(letter_ids: tuple[int, ...]) -> None:
    """Have the tasks run again, their tries counted anew."""
    for letter_id in letter_ids:
        with changing() as db:
            from diracx_tasks.engine import dead_letters

            key = dead_letters.retry(db, letter_id, by=getpass.getuser())
        click.echo(f"{key} runs again")


@dead.command("drop")
@click.argument("letter_ids", type=click.IntRange(1), nargs=-1, required=True)
def drop_dead(letter_ids: tuple[int, ...]) -> None:
    """Say that they need nothing more."""
    for letter_id in letter_ids:
        with changing() as db:
            from diracx_tasks.engine import dead_letters

            dead_letters.drop(db, letter_id, by=getpass.getuser())
        click.echo(f"{letter_id} is dropped")


@click.command()
@output_option
def limits(form: str) -> None:
    """Every limit with how much of it is used now, object by object."""
    prepare()
    from diracx_tasks.engine import overview

    show(overview.limits(), form, "object", plain(("task", "limit", "object", "used")))


@click.group(invoke_without_command=True)
@output_option
@click.pass_context
def locks(ctx: click.Context, form: str) -> None:
    """Locks that are held now; without a command: the list."""
    if ctx.invoked_subcommand:
        return
    prepare()
    from diracx_tasks.engine.locks import holders

    show(holders("lock"), form, "name", plain(("name", "way", "holders", "seconds")))


@locks.command()
@click.argument("name")
def release(name: str) -> None:
    """Take a lock such as workflow:42 from whoever holds it; the holder is told when it asks."""
    prepare()
    from diracx_tasks.core.errors import NotFound
    from diracx_tasks.engine.locks import release as take

    if not take(name):
        raise NotFound(f"nobody holds {name!r}: see `diracx tasks locks`")
    click.echo(f"{name} is free")
