"""Factories of pilots on several machines: each knows its own pilots, also after it was killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from diracx_tasks.auth import keys
from diracx_tasks.core.database import engine, reading
from diracx_tasks.core.settings import settings
from diracx_tasks.pilots.tables import Pilot
from tests.processes import Processes
from tests.servers import MariaDB, Redis, free_port
from tests.system import wait_for
from tests.unit.engine.scheduled import an_own_database

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def processes(mariadb: MariaDB, redis_server: Redis, tmp_path: Path) -> Iterator[Processes]:
    # Nobody answers there: the pilots go on asking.
    url = f"http://127.0.0.1:{free_port()}"
    with an_own_database(mariadb, redis_server, tmp_path, DIRACX_URL=url) as stated:
        keys.create(settings().keys_file)
        with Processes(tmp_path, stated) as processes:
            yield processes


def start(processes: Processes, name: str) -> str:
    """Start a factory with one pilot, as on a machine of its own; answers the new pilot's stamp."""
    before = set(statuses())
    processes.start(
        name, "diracx_tasks.pilots.local", "1", "256", "LCG.CERN.ch", str(processes.folder / name)
    )
    wait_for(lambda: len(statuses()) > len(before), 60, lambda: processes.log)
    (stamp,) = set(statuses()) - before
    return stamp


def statuses() -> dict[str, str]:
    with reading() as db:
        return dict(db.execute(select(Pilot.stamp, Pilot.status)).all())


def test_a_factory_that_starts_ends_the_pilots_it_had_before_and_no_others(processes: Processes) -> None:
    first, second = start(processes, "one"), start(processes, "two")
    assert statuses() == {first: "Submitted", second: "Submitted"}
    processes.kill("one")
    third = start(processes, "one")
    assert statuses() == {first: "Aborted", second: "Submitted", third: "Submitted"}


def test_a_factory_outlives_a_database_that_is_away_and_tells_then_what_has_ended(
    processes: Processes, mariadb: MariaDB
) -> None:
    first = start(processes, "one")
    wait_for(lambda: bool(processes.children("one")), 60, lambda: processes.log)
    mariadb.kill()
    try:
        for pilot in processes.children("one"):
            pilot.kill()
        wait_for(lambda: "pilots: " in processes.log, 60, lambda: processes.log)
    finally:
        mariadb.start()
        engine().dispose()
    wait_for(lambda: list(statuses().values()) == ["Failed", "Submitted"], 60, lambda: processes.log)
    assert statuses()[first] == "Failed"
