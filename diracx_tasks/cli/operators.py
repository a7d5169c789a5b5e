"""What operators' commands share: the installation, sessions on its database, rows in the wanted form."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli.main import CONTROL
from diracx_tasks.cli.output import (
    TABLE,
    Column,
    Row,
    moment,
    show_nothing,
    show_rows,
    show_table,
    span,
)
from diracx_tasks.core.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LATE = timedelta(seconds=5)


def show(rows: list[Row], form: str, key: str, columns: tuple[Column, ...], *, empty: str) -> None:
    """Rows in the form that is wanted; says what is `empty` when there are none."""
    if not rows:
        show_nothing(empty, form)
    elif form == TABLE:
        show_table(rows, columns)
    else:
        show_rows(rows, form, key=key, columns=columns)


def show_failure(number: object, at: str | None, worker: str | None, text: str) -> None:
    """One try that failed, with its traceback."""
    place = f" on {worker}" if worker else ""
    click.echo(f"\ntry {number}{f' at {at}' if at else ''}{place}:")
    for line in text.rstrip().splitlines():
        click.echo(CONTROL.sub(" ", line))


def last_line(text: str | None) -> str:
    """What a traceback or outcome comes to."""
    return (text or "").strip().rpartition("\n")[2]


def took(seconds: float | None) -> str:
    """A run time for people."""
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds < 10 else span(timedelta(seconds=seconds))


def since(iso: str | None) -> str:
    """About how long ago something was."""
    at = moment(iso)
    return f"{_about(datetime.now(UTC) - at)} ago" if at else ""


def until(iso: str | None) -> str:
    """In about how long something is due, or how late it is."""
    at = moment(iso)
    if at is None:
        return ""
    ahead = at - datetime.now(UTC)
    if ahead < -LATE:
        return f"{_about(-ahead)} late"
    return f"in {_about(ahead)}" if ahead >= timedelta(seconds=1) else "now"


def _about(passed: timedelta) -> str:
    return " ".join(span(passed).split()[:2])


def me() -> str:
    """Who sits at the terminal; in a container the user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def prepare() -> None:
    """Find the installation and know its tasks."""
    from diracx_tasks.cli.environment import embedded_environment

    embedded_environment()
    from diracx_tasks.app import app

    app.set_default()


@contextmanager
def reading() -> "Iterator[Session]":
    """A session on the installation's database, for reading."""
    prepare()
    from diracx_tasks.core import database

    with _in_words(), database.reading() as db:
        yield db


@contextmanager
def changing() -> "Iterator[Session]":
    """A transaction on the installation's database, in the name of the user at the terminal."""
    prepare()
    from diracx_tasks.core import database
    from diracx_tasks.core.origin import Origin, originating

    with _in_words(), originating(Origin(me())), database.session() as db:
        yield db


@contextmanager
def _in_words() -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        found: Any = getattr(error, "orig", None) or error
        words = str(found).partition("\n")[0]
        raise Unavailable(f"the database says {words}: see `diracx admin check`") from error
