"""From Received to Waiting: jobs are held for a while, refused and narrowed by the optimizers of their VO."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select, update

from diracx_tasks.core.database import changed, session, utc_now
from diracx_tasks.jobs.events import IDEM
from diracx_tasks.jobs.optimize import BATCH, optimize
from diracx_tasks.jobs.submit import create
from diracx_tasks.jobs.tables import Job, JobEvent, Payload
from diracx_tasks.matching.tables import Queued
from tests.api.stores import installation, migrated
from tests.builders import a_new_job, template
from tests.unit.jobs.optimizing import (
    OPTIMIZERS,
    RAL,
    Configured,
    configured,
    due_now,
    lost,
    optimized,
    readable,
    statements,
    submitted,
)

__all__ = ["configured", "installation", "migrated", "statements", "template"]


def test_a_job_on_hold_is_looked_at_again_in_its_time_and_told_once(configured: Configured) -> None:
    with configured("{HoldSeconds: 100}"):
        readable(RAL, "Banned")
        job_id = submitted("/lhcb/ral")
        assert optimized(job_id)[0][0] == "Checking"
        with session() as db:
            late = (Job.next_check_at > utc_now(90), Job.next_check_at < utc_now(110))
            assert db.scalars(select(Job.job_id).where(*late)).all() == [job_id]
        due_now(job_id)
        assert optimized(job_id)[0][0] == "Checking"
        readable(RAL, "Active")
        # Nobody looks before its time.
        assert optimized(job_id)[0][0] == "Checking"
        due_now(job_id)
        assert optimized(job_id)[0][0] == "Waiting"
        with session() as db:
            told = db.scalars(select(JobEvent.status).where(JobEvent.job_id == job_id)).all()
            assert [one for one in told if one != IDEM] == ["Received", "Checking", "Waiting"]
            assert db.scalars(select(Queued.job_id)).all() == [job_id]


def test_who_is_held_for_too_long_fails_with_the_reason(configured: Configured) -> None:
    with configured("{MaxHoldSeconds: 3600}"):
        readable(RAL, "Banned")
        job_id = submitted("/lhcb/ral")
        assert optimized(job_id)[0][0] == "Checking"
        with session() as db:
            db.execute(update(Job).where(Job.job_id == job_id).values(submitted_at=utc_now(-90000)))
            held = (JobEvent.job_id == job_id, JobEvent.status == "Checking")
            db.execute(update(JobEvent).where(*held).values(at=utc_now(-7200)))
        due_now(job_id)
        ((status, minor, words, _),) = optimized(job_id)
        assert (status, minor) == ("Failed", "InputData optimizer")
        assert words == (
            "1 of 1 files (/lhcb/ral) is only at RAL-disk, which cannot be read now; it has been so for 2.0 h"
        )


def test_who_came_long_ago_is_held_as_long_as_others(configured: Configured) -> None:
    with configured("{MaxHoldSeconds: 3600}"):
        readable(RAL, "Banned")
        job_id = submitted("/lhcb/ral")
        with session() as db:
            db.execute(update(Job).where(Job.job_id == job_id).values(submitted_at=utc_now(-90000)))
        assert optimized(job_id)[0][0] == "Checking"
        due_now(job_id)
        assert optimized(job_id)[0][0] == "Checking"


def test_who_begins_anew_meanwhile_is_judged_the_next_time(configured: Configured) -> None:
    with configured("{Optimizers: [overtaken]}"):
        ids = [submitted(owner=owner) for owner in ("frank", "alice")]
        assert [status for status, _, _, _ in optimized(*ids)] == ["Received", "Received"]
        with session() as db:
            assert db.scalars(select(Queued.job_id)).all() == []


def test_a_batch_is_held_with_few_statements_and_for_a_day_at_most(
    configured: Configured, statements: Callable[[], int]
) -> None:
    with configured("{Optimizers: [patient]}"):
        with session() as db:
            create(db, [a_new_job() for _ in range(BATCH)])
        for _ in range(2):
            before = statements()
            with session() as db:
                assert optimize(db) == BATCH
            # SQLite takes the rows of one statement one by one.
            assert statements() - before < 40
            with session() as db:
                held = update(Job).where(
                    Job.next_check_at > utc_now(86300), Job.next_check_at < utc_now(86401)
                )
                assert changed(db, held.values(next_check_at=utc_now(-1))) == BATCH
        with session() as db:
            told = select(func.count()).select_from(JobEvent).where(JobEvent.status == "Checking")
            assert db.scalar(told) == BATCH


def test_an_optimizer_of_another_package_holds_refuses_and_narrows(configured: Configured) -> None:
    with configured("{Optimizers: [InputData, careful]}"):
        ids = [submitted(owner=owner) for owner in ("heidi", "frank", "oscar", "alice")]
        ids.append(submitted("/lhcb/gone", owner="oscar"))
        found = optimized(*ids)
        assert [one[:3] for one in found[:2]] == [
            ("Checking", "careful", "On Hold: not today"),
            ("Failed", "careful optimizer", "Frank may not"),
        ]
        assert [status for status, _, _, _ in found[2:]] == ["Waiting", "Waiting", "Failed"]
        with session() as db:
            record = db.scalars(select(Payload.requirements).where(Payload.job_id == ids[2])).one()
        assert record["tags"] == ["careful"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", "the optimizer broken has failed: ZeroDivisionError: nothing is divided by zero"),
        (
            "absent",
            "there is no optimizer 'absent'; "
            f"there are InputData, {', '.join(OPTIMIZERS)} (diracx.optimizers)",
        ),
        ("odd", "the optimizer odd has answered 'yes', which is no verdict"),
        (
            "clockless",
            "the optimizer clockless has answered \"Hold(words='soon', seconds='60')\", which is no verdict",
        ),
        ("silent", "the optimizer silent has failed: TypeError: it answers NoneType, no mapping of verdicts"),
        ("formless", "the optimizer formless has answered 'Narrow(requirements=None)', which is no verdict"),
    ],
)
def test_an_optimizer_that_fails_holds_the_jobs_of_its_vo_only(
    configured: Configured, name: str, words: str
) -> None:
    with configured(f"{{Optimizers: [{name}]}}"):
        ours, theirs = submitted(), submitted(vo="belle")
        found = optimized(ours, theirs)
        assert [status for status, _, _, _ in found] == ["Checking", "Waiting"]
        assert found[0][2] == f"On Hold: {words}"


def test_an_optimizer_whose_table_is_not_there_holds_the_jobs_of_its_vo_only(configured: Configured) -> None:
    with configured("{Optimizers: [tableless]}"):
        ours, theirs = submitted(), submitted(vo="belle")
        found = optimized(ours, theirs)
        assert [status for status, _, _, _ in found] == ["Checking", "Waiting"]
        assert "the optimizer tableless has failed: " in found[0][2]
        assert "SELECT" not in found[0][2]


def test_who_has_been_given_back_often_waits_longer_each_time(configured: Configured) -> None:
    with configured("{RescheduleDelays: [0, 60]}"):
        job_id = submitted()
        assert optimized(job_id)[0][0] == "Waiting"
        for attempt, then in ((1, "Waiting"), (2, "Checking")):
            lost(job_id, attempt)
            found = optimized(job_id)[0]
            assert found[0] == then
        assert found[1:3] == ("RescheduleDelays", "On Hold: rescheduled 2 times")
        due_now(job_id)
        assert optimized(job_id)[0][0] == "Waiting"
