"""Several beats at once: one leads, and what is due is enqueued once whoever runs it, also on MariaDB."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import update

from diracx_tasks.core import database
from diracx_tasks.core.settings import settings
from diracx_tasks.engine import schedules
from diracx_tasks.engine.tables import Leader, Schedule
from tests.servers import MariaDB, Redis
from tests.unit.engine.scheduled import (
    ALONE,
    PER_VO,
    an_own_database,
    asked,
    change,
    make_due,
    run_due,
    synchronize,
)

THREADS = 6
T = TypeVar("T")


@pytest.fixture
def on_mariadb(mariadb: MariaDB, redis_server: Redis, tmp_path: Path, tasks: None) -> Iterator[None]:
    with an_own_database(mariadb, redis_server, tmp_path):
        yield


@pytest.fixture
def on_sqlite(installation: object, tasks: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DIRACX_VO", "lhcb")
    settings.cache_clear()
    yield


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.integration)])
def schedule(request: pytest.FixtureRequest) -> None:
    """A stored schedule of two entries."""
    request.getfixturevalue(f"on_{request.param}")


def at_once(action: Callable[[int], T]) -> list[T]:
    """What several threads get that begin at the same moment."""
    barrier = threading.Barrier(THREADS)

    def begin(number: int) -> T:
        barrier.wait(30)
        return action(number)

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(begin, range(THREADS)))


def test_of_many_beats_one_runs_what_is_due(schedule: None) -> None:
    synchronize()
    for _ in range(20):
        make_due(ALONE, f"{PER_VO}@lhcb")
        assert sum(at_once(lambda _: run_due())) == 2
    assert asked() == {ALONE: 20, f"{PER_VO}@lhcb": 20}


def test_every_due_time_is_enqueued_once_while_beats_go_on_looking(schedule: None) -> None:
    synchronize()
    with database.session() as db:
        database.changed(db, update(Schedule).values(own_timing={"every": 0.5}, next_at=database.utc_now()))

    def look(_: int) -> int:
        return sum(run_due() for _ in range(60))

    ran = sum(at_once(look))
    assert ran == sum(asked().values()) >= 2


def test_many_beats_make_one_schedule(schedule: None) -> None:
    assert sum(at_once(lambda _: synchronize())) == 2
    with database.reading() as db:
        assert [row.name for row in schedules.entries(db)] == [f"{PER_VO}@lhcb", ALONE]


def test_of_many_beats_one_leads(schedule: None) -> None:
    first = at_once(lambda number: lead(f"beat-{number}"))
    assert first.count(True) == 1
    assert at_once(lambda number: lead(f"beat-{number}")) == first
    with database.session() as db:
        db.execute(update(Leader).values(until=database.utc_now(-0.001), holder="gone"))
    assert at_once(lambda number: lead(f"beat-{number}")).count(True) == 1


def lead(holder: str) -> bool:
    return bool(change(schedules.lead, holder))


def test_one_beat_leads_until_it_resigns(schedule: None) -> None:
    with database.reading() as db:
        assert schedules.leader(db) is None
    assert [lead("one"), lead("two"), lead("one")] == [True, False, True]
    change(schedules.resign, "two")
    assert not lead("two")
    change(schedules.resign, "one")
    assert [lead("two"), lead("one")] == [True, False]


def test_a_beat_that_is_silent_is_followed_by_another_and_leads_again_when_that_one_is(
    schedule: None,
) -> None:
    for first, second in (("one", "two"), ("two", "one")):
        assert lead(first) and not lead(second)
        with database.session() as db:
            db.execute(update(Leader).values(until=database.utc_now(-0.001)))
        with database.reading() as db:
            assert schedules.leader(db) == (first, False)
        assert lead(second) and not lead(first)
        with database.reading() as db:
            assert schedules.leader(db) == (second, True)
