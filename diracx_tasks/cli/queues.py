"""`diracx tasks queues|workers|dead|limits|locks`: where work waits, who does it, who holds what."""

import json
from collections.abc import Callable
from typing import Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.complaints import headline
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.known_tasks import known_letters, known_locks, known_tasks
from diracx_tasks.cli.lists import Page, show_list, watch_option, why_none
from diracx_tasks.cli.newest import PAGE
from diracx_tasks.cli.operators import changing, me, prepare, reading, show_failure, took
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Column, Row, facts
from diracx_tasks.core.errors import DiracXError

LETTERS = (
    Column("ID", lambda row: row["letter_id"], is_number=True),
    Column("Key", lambda row: row["key"]),
    Column("Task", lambda row: row["task"], goes=3),
    Column("Tries", lambda row: row["tries"], is_number=True, goes=1),
    Column("Died", lambda row: output.ago(row["died"]), goes=2),
    Column("State", lambda row: output.state(row["state"])),
    Column("Error", lambda row: row["error"], is_cut=True),
)
QUEUES = (
    Column("Queue", lambda row: row["queue"]),
    Column("Waiting", lambda row: row["waiting"], is_number=True),
    Column("Running", lambda row: row["running"], is_number=True),
    Column("Oldest", lambda row: took(row["oldest_seconds"]), is_number=True),
    Column("Workers", lambda row: row["workers"], is_number=True),
)
ALL = 9
WORKERS = (
    Column("Worker", lambda row: row["worker"]),
    Column("Processes", lambda row: row["processes"], is_number=True),
    Column("Up", lambda row: took(row["uptime"])),
    Column(
        "Queues", lambda row: "all" if len(row["queues"]) == ALL else ", ".join(row["queues"]), is_cut=True
    ),
    Column("Runs", lambda row: ", ".join(str(run["key"]) for run in row["running"]), is_cut=True),
)
LIMITS = (
    Column("Task", lambda row: row["task"]),
    Column("Limit", lambda row: row["limit"]),
    Column("Used", lambda row: row["used"], is_number=True),
    Column("Object", lambda row: row["object"], is_cut=True),
)
LOCKS = (
    Column("Holders", lambda row: row["holders"], is_number=True),
    Column("Way", lambda row: row["way"]),
    Column("Lease", lambda row: took(row["seconds"]), is_number=True),
    Column("Lock", lambda row: row["name"]),
)


@click.command()
@watch_option
@output_option
def queues(is_watched: bool, form: str) -> None:
    """The nine queues: what waits and runs, since when, who looks after it; and what the outbox holds."""

    def ask() -> Page:
        with reading() as db:
            from diracx_tasks.engine import overview

            rows, totals = overview.queues(), overview.totals(db)
        return Page(rows, _summary(rows, totals), {"queues": rows, **totals})

    show_list(ask, form, key="queue", columns=QUEUES, empty="there are no queues", is_watched=is_watched)


def _summary(rows: list[Row], totals: Row) -> str:
    workers = "" if any(row["workers"] for row in rows) else "no worker answers; "
    beat = f"beat {totals['leader']} leads" if totals["leader"] else "no beat runs"
    late = f"the schedule is {totals['schedule_lag_seconds']:g} s late"
    age = f", the oldest for {took(totals['oldest_seconds'])}" if totals["pending"] else ""
    return f"{workers}outbox: {totals['pending']} pending{age}; {totals['dead']} dead; {beat}, {late}"


@click.command()
@watch_option
@output_option
def workers(is_watched: bool, form: str) -> None:
    """The workers that answer, their queues, and what they run now."""
    prepare()
    from diracx_tasks.engine import broker

    def ask() -> Page:
        return Page(broker.workers())

    empty = "no worker answers: start one with `celery -A diracx_tasks worker`"
    show_list(ask, form, key="worker", columns=WORKERS, empty=empty, is_watched=is_watched)


@click.group(cls=Group, invoke_without_command=True)
@click.option("--task", help="Only of this task.", shell_complete=known_tasks)
@click.option("--all", "is_all", is_flag=True, help="Also those that were retried or dropped.")
@click.option("--before", type=click.IntRange(1), help="Only those with lower numbers.")
@click.option("--limit", default=50, type=click.IntRange(1, 10000), show_default=True)
@watch_option
@output_option
@click.pass_context
def dead(ctx: click.Context, /, is_all: bool, limit: int, is_watched: bool, form: str, **wanted: Any) -> None:
    """Tasks whose tries are used up; without a command: the list, the newest first."""
    if ctx.invoked_subcommand:
        return

    def ask() -> Page:
        with reading() as db:
            from diracx_tasks.engine import dead_letters, overview

            state = None if is_all else dead_letters.DEAD
            rows = overview.dead(db, state=state, limit=limit, **wanted)
        more = f"There may be more: --before {rows[-1]['letter_id']}" if len(rows) == limit else ""
        return Page(rows, more)

    def why_empty() -> str:
        return why_none("dead letter", wanted, lambda: _dead_letters(is_all), otherwise="no task is dead")

    show_list(ask, form, key="letter_id", columns=LETTERS, empty=why_empty, is_watched=is_watched)


def _dead_letters(is_all: bool) -> list[Row]:
    with reading() as db:
        from diracx_tasks.engine import dead_letters, overview

        return overview.dead(db, state=None if is_all else dead_letters.DEAD, limit=PAGE)


@dead.command("show")
@click.argument("letter_id", type=click.IntRange(1), shell_complete=known_letters)
@output_option
def show_dead(letter_id: int, form: str) -> None:
    """One dead letter with its arguments and every error."""
    with reading() as db:
        from diracx_tasks.engine import dead_letters, overview

        found = overview.letter_row(dead_letters.find(db, letter_id))
    if form != output.TABLE:
        output.show_one(found, form, key="letter_id")
        return
    shown = {**found, "arguments": json.dumps(found["arguments"])}
    names = [name for name in found if name not in ("errors", "error")]
    output.console().print(facts((name.replace("_", " ").capitalize(), shown[name]) for name in names))
    for error in found["errors"]:
        show_failure(error["try"], error["at"], error.get("worker"), error["error"])


@dead.command("retry")
@click.argument("letter_ids", type=click.IntRange(1), nargs=-1, required=True, shell_complete=known_letters)
def retry_dead(letter_ids: tuple[int, ...]) -> None:
    """Have the tasks run again, their tries counted anew."""

    def act(letter_id: int) -> str:
        with changing() as db:
            from diracx_tasks.engine import dead_letters

            return f"{dead_letters.retry(db, letter_id, by=me())} runs again"

    _each(letter_ids, act)


@dead.command("drop")
@click.argument("letter_ids", type=click.IntRange(1), nargs=-1, required=True, shell_complete=known_letters)
def drop_dead(letter_ids: tuple[int, ...]) -> None:
    """Say that they need nothing more."""

    def act(letter_id: int) -> str:
        with changing() as db:
            from diracx_tasks.engine import dead_letters

            dead_letters.drop(db, letter_id, by=me())
        return f"{letter_id} is dropped"

    _each(letter_ids, act)


def _each(letter_ids: tuple[int, ...], act: Callable[[int], str]) -> None:
    """Do something with each; one that fails does not stop the others, and makes the exit code."""
    code = 0
    for letter_id in letter_ids:
        try:
            click.echo(act(letter_id))
        except DiracXError as error:
            click.echo(f"diracx: {headline(error)}", err=True)
            code = error.exit_code
    if code:
        raise click.exceptions.Exit(code)


@click.command()
@watch_option
@output_option
def limits(is_watched: bool, form: str) -> None:
    """Every limit with how much of it is used now, object by object."""
    prepare()
    from diracx_tasks.engine import overview

    def ask() -> Page:
        return Page(overview.limits())

    empty = "no task states a limit"
    show_list(ask, form, key="object", columns=LIMITS, empty=empty, is_watched=is_watched)


@click.group(cls=Group, invoke_without_command=True)
@watch_option
@output_option
@click.pass_context
def locks(ctx: click.Context, is_watched: bool, form: str) -> None:
    """Locks that are held now; without a command: the list."""
    if ctx.invoked_subcommand:
        return
    prepare()
    from diracx_tasks.engine import overview

    def ask() -> Page:
        return Page(overview.held_locks())

    empty = "nobody holds a lock"
    show_list(ask, form, key="name", columns=LOCKS, empty=empty, is_watched=is_watched)


@locks.command()
@click.argument("name", shell_complete=known_locks)
def release(name: str) -> None:
    """Take a lock such as workflow:42 from whoever holds it; the holder is told when it asks."""
    prepare()
    from diracx_tasks.engine import operate

    operate.release_lock(name)
    click.echo(f"{name} is free")
