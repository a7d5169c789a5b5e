"""What operators' commands share: the installation, sessions on its database, rows in the wanted form."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from diracx_tasks.cli.output import Column, Row, show_nothing, show_rows

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def show(rows: list[Row], form: str, key: str, columns: tuple[Column, ...]) -> None:
    """Rows in the form that is wanted; says so when there are none."""
    if rows:
        show_rows(rows, form, key=key, columns=columns)
    else:
        show_nothing("nothing", form)


def plain(names: tuple[str, ...]) -> tuple[Column, ...]:
    """Columns that show fields as they are, lists as words."""
    return tuple(Column(name, lambda row, name=name: _words(row[name])) for name in names)  # type: ignore[misc]


def _words(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


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

    with database.reading() as db:
        yield db


@contextmanager
def changing() -> "Iterator[Session]":
    """A transaction on the installation's database, in the name of the user at the terminal."""
    prepare()
    from diracx_tasks.core import database
    from diracx_tasks.core.origin import Origin, originating

    with originating(Origin(getpass.getuser())), database.session() as db:
        yield db
