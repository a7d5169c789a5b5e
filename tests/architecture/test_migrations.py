"""The migrations give exactly the tables that the program declares, from whatever is there."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import BLANK_SCHEMA, Connection, MetaData, inspect, text

from diracx_tasks.core import database, schema
from diracx_tasks.core.plugins import load_tables
from diracx_tasks.core.settings import settings
from tests.builders import environment
from tests.servers import MariaDB

# DIRAC 9, WorkloadManagementSystem/DB/JobDB.sql.
DIRACS_JOBS = """
CREATE TABLE {jobs}.Jobs (
    JobID INT(11) UNSIGNED NOT NULL DEFAULT 0,
    JobType VARCHAR(32) NOT NULL DEFAULT 'user',
    JobGroup VARCHAR(32) NOT NULL DEFAULT '00000000',
    Site VARCHAR(100) NOT NULL DEFAULT 'ANY',
    JobName VARCHAR(128) NOT NULL DEFAULT 'Unknown',
    Owner VARCHAR(64) NOT NULL DEFAULT 'Unknown',
    OwnerGroup VARCHAR(128) NOT NULL DEFAULT 'Unknown',
    VO VARCHAR(32) NOT NULL,
    SubmissionTime DATETIME DEFAULT NULL,
    RescheduleTime DATETIME DEFAULT NULL,
    LastUpdateTime DATETIME DEFAULT NULL,
    StartExecTime DATETIME DEFAULT NULL,
    HeartBeatTime DATETIME DEFAULT NULL,
    EndExecTime DATETIME DEFAULT NULL,
    Status VARCHAR(32) NOT NULL DEFAULT 'Received',
    MinorStatus VARCHAR(128) NOT NULL DEFAULT 'Unknown',
    ApplicationStatus VARCHAR(255) DEFAULT 'Unknown',
    UserPriority INT NOT NULL DEFAULT 0,
    RescheduleCounter INT NOT NULL DEFAULT 0,
    VerifiedFlag ENUM('True','False') NOT NULL DEFAULT 'False',
    AccountedFlag ENUM('True','False','Failed') NOT NULL DEFAULT 'False',
    PRIMARY KEY (JobID),
    KEY JobGroup (JobGroup),
    KEY Owner (Owner),
    KEY Status (Status),
    KEY LastUpdateTime (LastUpdateTime)
) ENGINE=InnoDB
"""
DIRACS_JDLS = """
CREATE TABLE {jobs}.JobJDLs (
    JobID INT(11) UNSIGNED NOT NULL AUTO_INCREMENT,
    JDL MEDIUMTEXT NOT NULL,
    JobRequirements MEDIUMTEXT NOT NULL,
    OriginalJDL MEDIUMTEXT NOT NULL,
    PRIMARY KEY (JobID)
) ENGINE=InnoDB
"""


@pytest.fixture
def empty_sqlite(tmp_path: Path) -> Iterator[None]:
    with environment(DIRACX_DATA=str(tmp_path)):
        yield


@pytest.fixture
def empty_mariadb(mariadb: MariaDB, tmp_path: Path) -> Iterator[None]:
    """Databases of this test's own on the real server."""
    mark = secrets.token_hex(3)
    names = {name: f"{name}_{mark}" for name in database.DIRAC_SCHEMAS}
    server = environment(DIRACX_DATA=str(tmp_path), DIRACX_DATABASE_URL=mariadb.url)
    with server, database.engine().connect() as connection:
        connection.execute(text(f"CREATE DATABASE ours_{mark} CHARACTER SET utf8mb4"))
    schemas = "{" + ", ".join(f'"{ours}": "{theirs}"' for ours, theirs in names.items()) + "}"
    stated = {"DIRACX_DATABASE_URL": mariadb.url_of(f"ours_{mark}"), "DIRACX_DATABASE_SCHEMAS": schemas}
    with environment(DIRACX_DATA=str(tmp_path), **stated):
        yield


@pytest.fixture(params=["sqlite", "mariadb"])
def empty(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(f"empty_{request.param}")


def differences(connection: Connection) -> list[Any]:
    """What alembic would change; our own tables, as they are called in this database."""
    load_tables()
    is_sqlite = connection.dialect.name == "sqlite"
    names: dict[str | None, Any] = {
        name: settings().database_schemas.get(name) for name in database.DIRAC_SCHEMAS
    }
    wanted = MetaData()
    for table in database.Table.metadata.tables.values():
        table.to_metadata(
            wanted,
            schema=names.get(table.schema),  # type: ignore[arg-type]
            referred_schema_fn=lambda table, to, fk, referred: names.get(referred) or BLANK_SCHEMA,  # type: ignore
        )

    def is_ours(name: str | None, kind: str, parents: Any) -> bool:
        return kind != "schema" or name is None or name in names.values()

    options = {"include_schemas": not is_sqlite, "include_name": is_ours, "compare_type": True}
    context = MigrationContext.configure(connection.execution_options(schema_translate_map={}), opts=options)
    found = compare_metadata(context, wanted)
    return [one for one in found if "alembic_version" not in str(one)]


def test_migrating_an_empty_database_gives_exactly_the_declared_tables(empty: None) -> None:
    assert schema.current() is None
    assert schema.migrate() == schema.head()
    assert schema.current() == schema.head()
    with database.engine().connect() as connection:
        assert differences(connection) == []


def test_migrating_twice_is_harmless(empty: None) -> None:
    schema.migrate()
    schema.migrate()
    assert schema.current() == schema.head()


def test_migrating_four_times_at_once_is_harmless(empty: None) -> None:
    program = "from diracx_tasks.core.schema import migrate; print(migrate())"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program], env={**os.environ}, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    assert [process.communicate()[0].strip() for process in processes] == [schema.head()] * 4
    with database.engine().connect() as connection:
        assert differences(connection) == []


@pytest.mark.integration
def test_an_installation_of_dirac_keeps_its_jobs_and_gets_our_columns(empty_mariadb: None) -> None:
    jobs = settings().database_schemas["JobDB"]
    with database.engine().begin() as connection:
        connection.execute(text(f"CREATE DATABASE {jobs}"))
        for statement in (DIRACS_JDLS, DIRACS_JOBS):
            connection.execute(text(statement.format(jobs=jobs)))
        connection.execute(text(f"INSERT INTO {jobs}.Jobs (JobID, VO, Owner) VALUES (17, 'lhcb', 'alice')"))
    schema.migrate()
    with database.engine().connect() as connection:
        columns = {column["name"] for column in inspect(connection).get_columns("Jobs", schema=jobs)}
        row = connection.execute(
            text(f"SELECT Owner, Attempt, NextCheckAt FROM {jobs}.Jobs WHERE JobID = 17")
        )
        assert row.one() == ("alice", 0, None)
    assert {"Attempt", "NextCheckAt"} <= columns
