"""Many rows in one statement: what goes in comes out, on SQLite and MariaDB."""

from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from diracx_tasks.core.database import plain
from diracx_tasks.core.many import insert_many, update_many
from diracx_tasks.workflows.tables import Node
from tests.api.stores import ON_MARIADB, installation, migrated
from tests.builders import db, template

__all__ = ["db", "installation", "migrated", "template"]
NUMBERS = ("Total", "SlotCursor", "Ended", "Bad", "Skipped", "Tries")
STATE = ("WorkflowID", "ParentID", "Path", "Slot", "Kind", "Status", "IsDirty", "RetryAt", "Dims", "Reason")
NAMES = (*STATE, *NUMBERS)
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901)


def row(path: str = "a/b", reason: str | None = None) -> tuple[object, ...]:
    return 7, 0, path, 0, "tool", "Running", True, MOMENT, [3, 4], reason, *range(6)


@pytest.mark.parametrize("text", ["", "é\U0001f600", "a'b\"c\\d", "x" * 60_000, "line\nline\x00"])
def test_rows_come_out_as_they_went_in(db: Session, text: str) -> None:
    insert_many(db, plain(Node), NAMES, [row("a/b", text), row("A/B")])
    found = db.scalars(select(Node).order_by(Node.node_id)).all()
    assert [(node.path, node.reason) for node in found] == [("a/b", text), ("A/B", None)]
    assert (found[0].retry_at, found[0].dims, found[0].is_dirty) == (MOMENT, [3, 4], True)
    assert (found[1].total, found[1].tries) == (0, 5)


def test_rows_are_changed_by_their_key(db: Session) -> None:
    insert_many(db, plain(Node), NAMES, [row("a"), row("b"), row("c")])
    first, second, third = db.scalars(select(Node.node_id).order_by(Node.node_id))
    rows = [(second, "two"), (third, "three")]
    update_many(db, plain(Node), ("NodeID", "Reason"), lambda new: {"Reason": new["Reason"]}, rows)
    found = dict(db.execute(select(Node.node_id, Node.reason)).all())
    assert found == {first: None, second: "two", third: "three"}


@ON_MARIADB
def test_a_text_that_is_too_long_is_refused_and_not_cut(db: Session) -> None:
    with pytest.raises(DataError, match="too long for column 'Path'"):
        insert_many(db, plain(Node), NAMES, [row("x" * 300)])
    insert_many(db, plain(Node), NAMES, [row("x" * 255)])
