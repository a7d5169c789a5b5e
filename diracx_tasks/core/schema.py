"""Bringing the database to this version's tables, and telling whether it is there."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from diracx_tasks.core.database import DIRAC_SCHEMAS, engine, make_engine
from diracx_tasks.core.settings import settings

LOCK = "diracx_migrate"
LOCK_SECONDS = 600
HOURS = 6 * 3600


def migrate() -> str:
    """Apply all migrations that are missing; answers the version. Two at once: the second waits."""
    # A table of ten million jobs is changed in minutes, not in the seconds of a request.
    patient = make_engine(settings().database, LOCK_SECONDS + HOURS)
    try:
        with patient.connect() as connection, _alone(connection):
            _create_databases(connection)
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    finally:
        patient.dispose()
    return head()


def current() -> str | None:
    """The version that the database has; None when it has none of our tables."""
    with engine().connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """The version that this program needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("diracx_tasks.core") / "migrations"))
    return config


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    if connection.dialect.name == "sqlite":
        # Each migration is a transaction of its own: two who migrate would take turns in the middle.
        with Path(f"{connection.engine.url.database}.migrating").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), {"name": LOCK, "seconds": LOCK_SECONDS})
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": LOCK})


def _create_databases(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        return
    for schema in DIRAC_SCHEMAS:
        name = connection.dialect.identifier_preparer.quote(settings().database_schemas.get(schema, schema))
        exists = text("SELECT 1 FROM information_schema.schemata WHERE schema_name = :name")
        if not connection.execute(exists, {"name": name.strip("`")}).first():
            connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
