"""Recent use: every ended attempt is counted once, whatever comes between."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from diracx_tasks.core.database import changed, database_time, reading, session, utc_now
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Attempt, Payload
from diracx_tasks.jobs.use import Position, ended_since
from diracx_tasks.matching import use
from diracx_tasks.matching.tables import Cursor, Use
from tests.builders import VO
from tests.unit.matching.ends import ended, held, shift

pytestmark = pytest.mark.usefixtures("installation")
HOUR, DAY = 3600, 86400
LONG_AGO = 10 * 60.0


def count(vo: str = VO) -> int:
    with session() as db:
        return use.count(db, vo)


def used(seconds: float = DAY, vo: str = VO) -> dict[tuple[str, str], int]:
    with reading() as db:
        return use.recent(db, vo, seconds)


def test_use_is_core_seconds_by_group_and_owner() -> None:
    ended(2, Status.DONE, ago=LONG_AGO)
    ended(1, Status.FAILED, ago=LONG_AGO, owner="bob", group="prod")
    (wide,) = ended(1, Status.DONE, ago=LONG_AGO, owner="carol")
    with session() as db:
        changed(db, update(Payload).where(Payload.job_id == wide).values(requirements={"cores": 8}))
    assert count() == 4
    assert used() == {("user", "alice"): 120, ("prod", "bob"): 60, ("user", "carol"): 480}


def test_an_attempt_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "SETTLED", 0)
    ended(2, Status.DONE, ago=LONG_AGO)
    assert (count(), count()) == (2, 0)
    shift(ended(1, Status.DONE), started=60, ended_ago=0)
    assert (count(), count()) == (1, 0)
    assert used() == {("user", "alice"): 180}


def test_what_was_counted_in_a_transaction_that_failed_is_counted_again() -> None:
    ended(2, Status.DONE, ago=LONG_AGO)
    with pytest.raises(RuntimeError), session() as db:
        assert use.count(db, VO) == 2
        raise RuntimeError
    assert count() == 2 and used() == {("user", "alice"): 120}


def test_ends_at_the_same_moment_are_all_counted_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "PAGE", 3)
    jobs = ended(8, Status.DONE, ago=LONG_AGO)
    with session() as db:
        moment = db.scalar(select(func.max(Attempt.ended_at)))
        same = update(Attempt).where(Attempt.job_id.in_(jobs)).values(ended_at=moment)
        changed(db, same)
    assert [count() for _ in range(4)] == [3, 3, 2, 0]
    assert used()[("user", "alice")] >= 8 * 60


def test_an_end_that_is_committed_a_minute_late_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    late = held(1)
    ended(1, Status.DONE, ago=130)
    ended(1, Status.DONE, ago=30)
    assert count() == 1
    shift(late, started=200, ended_ago=90)
    assert count() == 0
    monkeypatch.setattr(use, "SETTLED", 60)
    assert count() == 1
    monkeypatch.setattr(use, "SETTLED", 0)
    assert count() == 1


def test_a_vo_that_ends_nothing_does_not_read_what_others_ended_again_and_again() -> None:
    ended(1, Status.DONE, ago=LONG_AGO)
    for vo in (VO, "belle"):
        count(vo)
        with reading() as db:
            reached = db.scalars(select(Cursor.ended_at).where(Cursor.vo == vo)).one()
            behind = database_time(db) - reached
        assert timedelta(seconds=use.SETTLED) <= behind < timedelta(seconds=use.SETTLED + 60)


def test_a_cursor_does_not_pass_ends_that_are_left_for_the_next_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "PAGE", 2)
    ended(2, Status.DONE, ago=LONG_AGO)
    ended(1, Status.DONE, ago=LONG_AGO - 60)
    assert [count() for _ in range(3)] == [2, 1, 0]


def test_only_what_is_recent_counts_and_the_rest_is_forgotten() -> None:
    ended(1, Status.DONE, ago=5 * HOUR, owner="bob")
    ended(1, Status.DONE, ago=LONG_AGO)
    count()
    assert used(HOUR).keys() == {("user", "alice")} and len(used()) == 2
    with session() as db:
        changed(db, update(Use).where(Use.owner == "bob").values(hour=utc_now(-31 * DAY)))
        assert use.forget(db, VO) == 1
    assert used(60 * DAY).keys() == {("user", "alice")}


def test_vos_are_counted_apart() -> None:
    ended(1, Status.DONE, ago=LONG_AGO, vo="belle")
    assert (count(), count("belle")) == (0, 1)
    assert used() == {} and used(vo="belle") == {("user", "alice"): 60}


def test_pages_of_ended_attempts_miss_none_and_repeat_none() -> None:
    jobs = [*ended(3, Status.DONE, ago=300), *ended(3, Status.FAILED, ago=200), *ended(1, Status.KILLED)]
    held(2)
    with reading() as db:
        position, seen = Position(db.scalars(select(func.min(Attempt.started_at))).one()), []
        now = database_time(db)
        while page := ended_since(db, VO, position, 2, until=now):
            seen += page
            position = page[-1].position
        settled = ended_since(db, VO, Position(seen[0].ended_at), 10, until=now - timedelta(seconds=250))
    assert [one.job_id for one in seen] == jobs
    assert [one.is_good for one in seen] == [True] * 3 + [False] * 3 + [None]
    assert (seen[0].seconds, seen[0].site, seen[0].node, seen[0].ce) == (60.0, "CERN", "n1", "ce1")
    assert len(settled) == 3
