"""What TAB completes for operators: tasks, keys, schedule entries, dead letters, locks."""

import click

from diracx_tasks.cli.known import NEWEST, Found, completed
from diracx_tasks.cli.operators import last_line, prepare, reading


def _tasks(ctx: click.Context, incomplete: str) -> Found:
    from diracx_tasks.engine import overview

    return [(row["task"], row["queue"]) for row in overview.registered()]


def _keys(ctx: click.Context, incomplete: str) -> Found:
    with reading() as db:
        from diracx_tasks.engine import overview

        return [(row["key"], row["state"]) for row in overview.page(db, limit=NEWEST)]


def _entries(ctx: click.Context, incomplete: str) -> Found:
    with reading() as db:
        from diracx_tasks.engine import overview

        return [(row["name"], f"{row['timing']} {row['state']}") for row in overview.schedule(db)]


def _letters(ctx: click.Context, incomplete: str) -> Found:
    with reading() as db:
        from diracx_tasks.engine import dead_letters, overview

        rows = overview.dead(db, state=dead_letters.DEAD, limit=NEWEST)
        return [(row["letter_id"], f"{row['key']} {last_line(row['error'])}") for row in rows]


def _locks(ctx: click.Context, incomplete: str) -> Found:
    from diracx_tasks.engine import overview

    return [(row["name"], row["way"]) for row in overview.held_locks()]


known_tasks, known_keys = completed(_tasks, prepare), completed(_keys, prepare)
known_entries, known_letters = completed(_entries, prepare), completed(_letters, prepare)
known_locks = completed(_locks, prepare)
