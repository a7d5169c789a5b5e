"""`diracx admin`: checking and migrating an installation."""

import click

from diracx_tasks.cli.output import Column, output_option, show_rows


@click.group()
def admin() -> None:
    """Check and migrate an installation."""


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
    columns = [Column(name, lambda row, name=name: row[name]) for name in ("check", "state", "words")]  # type: ignore[misc]
    show_rows(rows, form, key="check", columns=columns)
    if any(row["state"] != "ok" for row in rows):
        raise SystemExit(1)


def _environment() -> None:
    from diracx_tasks.cli.environment import embedded_environment

    embedded_environment()
