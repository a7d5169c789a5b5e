"""`diracx tasks`: what operators see and Flower forgets. Reads database and broker directly."""

from typing import Any

import click

from diracx_tasks.cli.output import Column, output_option, show_json, show_rows

Row = dict[str, Any]


@click.group()
def tasks() -> None:
    """What Celery's tasks are, what waits, what runs periodically, what died."""


@tasks.command("list")
@output_option
def list_tasks(form: str) -> None:
    """All tasks with what they declare."""
    rows = [
        {
            "task": one.name,
            "queue": one.queue,
            "every": one.every,
            "lock": one.lock,
            "timeout": one.timeout,
            "tries": one.retry.times + 1,
        }
        for _, one in sorted(_registry().items())
    ]
    _show(rows, form, "task")


@tasks.command()
@click.argument("name")
@output_option
def show(name: str, form: str) -> None:
    """One task: what it declares, what waits of it, and what died with its error."""
    from diracx_tasks.core.database import reading, utc
    from diracx_tasks.core.errors import NotFound
    from diracx_tasks.engine import outbox

    declared = _registry().get(name)
    if declared is None:
        raise NotFound(f"there is no task {name!r}: see `diracx tasks list`")
    with reading() as db:
        rows = outbox.of_task(db, name)
        waiting = [
            {
                "key": row.key,
                "since": utc(row.created_at),
                "due": utc(row.due_at),
                "published": row.published,
                "dead": row.is_dead,
                "error": row.error,
            }
            for row in rows
        ]
    found = {
        "task": name,
        "about": declared.function.__doc__,
        "queue": declared.queue,
        "every": declared.every,
    }
    if form == "table":
        click.echo(f"{name}: {(declared.function.__doc__ or '').strip()}\nqueue {declared.queue}\n")
        _show(waiting, form, "key")
        click.echo(f"{len(waiting)} in the outbox")
    elif form == "id":
        show_rows(waiting, form, key="key", columns=())
    else:
        show_json({**found, "waiting": waiting})


@tasks.command()
@output_option
def schedule(form: str) -> None:
    """Periodic tasks: how often, when last, how it went."""
    from diracx_tasks.core.database import reading, utc
    from diracx_tasks.engine import periodic

    with reading() as db:
        runs = periodic.runs(db)
    rows = []
    for name, declared in sorted(_registry().items()):
        if declared.every:
            run = runs.get(name)
            outcome = (run.outcome if run else None) or "never run: is beat running?"
            shown = outcome.strip().splitlines()[-1]
            rows.append(
                {
                    "task": name,
                    "every": declared.every,
                    "started": utc(run.started_at) if run else None,
                    "ended": utc(run.ended_at) if run else None,
                    "outcome": shown,
                }
            )
    _show(rows, form, "task")


@tasks.command()
@output_option
def queues(form: str) -> None:
    """The nine queues: how many messages wait in the broker, and what the outbox holds."""
    _registry()
    from kombu.exceptions import OperationalError

    from diracx_tasks.app import app
    from diracx_tasks.core.database import reading
    from diracx_tasks.core.errors import Unavailable
    from diracx_tasks.engine import outbox
    from diracx_tasks.engine.queues import QUEUES

    try:
        with app.connection_for_read() as connection:
            channel = connection.default_channel
            rows = [{"queue": name, "messages": _length(channel, name)} for name in QUEUES]
    except OperationalError as error:
        raise Unavailable(f"the broker does not answer: {error}; see DIRACX_BROKER_URL") from error
    _show(rows, form, "queue")
    with reading() as db:
        counts = outbox.pending(db)
    click.echo(f"outbox: {counts['pending']} pending, {counts['dead']} dead", err=True)


def _show(rows: list[Row], form: str, key: str) -> None:
    """All fields of rows as columns."""
    names = list(rows[0]) if rows else []
    columns = [Column(name, lambda row, name=name: row[name]) for name in names]  # type: ignore[misc]
    show_rows(rows, form, key=key, columns=columns)


def _length(channel: Any, queue: str) -> int:
    from amqp.exceptions import NotFound
    from kombu.exceptions import ChannelError

    try:
        return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except (ChannelError, NotFound):
        # No worker has asked for this queue yet.
        return 0


def _registry() -> dict[str, Any]:
    from diracx_tasks.cli.environment import embedded_environment

    embedded_environment()
    from diracx_tasks.core.plugins import load_tasks
    from diracx_tasks.engine.task import REGISTRY

    load_tasks()
    return REGISTRY
