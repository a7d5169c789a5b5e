"""Rows of which some may be there already."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core.database import Table, plain


def add_unless_there(db: Session, table: type[Table], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows by their columns' names; those whose key is there stay as they are.

    MariaDB cuts what is too long instead of refusing it: check lengths before.
    """
    if not rows:
        return
    if db.get_bind().dialect.name == "sqlite":
        db.execute(sqlite.insert(plain(table)).on_conflict_do_nothing(), list(rows))
        return
    made = (
        insert(plain(table)).prefix_with("IGNORE", dialect="mysql").prefix_with("IGNORE", dialect="mariadb")
    )
    db.execute(made, list(rows))
