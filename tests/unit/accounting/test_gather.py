"""What attempts used is counted, each attempt once, however late its end is known."""

import threading
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from diracx_tasks.accounting import tasks, usage
from diracx_tasks.accounting.tables import UsageHour, UsageRecord
from diracx_tasks.core.database import changed, new_session, reading, session, utc_now
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.jobs import control, to_count
from diracx_tasks.jobs.optimize import optimize
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Attempt, Payload, ToCount
from tests.api.stores import ON_MARIADB
from tests.builders import an_administrator, claim
from tests.unit.accounting.attempts import LONG_AGO, gather, measured, sums, used
from tests.unit.matching.ends import end, ended, held, shift, waiting

pytestmark = pytest.mark.usefixtures("installation")
DAY = 86400
ADMIN = an_administrator()


def forget() -> str:
    return REGISTRY["accounting.forget"].function()


def backlog() -> int:
    with reading() as db:
        return to_count.backlog(db)


def test_what_attempts_used_is_summed_by_place_person_kind_and_end() -> None:
    measured(2, owner="alice")
    measured(1, Status.FAILED, "RAL/n7", owner="bob", group="prod", job_type="MCSimulation")
    assert gather() == 3
    assert sums("site") == {("CERN",): (2, 60.0), ("RAL",): (1, 30.0)}
    assert sums("owner", "group") == {("alice", "user"): (2, 60.0), ("bob", "prod"): (1, 30.0)}
    assert sums("job_type", "status") == {("User", "Done"): (2, 60.0), ("MCSimulation", "Failed"): (1, 30.0)}
    (whole,) = used()
    assert (whole.attempts, whole.measured, whole.wall_seconds) == (3, 3, 120.0)
    assert (whole.memory_mb, whole.disk_mb, whole.cpu_share) == (512.0, 20.5, 0.75)


def test_core_time_counts_the_cores_that_were_asked_for() -> None:
    (wide,) = measured(1)
    with session() as db:
        changed(db, update(Payload).where(Payload.job_id == wide).values(requirements={"cores": 8}))
    gather()
    (found,) = used()
    assert (found.wall_seconds, found.core_seconds, found.cpu_share) == (40.0, 320.0, 30 / 320)


def test_of_attempts_that_have_told_nothing_only_the_wall_time_counts() -> None:
    measured(1)
    ended(2, Status.KILLED, ago=LONG_AGO)
    gather()
    (found,) = used()
    assert (found.attempts, found.measured, found.cpu_seconds) == (3, 1, 30.0)
    assert found.wall_seconds == pytest.approx(160, abs=1)
    assert (found.memory_mb, found.cpu_share) == (512.0, 0.75)
    assert [one.memory_mb for one in used("status") if one.of == {"status": "Killed"}] == [None]


def test_an_attempt_is_counted_once_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PAGE", 3)
    measured(8)
    assert [gather() for _ in range(4)] == [3, 3, 2, 0]
    assert sums() == {(): (8, 240.0)} and backlog() == 0
    assert REGISTRY["accounting.gather"].function() == "0 attempts counted"
    measured(4)
    assert REGISTRY["accounting.gather"].function() == "4 attempts counted"
    assert sums() == {(): (12, 360.0)}


def test_what_a_turn_is_too_short_for_is_counted_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PAGE", 3)
    monkeypatch.setattr(tasks, "TURN", 0)
    measured(5)
    counted = REGISTRY["accounting.gather"].function
    assert [counted() for _ in range(3)] == [f"{count} attempts counted" for count in (3, 2, 0)]
    assert sums() == {(): (5, 150.0)}


def test_what_was_counted_in_a_transaction_that_failed_is_counted_again() -> None:
    measured(2)
    with pytest.raises(RuntimeError), session() as db:
        assert usage.gather(db) == 2
        raise RuntimeError
    assert sums() == {} and backlog() == 2
    assert gather() == 2 and sums() == {(): (2, 60.0)}


def test_an_end_that_comes_after_later_ones_were_counted_is_counted() -> None:
    late = held(1)
    measured(1, ago=60)
    assert gather() == 1
    with session() as db:
        end(db, late, Status.DONE)
    shift(late, started=3 * 3600, ended_ago=2 * 3600)
    assert (gather(), gather()) == (1, 0)
    assert sums() == {(): (2, 30.0)} and len(used(bucket="hour")) == 2


@ON_MARIADB
def test_an_end_that_is_committed_after_later_ones_were_counted_is_counted() -> None:
    (slow,) = held(1)
    measured(1)
    with new_session() as open_one:
        to_count.note(open_one, Attempt.job_id == slow)
        ended_at = {"ended_at": utc_now(-2 * LONG_AGO), "started_at": utc_now(-3 * LONG_AGO)}
        changed(open_one, update(Attempt).where(Attempt.job_id == slow).values(status="Done", **ended_at))
        assert (gather(), gather()) == (1, 0)
        open_one.commit()
    assert (gather(), gather()) == (1, 0)
    assert sums() == {(): (2, 30.0)}


@ON_MARIADB
def test_several_who_count_at_once_count_each_attempt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PAGE", 7)
    measured(60)
    told: list[str] = []
    task = REGISTRY["accounting.gather"].function
    threads = [threading.Thread(target=lambda: told.append(task())) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(int(one.partition(" ")[0]) for one in told) == 60 - backlog()
    task()
    assert backlog() == 0
    assert sums() == {(): (60, 1800.0)}


@ON_MARIADB
def test_an_attempt_that_two_end_at_once_is_counted_once() -> None:
    job_id = held(1)[0]
    with new_session() as first:
        to_count.note(first, Attempt.job_id == job_id)
        changed(first, update(Attempt).where(Attempt.job_id == job_id).values(ended_at=utc_now()))

        def another() -> None:
            with session() as db:
                to_count.note(db, Attempt.job_id == job_id)

        waits = threading.Thread(target=another)
        waits.start()
        first.commit()
        waits.join()
    assert gather() == 1 and backlog() == 0


def test_an_attempt_that_is_entered_again_is_not_counted_again() -> None:
    (job_id,) = measured(1)
    gather()
    with session() as db:
        db.execute(insert(ToCount).values(job_id=job_id, attempt=1))
    assert gather() == 1 and backlog() == 0
    assert sums() == {(): (1, 30.0)}


def test_each_attempt_of_a_job_counts_also_one_that_was_given_up() -> None:
    job_id = held(1)[0]
    with session() as db:
        control.reschedule(db, job_id, attempt=1, reason="lost", source="test")
    with session() as db:
        optimize(db)
        assert claim(db, job_id, pilot="stamp-2") == 2
        end(db, [job_id], Status.FAILED)
    assert gather() == 2
    assert {one.of["status"]: one.attempts for one in used("status")} == {"Rescheduled": 1, "Failed": 1}


def test_a_job_that_no_pilot_had_has_no_attempt_to_count() -> None:
    (job_id,) = waiting(1)
    with session() as db:
        control.kill(db, job_id, by=ADMIN)
    assert gather() == 0


def test_a_job_that_is_gone_does_not_keep_the_others_from_being_counted() -> None:
    gone, _ = measured(2)
    with session() as db:
        changed(db, delete(Attempt).where(Attempt.job_id == gone))
    assert gather() == 2 and backlog() == 0
    assert sums() == {(): (1, 30.0)}


def test_names_that_differ_in_capitals_are_counted_apart() -> None:
    measured(1, owner="alice")
    measured(1, owner="Alice")
    gather()
    assert sums("owner") == {("alice",): (1, 30.0), ("Alice",): (1, 30.0)}


def test_records_say_which_workflow_and_computing_element() -> None:
    measured(2, owner_task="workflows.advance", owner_id=42)
    measured(1)
    gather()
    assert sums("workflow_id") == {(42,): (2, 60.0), (0,): (1, 30.0)}
    assert sums("ce", only={"workflow_id": 42}) == {("ce1",): (2, 60.0)}


def shifted(table: Any, days: float) -> None:
    with session() as db:
        changed(db, update(table).values(hour=utc_now(-days * DAY)))


def test_sums_and_records_are_forgotten_when_their_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PAGE", 2)
    measured(5)
    REGISTRY["accounting.gather"].function()
    assert forget() == "0 snapshots, 0 records, 0 sums forgotten"
    shifted(UsageRecord, 91)
    shifted(UsageHour, 729)
    assert forget() == "0 snapshots, 5 records, 0 sums forgotten"
    shifted(UsageHour, 731)
    assert forget() == "0 snapshots, 0 records, 1 sums forgotten"
    with reading() as db:
        left = [db.scalar(select(func.count()).select_from(table)) for table in (UsageHour, UsageRecord)]
    assert left == [0, 0]
