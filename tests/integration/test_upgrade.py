"""Migrations with data in the tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from diracx_tasks.core import schema
from diracx_tasks.core.database import engine
from tests.builders import environment
from tests.integration.upstream import databases_on


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.integration)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """A database without tables."""
    if request.param == "sqlite":
        with environment(DIRACX_DATA=str(tmp_path)):
            yield
        return
    with (
        databases_on(request.getfixturevalue("mariadb")) as databases,
        environment(DIRACX_DATA=str(tmp_path), **databases.settings),
    ):
        with engine().connect() as connection:
            schema._create_databases(connection)
        yield


def upgraded(revision: str) -> None:
    with engine().connect() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


@pytest.mark.usefixtures("empty")
def test_a_scatter_that_goes_on_knows_how_many_of_its_slots_are_over() -> None:
    upgraded("0007")
    columns = "WorkflowID, ParentID, Path, Slot, Kind, Status, IsDirty, Total, SlotCursor"
    slots = ["Done", "Done", "Failed", "Skipped", "Running"]
    rows = ["(7, 0, 'one', 0, 'scatter', 'Running', 0, 6, 5)"]
    rows += [f"(7, 1, 'one', {n}, 'tool', '{status}', 0, 0, 0)" for n, status in enumerate(slots)]
    with engine().begin() as connection:
        connection.execute(text(f"INSERT INTO WorkflowNodes ({columns}) VALUES {', '.join(rows)}"))
    upgraded("head")
    with engine().connect() as connection:
        found = connection.execute(text("SELECT Ended, Bad, Skipped FROM WorkflowNodes WHERE NodeID = 1"))
        assert found.one() == (4, 1, 1)
