"""`diracx admin`: checking and migrating an installation."""

from pathlib import Path

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.config import config
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Column

CHECKS = (
    Column("Check", lambda row: row["check"]),
    Column("State", lambda row: output.state(row["state"])),
    Column("Words", lambda row: row["words"], wraps=True),
)


@click.group(cls=Group)
def admin() -> None:
    """Check and migrate an installation."""


admin.add_command(config)


@admin.command()
def migrate() -> None:
    """Bring the database to this version's tables."""
    _environment()
    from diracx_tasks.core import schema

    click.echo(f"the database is at version {schema.migrate()}")


@admin.command()
@output_option
def check(form: str) -> None:
    """Say what is missing or wrong in the environment; exit code 1 when something is."""
    _environment()
    from diracx_tasks.cli.checks import all_checks

    rows = [
        {"check": one.name, "state": "ok" if one.ok else "WRONG", "words": one.words} for one in all_checks()
    ]
    output.show_rows(rows, form, key="check", columns=CHECKS, empty="there is nothing to check")
    if any(row["state"] != "ok" for row in rows):
        raise SystemExit(1)


@admin.command()
@click.option(
    "--to", type=click.Path(path_type=Path, dir_okay=False), help="Write the keys here, not where they are."
)
@click.option(
    "--forget-old", "forget", is_flag=True, help="A key is known to others: drop all before it now."
)
@click.option("--now", is_flag=True, help="Sign with it at once: for one server.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def rotate_keys(to: Path | None, forget: bool, now: bool, yes: bool) -> None:
    """Sign tokens with a new key; those before it verify until what they signed has expired.

    It begins to sign in 10 minutes, so that all servers know it by then.
    Running servers see the new file at once: nothing is restarted and nobody is logged out, but with
    --forget-old, which ends every login and every pilot's token.
    """
    _environment()
    from diracx_tasks.auth.rotate import DELAY_SECONDS, rotate

    if forget:
        output.agree("End every login, and let running pilots lose their jobs?", yes=yes)
    done = rotate(to=to, forget=forget, delay=0 if now else DELAY_SECONDS)
    when = f"in {done.seconds / 60:g} minutes" if done.seconds else "now"
    click.echo(f"{done.file}: {done.kid} signs {when}; {done.kept} more verify, {done.removed} removed")


def _environment() -> None:
    from diracx_tasks.cli.environment import embedded_environment

    embedded_environment()
