"""An installation on SQLite or on a real MariaDB: tests of a file that imports its fixtures run on both."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import delete

from diracx_tasks.core import remembered
from diracx_tasks.core.database import Table, session
from tests.builders import Installation, environment
from tests.integration.upstream import Databases, migrated
from tests.servers import Redis

__all__ = ["ON_MARIADB", "ON_SQLITE", "installation", "migrated"]
MARIADB = pytest.param("mariadb", marks=pytest.mark.integration)
ON_SQLITE = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
ON_MARIADB = pytest.mark.parametrize("installation", [MARIADB], indirect=True)


@pytest.fixture(params=["sqlite", MARIADB])
def installation(
    request: pytest.FixtureRequest, template: Path, tmp_path: Path, redis_server: Redis
) -> Iterator[Installation]:
    """A fresh installation whose tables are empty; the fixtures `api` and `db` are on it."""
    stated: Mapping[str, str] = {}
    if request.param == "mariadb":
        databases: Databases = request.getfixturevalue("migrated")
        stated = databases.settings
    folder = tmp_path / "data"
    shutil.copytree(template, folder)
    redis_server.flush()
    remembered._KEPT.clear()
    places = {"DIRACX_DATA": str(folder), "DIRACX_REDIS_URL": redis_server.url}
    with environment(**places, DIRACX_URL="http://testserver", **stated):
        if stated:
            _empty()
        yield Installation(folder, redis_server)


def _empty() -> None:
    with session() as db:
        for table in reversed(Table.metadata.sorted_tables):
            db.execute(delete(table))
