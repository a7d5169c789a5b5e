"""Snapshots of the states of jobs: one a bucket, complete, and without what ended long ago."""

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from diracx_tasks.accounting import report, snapshots
from diracx_tasks.accounting.report import Question
from diracx_tasks.accounting.tables import StateBucket, StateCount
from diracx_tasks.core.database import changed, database_time, reading, session, utc_now
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.jobs import control, state_counts
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Attempt, Job
from tests.api.stores import ON_MARIADB
from tests.builders import VO, Installation, an_administrator
from tests.unit.matching.ends import end, ended, held, waiting

pytestmark = pytest.mark.usefixtures("before")
STEP = timedelta(seconds=snapshots.SECONDS)


@pytest.fixture
def before(installation: Installation) -> None:
    """An installation whose last snapshot, of nothing, is some minutes old."""
    assert take(soon() - 4 * STEP)


def soon() -> datetime:
    """When everything that has ended by now is settled."""
    with reading() as db:
        return database_time(db) + 2 * STEP


def take(moment: datetime) -> bool:
    with reading() as db:
        found = snapshots.look(db, moment)
    if found is None:
        return False
    with session() as db:
        return snapshots.store(db, found)


def counted(moment: datetime, *by: str, vo: str = VO, **only: Any) -> Mapping[tuple[Any, ...], int]:
    """What the snapshot of a moment has, as an administrator sees it."""
    question = Question(by, since=snapshots.bucket_of(moment), until=moment + STEP, only=only)
    with reading() as db:
        found = report.states(db, question, by=an_administrator(vo=vo))
    assert {one.at for one in found} <= {snapshots.bucket_of(moment)}
    return {tuple(one.of.values()): one.jobs for one in found}


def test_jobs_are_counted_by_place_person_kind_and_state() -> None:
    waiting(3)
    waiting(1, owner="bob", group="prod", job_type="MCSimulation")
    held(2, site="CERN")
    ended(1, Status.DONE, "RAL/n1")
    waiting(5, vo="belle")
    moment = soon()
    assert take(moment)
    assert counted(moment, "status") == {("Waiting",): 4, ("Running",): 2, ("Done",): 1}
    assert counted(moment, "site") == {("ANY",): 4, ("CERN",): 2, ("RAL",): 1}
    assert counted(moment, "owner", "group") == {("alice", "user"): 6, ("bob", "prod"): 1}
    assert counted(moment, "job_type", status="Waiting") == {("User",): 3, ("MCSimulation",): 1}
    assert sum(counted(moment, "minor_status").values()) == 7
    assert counted(moment, vo="belle") == {(): 5}


def test_there_is_one_snapshot_a_bucket_and_the_first_stays() -> None:
    waiting(2)
    moment = soon()
    assert take(moment)
    waiting(3)
    assert not take(moment)
    assert not take(snapshots.bucket_of(moment) + STEP - timedelta(seconds=1))
    assert counted(moment) == {(): 2}
    assert take(moment + STEP)
    assert counted(moment + STEP) == {(): 5}


def test_of_two_who_have_looked_at_once_one_stores() -> None:
    waiting(2)
    moment = soon()
    with reading() as db:
        first, second = snapshots.look(db, moment), snapshots.look(db, moment)
    assert first and second
    for found, is_stored in ((first, True), (second, False)):
        with session() as db:
            assert snapshots.store(db, found) is is_stored
    assert counted(moment) == {(): 2}


@ON_MARIADB
def test_of_many_who_store_at_once_one_does() -> None:
    waiting(2)
    moment = soon()
    stored: list[bool] = []
    threads = [threading.Thread(target=lambda: stored.append(take(moment))) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(stored) == [False] * 5 + [True]
    assert counted(moment) == {(): 2}


def test_what_has_ended_is_in_one_snapshot_only() -> None:
    ended(2, Status.DONE)
    ended(1, Status.FAILED)
    moment = soon()
    take(moment)
    assert counted(moment, "status") == {("Done",): 2, ("Failed",): 1}
    take(moment + STEP)
    assert counted(moment + STEP) == {}
    jobs = waiting(1)
    with session() as db:
        control.kill(db, jobs[0], by=an_administrator())
        later = snapshots.bucket_of(moment) + STEP
        changed(db, update(Job).where(Job.job_id.in_(jobs)).values(ended_at=later, updated_at=later))
    take(moment + 2 * STEP)
    assert counted(moment + 2 * STEP, "status") == {("Killed",): 1}


@pytest.mark.parametrize("hours", [-2, 2], ids=["late", "wrong"])
def test_an_end_counts_when_it_is_known_whatever_its_pilots_clock_says(hours: int) -> None:
    jobs = ended(2, Status.DONE)
    moment = soon()
    with session() as db:
        stated = snapshots.bucket_of(moment) + timedelta(hours=hours)
        changed(db, update(Job).where(Job.job_id.in_(jobs)).values(ended_at=stated))
    take(moment)
    assert counted(moment, "status") == {("Done",): 2}
    later = moment + timedelta(hours=3)
    take(later)
    assert counted(later) == {}


def test_a_job_that_is_deleted_after_its_end_has_not_ended_again() -> None:
    (job_id,) = waiting(1)
    with session() as db:
        control.kill(db, job_id, by=an_administrator())
        long_ago = utc_now(-3 * 3600)
        values = {"ended_at": long_ago, "updated_at": long_ago}
        changed(db, update(Job).where(Job.job_id == job_id).values(values))
        control.remove(db, job_id, by=an_administrator())
    moment = soon()
    take(moment)
    assert counted(moment) == {}


def test_ends_of_a_pause_without_snapshots_are_in_the_next() -> None:
    moment = soon()
    take(moment)
    jobs = held(1)
    with session() as db:
        end(db, jobs, Status.DONE)
        during = moment + 3 * STEP
        changed(db, update(Job).where(Job.job_id.in_(jobs)).values(ended_at=during, updated_at=during))
        changed(db, update(Attempt).where(Attempt.job_id.in_(jobs)).values(ended_at=during))
    take(moment + 9 * STEP)
    assert counted(moment + 9 * STEP, "status") == {("Done",): 1}


def test_jobs_are_counted_slice_by_slice_none_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_counts, "SLICE", 3)
    waiting(7)
    held(6)
    waiting(1, owner="Alice")
    moment = soon()
    take(moment)
    assert counted(moment, "status") == {("Waiting",): 8, ("Running",): 6}
    assert counted(moment, "owner") == {("alice",): 13, ("Alice",): 1}


def test_the_task_takes_the_snapshot_of_its_time() -> None:
    waiting(2)
    assert REGISTRY["accounting.snapshot"].function() == "2 jobs of 1 kinds"
    with reading() as db:
        bucket = db.scalars(select(StateBucket).order_by(StateBucket.at.desc()).limit(1)).one()
    assert bucket.at <= bucket.taken_at and bucket.at == snapshots.bucket_of(bucket.at)
    assert (bucket.kinds, bucket.sent_at) == (1, None)
    assert REGISTRY["accounting.send_snapshots"].function() == "no OpenSearch"


def test_old_snapshots_are_forgotten_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "AT_ONCE", 2)
    waiting(1)
    moment = soon()
    for number in range(5):
        take(moment + number * STEP)
    old = snapshots.bucket_of(moment) - timedelta(days=31)
    with session() as db:
        for number in range(3):
            for table in (StateCount, StateBucket):
                mine = table.at == snapshots.bucket_of(moment) + number * STEP
                changed(db, update(table).where(mine).values(at=old + number * STEP))
    assert REGISTRY["accounting.forget"].function() == "3 snapshots, 0 records, 0 sums forgotten"
    with reading() as db:
        counts = [db.scalar(select(func.count()).select_from(table)) for table in (StateBucket, StateCount)]
    assert counts == [3, 2]
