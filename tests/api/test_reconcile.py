"""What should never be is put right and counted, one invariant broken by hand at a time."""

from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import commit, reading, session, utc_now
from diracx_tasks.engine import dead_letters, outbox, repairs
from diracx_tasks.engine.tables import Outbox, Repair
from diracx_tasks.jobs import control, ends, optimize, submissions
from diracx_tasks.jobs.reconcile import CHECKS, reconcile
from diracx_tasks.jobs.states import FINAL, HELD, Status
from diracx_tasks.jobs.tables import Attempt, Job, Payload, Result
from diracx_tasks.matching.tables import Queued
from tests.api.caller import Api
from tests.api.changes import a_stored_job, the
from tests.api.stores import installation, migrated
from tests.builders import a_job

__all__ = ["installation", "migrated"]
DAYS = 3 * 86400.0
NOTHING = dict.fromkeys(CHECKS, 0)
OWNED: dict[str, Any] = {"owner_task": "workflows.advance", "owner_id": 1}
WIDE = 'Executable = "echo"; Parameters = {"a", "b", "c"};'


def forget_tasks() -> None:
    """Lose all that is to be done."""
    with session() as db:
        db.execute(delete(Outbox))


def changed(job_id: int, **values: Any) -> None:
    """Break a job by hand; it has been as it is for days."""
    old = {"updated_at": utc_now(-DAYS), **values}
    with session() as db:
        db.execute(update(Job).where(Job.job_id == job_id).values(old))


def asked(key: str) -> bool:
    with reading() as db:
        return bool(outbox.known(db, [key]))


def deadline(job_id: int) -> Any:
    with reading() as db:
        return db.scalar(select(Job.next_check_at).where(Job.job_id == job_id))


def open_attempts(job_id: int) -> list[int]:
    with reading() as db:
        mine = (Attempt.job_id == job_id, Attempt.ended_at.is_(None))
        return list(db.scalars(select(Attempt.attempt).where(*mine)))


def counted() -> dict[str, int]:
    with reading() as db:
        return {name: total for name, total in repairs.totals(db).items() if total}


def put_right(name: str, count: int = 1) -> None:
    """The invariant was found broken, nothing else was, and it is not found again."""
    assert reconcile() == {**NOTHING, name: count}
    assert reconcile() == NOTHING
    assert counted() == {name: count}


def a_wide_job(api: Api, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(submissions, "AT_ONCE", 2)
    (one,) = api.post("/api/jobs/jdl", [WIDE]).json()
    return int(one["JobID"])


def test_a_healthy_system_counts_nothing(api: Api, db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    for status in Status:
        a_stored_job(db, status, **OWNED)
    for status in (*HELD, *FINAL - {Status.DELETED}):
        changed(a_stored_job(db, status, **OWNED))
    a_wide_job(api, monkeypatch)
    waiting = a_stored_job(db, Status.WAITING)
    control.reschedule(db, a_job(db, Status.RUNNING), attempt=1, reason="lost", source="Test")
    commit(db)
    assert reconcile() == NOTHING
    assert optimize.requeue(db) == 0
    commit(db)
    with reading() as after:
        assert repairs.totals(after) == {**NOTHING, "waiting_not_queued": 0, "queued_not_waiting": 0}
        assert waiting in set(after.scalars(select(Queued.job_id)))


@pytest.mark.parametrize(("status", "then"), [(Status.RUNNING, "Stalled"), (Status.MATCHED, "Received")])
def test_a_deadline_that_has_long_passed_is_looked_at(
    api: Api, db: Session, status: Status, then: str
) -> None:
    job_id = a_stored_job(db, status)
    changed(job_id, next_check_at=utc_now(-DAYS))
    put_right("overdue_unnoticed")
    assert the(api, job_id)["Status"] == then


def test_a_parametric_job_that_nobody_expands_is_expanded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = a_wide_job(api, monkeypatch)
    changed(job_id)
    # Somebody is asked to: it only takes long.
    assert reconcile() == NOTHING
    forget_tasks()
    put_right("submitting_unexpanded")
    assert asked(f"job-{job_id}.expand") and the(api, job_id)["Status"] == "Submitting"


def test_a_parametric_job_that_cannot_be_expanded_fails_and_says_why(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = a_wide_job(api, monkeypatch)
    changed(job_id)
    forget_tasks()
    found = {"key": f"job-{job_id}.expand", "task": "jobs.expand", "arguments": {"job_id": job_id}}
    with session() as db:
        error = "Traceback\nKeyError: 'nobody expected this'"
        more = {"tries": 9, "enqueued_by": "", "parent": None}
        letter = dead_letters.bury(db, {**found, **more}, since=None, error=error)
    put_right("submitting_unexpanded")
    job = the(api, job_id)
    words = f"it could not be expanded: KeyError: 'nobody expected this' (dead letter {letter})"
    assert (job["Status"], job["ApplicationStatus"]) == ("Failed", words)


def test_a_bulk_that_was_never_confirmed_fails(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.SUBMITTING)
    changed(job_id)
    put_right("submitting_unexpanded")
    job = the(api, job_id)
    assert (job["Status"], job["MinorStatus"]) == ("Failed", "Bulk transaction confirmation")


def test_a_received_job_that_nobody_optimizes_is_optimized(api: Api, db: Session) -> None:
    changed(a_stored_job(db, Status.RECEIVED))
    # The optimizer was asked for: it only has much to do.
    assert reconcile() == NOTHING
    forget_tasks()
    put_right("received_unoptimized")
    assert asked("jobs.optimize")


@pytest.mark.parametrize("status", [Status.CHECKING, Status.RESCHEDULED])
def test_a_job_that_was_lost_on_its_way_to_the_queue_begins_anew(
    api: Api, db: Session, status: Status
) -> None:
    lost, held, of_dirac = (a_stored_job(db, status) for _ in range(3))
    changed(lost)
    changed(of_dirac)
    # DIRAC's own optimizers have what is not ours to run, also for longer.
    db.execute(delete(Payload).where(Payload.job_id == of_dirac))
    commit(db)
    changed(held, next_check_at=utc_now(DAYS))
    forget_tasks()
    put_right("checking_unoptimized")
    assert [the(api, job_id)["Status"] for job_id in (lost, held, of_dirac)] == ["Received", status, status]
    assert asked("jobs.optimize")


def test_a_completed_job_that_nothing_finishes_fails(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.COMPLETED)
    changed(job_id)
    assert open_attempts(job_id) == [1]
    put_right("completed_unfinished")
    job = the(api, job_id)
    assert (job["Status"], job["MinorStatus"], open_attempts(job_id)) == ("Failed", "Pending Requests", [])


def test_attempts_that_were_left_open_are_closed(api: Api, db: Session) -> None:
    ended, running = a_stored_job(db, Status.DONE), a_stored_job(db, Status.RUNNING)
    control.reschedule(db, running, attempt=1, reason="lost", source="Test")
    db.execute(update(Attempt).values(ended_at=None))
    commit(db)
    assert (open_attempts(ended), open_attempts(running)) == ([1], [1])
    put_right("ended_attempt_open", 2)
    assert (open_attempts(ended), open_attempts(running)) == ([], [])
    found = [the(api, job_id)["Attempts"][0]["status"] for job_id in (ended, running)]
    assert found == ["Done", "Rescheduled"]


@pytest.mark.parametrize("status", sorted(FINAL))
def test_nothing_is_expected_of_a_job_that_has_ended(api: Api, db: Session, status: Status) -> None:
    job_id = a_stored_job(db, status)
    changed(job_id, next_check_at=utc_now(-DAYS))
    put_right("ended_with_deadline")
    assert deadline(job_id) is None and the(api, job_id)["Status"] == status


@pytest.mark.parametrize("status", sorted(HELD))
def test_a_job_that_a_pilot_has_gets_a_deadline(api: Api, db: Session, status: Status) -> None:
    job_id = a_stored_job(db, status)
    changed(job_id, next_check_at=None)
    put_right("held_without_deadline")
    assert deadline(job_id) is not None and the(api, job_id)["Status"] == status


def test_outputs_that_are_lost_are_counted_once(api: Api, db: Session) -> None:
    whole, lost, of_nobody = (a_stored_job(db, Status.DONE, **stated) for stated in (OWNED, OWNED, {}))
    assert reconcile() == NOTHING
    db.execute(delete(Result).where(Result.job_id.in_([lost, of_nobody])))
    for job_id in (whole, lost, of_nobody):
        db.execute(update(Job).where(Job.job_id == job_id).values(updated_at=utc_now(-7200)))
    db.execute(update(Repair).values(looked_until=utc_now(-10_000)))
    commit(db)
    put_right("done_without_outputs")
    with reading() as after:
        assert ends.outputs(after, [whole, lost]).keys() == {whole}


def test_what_waits_is_queued_and_what_does_not_is_not(db: Session) -> None:
    waiting, running = a_stored_job(db, Status.WAITING), a_stored_job(db, Status.RUNNING)
    db.execute(update(Queued).where(Queued.job_id == waiting).values(job_id=running))
    commit(db)
    assert optimize.requeue(db) == 2
    commit(db)
    assert list(db.scalars(select(Queued.job_id))) == [waiting]
    assert counted() == {"waiting_not_queued": 1, "queued_not_waiting": 1}


def test_many_are_put_right_page_by_page(api: Api, db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diracx_tasks.jobs.reconcile.AT_ONCE", 2)
    jobs = [a_stored_job(db, Status.RUNNING) for _ in range(5)]
    for job_id in jobs:
        changed(job_id, next_check_at=None)
    put_right("held_without_deadline", 5)
    assert all(map(deadline, jobs))


def test_the_metrics_have_what_was_found_and_what_never_was(api: Api, db: Session) -> None:
    changed(a_stored_job(db, Status.RUNNING), next_check_at=None)
    reconcile()
    text = api.get("/metrics", by=None).text
    assert 'diracx_repaired_total{invariant="held_without_deadline"} 1.0' in text
    assert 'diracx_repaired_total{invariant="ended_attempt_open"} 0.0' in text
