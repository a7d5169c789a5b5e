"""A schedule of two tasks, changed through the configuration, for tests."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from sqlalchemy import select, text, update

from diracx_tasks.core import config, database
from diracx_tasks.core.schema import migrate
from diracx_tasks.engine import schedules, task
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.engine.tables import Outbox, Schedule
from tests.builders import Installation, environment
from tests.servers import MariaDB, Redis

ALONE, PER_VO = "subject.sweep", "subject.check"
Write = Callable[[str], None]


@pytest.fixture
def tasks() -> Iterator[None]:
    """One task every minute and one per VO at three, and no others."""
    before = dict(REGISTRY)
    REGISTRY.clear()

    def sweep() -> str:
        return "swept"

    def check(vo: str) -> str:
        return f"{vo} checked"

    for verb in (sweep, check):
        verb.__module__ = "tests.subject.tasks"
    task.task(every=60)(sweep)
    task.task(cron="0 3 * * *", per_vo=True)(check)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)
    schedules.EXTRA.clear()
    for name in (ALONE, PER_VO):
        current_app.tasks.pop(name, None)


@pytest.fixture
def configure(
    installation: Installation, tasks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Write]:
    """Change the configuration, with two VOs, and make the schedule anew."""
    monkeypatch.setattr(config, "CHECK_SECONDS", 0.0)
    file = tmp_path / "configuration.yml"
    stated = {"DIRACX_DATA": str(installation.folder), "DIRACX_REDIS_URL": installation.redis.url}

    def write(operations: str) -> None:
        file.write_text(f"Registry: {{lhcb: {{}}, atlas: {{}}}}\nOperations: {{{operations}}}")
        assert config.problem() == ""
        synchronize()

    file.write_text("Registry: {lhcb: {}, atlas: {}}")
    with environment(**stated, DIRACX_CONFIG_BACKEND_URL=str(file)):
        synchronize()
        yield write


def synchronize() -> int:
    with database.session() as db:
        return schedules.synchronize(db)


def run_due() -> int:
    with database.session() as db:
        return schedules.run_due(db)


def entry(name: str) -> Schedule:
    with database.reading() as db:
        return schedules.find(db, name)


def asked() -> dict[str, int]:
    """How often what was asked for, by key."""
    with database.reading() as db:
        return {row.key: row.asked for row in db.scalars(select(Outbox))}


def now() -> datetime:
    with database.reading() as db:
        return database.database_time(db)


def make_due(*names: str, seconds: float = 1) -> None:
    with database.session() as db:
        database.changed(
            db, update(Schedule).where(Schedule.name.in_(names)).values(next_at=database.utc_now(-seconds))
        )


def change(verb: Callable[..., Any], *arguments: Any) -> Any:
    with database.session() as db:
        return verb(db, *arguments)


@contextmanager
def an_own_database(mariadb: MariaDB, redis: Redis, folder: Path, **more: str) -> Iterator[dict[str, str]]:
    """An empty database on the real server, migrated, and an empty Redis; gives the settings."""
    mark = secrets.token_hex(3)
    redis.flush()
    names = ", ".join(f'"{name}": "{name}_{mark}"' for name in database.DIRAC_SCHEMAS)
    stated = {
        "DIRACX_DATA": str(folder),
        "DIRACX_REDIS_URL": redis.url,
        "DIRACX_DATABASE_URL": mariadb.url_of(f"ours_{mark}"),
        "DIRACX_DATABASE_SCHEMAS": f"{{{names}}}",
        "DIRACX_VO": "lhcb",
        **more,
    }
    with environment(DIRACX_DATABASE_URL=mariadb.url), database.engine().connect() as connection:
        connection.execute(text(f"CREATE DATABASE ours_{mark} CHARACTER SET utf8mb4"))
    with environment(**stated):
        migrate()
        yield stated
