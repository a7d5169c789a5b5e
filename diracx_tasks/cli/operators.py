"""What operators' commands share: the installation, sessions on its database, times and failures."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli.complaints import CONTROL
from diracx_tasks.cli.output import moment
from diracx_tasks.core.errors import DiracXError, Unavailable
from diracx_tasks.core.words import about, span

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LATE = timedelta(seconds=5)


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
    return "" if seconds is None else span(seconds)


def until(iso: str | None) -> str:
    """In about how long something is due, or how late it is."""
    at = moment(iso)
    if at is None:
        return ""
    ahead = at - datetime.now(UTC)
    if ahead < -LATE:
        return f"{about(-ahead.total_seconds())} late"
    return f"in {about(ahead.total_seconds())}" if ahead >= timedelta(seconds=1) else "now"


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

    from diracx_tasks.core.away import is_away

    try:
        yield
    except SQLAlchemyError as error:
        found: Any = getattr(error, "orig", None) or error
        words = str(found).partition("\n")[0]
        kind = Unavailable if is_away(error) else DiracXError
        raise kind(f"the database says {words}: see `diracx admin check`") from error
