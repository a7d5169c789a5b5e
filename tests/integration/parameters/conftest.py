"""Installations on SQLite and on MariaDB, with an OpenSearch."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import template
from tests.integration.parameters.journal import empty_the_journal, with_opensearch
from tests.opensearch import REAL, OpenSearchDouble
from tests.servers import MariaDB, Redis
from tests.unit.engine.scheduled import an_own_database

__all__ = ["template"]


@pytest.fixture(scope="session")
def on_mariadb(
    mariadb: MariaDB, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("parameters")
    with an_own_database(mariadb, redis_server, folder) as stated:
        found = dict(stated)
    yield found


@pytest.fixture(params=["sqlite", "mariadb"])
def stated(
    request: pytest.FixtureRequest, tmp_path: Path, template: Path, redis_server: Redis
) -> dict[str, str]:
    """Settings of an installation on either database."""
    if request.param == "mariadb":
        found: dict[str, str] = request.getfixturevalue("on_mariadb")
        return found
    shutil.copytree(template, tmp_path / "data")
    return {"DIRACX_DATA": str(tmp_path / "data"), "DIRACX_REDIS_URL": redis_server.url}


@pytest.fixture
def server(stated: dict[str, str]) -> Iterator[None]:
    """An OpenSearch, real where there is one, and an empty journal."""
    with with_opensearch(stated):
        empty_the_journal()
        yield


@pytest.fixture
def double(stated: dict[str, str]) -> Iterator[OpenSearchDouble]:
    """An OpenSearch whose faults can be chosen, and an empty journal."""
    if REAL:
        pytest.skip("the faults of a real server cannot be chosen")
    with with_opensearch(stated) as found:
        empty_the_journal()
        yield found
