"""Installations on a real MariaDB: with our own migrations, or where DiracX or DIRAC were before us."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, delete, text

from diracx_tasks.core.database import DIRAC_SCHEMAS, Table, session
from diracx_tasks.core.schema import migrate
from tests.api.caller import Api, TestClient
from tests.api.conftest import application
from tests.builders import environment
from tests.servers import MariaDB, Redis

# diracx-db 0.7.0's entry points, except the two that are nothing of ours.
UPSTREAM = ("AuthDB", "JobDB", "JobLoggingDB", "PilotAgentsDB", "ResourceStatusDB", "SandboxMetadataDB")
OTHERS = ("TaskQueueDB", "TransformationDB")


class Databases:
    """Databases of a test's own on the server, called as DIRAC's with a mark behind."""

    def __init__(self, server: MariaDB) -> None:
        self.server, self.mark = server, secrets.token_hex(3)
        self.names = {name: f"{name}_{self.mark}" for name in (*DIRAC_SCHEMAS, *OTHERS)}
        self.ours = f"ours_{self.mark}"
        self.make(self.ours)

    def make(self, *names: str) -> None:
        """Create empty databases."""
        self.run(*(f"CREATE DATABASE {name} CHARACTER SET utf8mb4" for name in names))

    def run(self, *statements: str) -> None:
        """Carry out SQL; `{JobDB}` stands for what that database is called here."""
        engine = create_engine(self.server.url)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement.format(**self.names)))
        engine.dispose()

    def made_by_diracx(self) -> None:
        """Have `python -m diracx.db init-sql` make its schemas, as an administrator of DiracX does."""
        self.make(*(self.names[name] for name in (*UPSTREAM, *OTHERS)))
        urls = {
            f"DIRACX_DB_URL_{name.upper()}": self.server.url_of(self.names[name]).replace(
                "mysql+pymysql", "mysql+aiomysql"
            )
            for name in (*UPSTREAM, *OTHERS)
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith("DIRACX_")}
        command = [sys.executable, "-m", "diracx.db", "init-sql"]
        subprocess.run(command, check=True, env={**others, **urls}, timeout=120)

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables that name these databases."""
        schemas = {name: self.names[name] for name in DIRAC_SCHEMAS}
        url = self.server.url_of(self.ours)
        return {"DIRACX_DATABASE_URL": url, "DIRACX_DATABASE_SCHEMAS": json.dumps(schemas)}

    def drop(self) -> None:
        """Remove them."""
        self.run(*(f"DROP DATABASE IF EXISTS {name}" for name in (self.ours, *self.names.values())))


@contextmanager
def databases_on(server: MariaDB) -> Iterator[Databases]:
    """Databases that are gone afterwards."""
    found = Databases(server)
    try:
        yield found
    finally:
        found.drop()


@contextmanager
def installed(databases: Databases, template: Path, folder: Path, redis: Redis) -> Iterator[None]:
    """An installation that keeps its tables there."""
    shutil.copytree(template, folder / "data")
    redis.flush()
    stated = {
        "DIRACX_DATA": str(folder / "data"),
        "DIRACX_REDIS_URL": redis.url,
        "DIRACX_URL": "http://testserver",
    }
    with environment(**stated, **databases.settings):
        yield


@contextmanager
def api_on(databases: Databases, template: Path, folder: Path, redis: Redis) -> Iterator[Api]:
    """The running API on these databases."""
    with (
        installed(databases, template, folder, redis),
        TestClient(application(), raise_server_exceptions=False) as client,
    ):
        yield Api(client)


@contextmanager
def either(request: pytest.FixtureRequest, *tables: type[Table]) -> Iterator[Api]:
    """The API on SQLite or MariaDB, as the fixture's parameter says; these tables are empty."""
    if request.param == "sqlite":
        yield request.getfixturevalue("api")
        return
    names = ("migrated", "template", "tmp_path", "redis_server")
    with api_on(*(request.getfixturevalue(name) for name in names)) as found:
        with session() as db:
            for table in tables:
                db.execute(delete(table))
        yield found


@pytest.fixture(scope="module")
def migrated(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Databases that our migrations have made: for all tests of a file."""
    with databases_on(mariadb) as found:
        with environment(DIRACX_DATA=str(tmp_path_factory.mktemp("migrating")), **found.settings):
            migrate()
        yield found
