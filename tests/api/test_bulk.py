"""Kill, delete, remove, reschedule what a search finds: each job with all consequences, and no other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, select, update

from diracx_tasks.core.database import engine, reading, session, utc_now
from diracx_tasks.engine.execute import Again
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs import act, bulk, tasks
from diracx_tasks.jobs.ends import take_ended
from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.tables import Job
from diracx_tasks.sandboxes.clean import clean
from tests.api.bulk import WAITING, Row, a_job, asked, carried_out, ids, silent
from tests.api.caller import Api
from tests.api.changes import events, matched, status_of
from tests.api.stores import installation, migrated
from tests.builders import HEX, a_pilot, an_administrator
from tests.stored import counts
from tests.unit.jobs.old import a_sandbox, left, the_newest
from tests.unit.matching.ends import waiting

__all__ = ["installation", "migrated"]
ADMIN = an_administrator()


class PowerCut(Exception):
    """What a test has happen in the middle of a transaction."""


@contextmanager
def lights_out_at(begin: str, number: int) -> Iterator[None]:
    """The process is lost right after so many statements that begin so, before their commit."""
    seen = 0

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal seen
        if statement.replace("`", "").replace('"', "").startswith(begin):
            seen += 1
            if seen == number:
                raise PowerCut

    event.listen(engine(), "after_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(engine(), "after_cursor_execute", count)


def test_killed_jobs_are_out_of_the_queue_and_their_pilots_and_workflows_are_told(api: Api) -> None:
    queued = waiting(3)
    running = a_job(Status.RUNNING)
    step = a_job(Status.RUNNING, owner_task="workflows.advance", owner_id=42)
    done = a_job(Status.DONE)
    progress = carried_out(api, "kill", all=True)
    assert (progress["found"], progress["done"], progress["changed"]) == (6, 6, {"Killed": 5})
    words = "Done: it cannot become Killed"
    assert progress["kept"] == [{"reason": words, "jobs": 1, "first": [done]}]
    assert matched(api) == []
    assert [status_of(api, one) for one in (*queued, running, step)] == ["Killed"] * 5
    assert events(running)[-1] == ("Killed", "Marked for termination", "killed by alice", "JobManager")
    beat = api.patch("/api/jobs/heartbeat", {str(running): {"Attempt": 1}}, by=a_pilot())
    assert beat.json() == [{"job_id": running, "command": "Kill", "arguments": ""}]
    with session() as db:
        assert db.get_one(Outbox, "workflow-42.advance").task == "workflows.advance"
        taken = take_ended(db, "workflows.advance", 42, 10)
        assert [(one.job_id, one.status) for one in taken] == [(step, Status.KILLED)]


def test_deleting_kills_what_has_not_ended_exactly_as_for_one_job(api: Api) -> None:
    statuses = [status for status in Status if status is not Status.DELETED]
    many = [a_job(status) for status in statuses]
    single = [a_job(status) for status in statuses]
    for job_id in single:
        api.post(f"/api/jobs/{job_id}/delete")
    progress = carried_out(api, "delete", ids(*many))
    assert progress["changed"] == {"Deleted": len(statuses) - 1}
    assert [one["reason"] for one in progress["kept"]] == ["Completed: it cannot become Deleted"]
    for one, other in zip(many, single, strict=True):
        assert status_of(api, one) == status_of(api, other)
        assert events(one) == events(other)
    assert matched(api) == []


def test_a_dry_run_counts_and_changes_nothing(api: Api) -> None:
    mine, running, others = waiting(3), a_job(Status.RUNNING), waiting(2, owner="bob")
    a_job(Status.DONE)
    waiting(1, vo="belle")
    found = asked(api, "kill", all=True, dry_run=True)
    counted = {"found": 5, "by_status": {"Done": 1, "Running": 1, "Waiting": 3}, "possible": 4, "others": 2}
    assert found == {"bulk_id": None, "follow": None, **counted}
    assert asked(api, "kill", WAITING, by=ADMIN, dry_run=True)["found"] == 5
    assert asked(api, "remove", all=True, dry_run=True)["possible"] == 1
    with reading() as db:
        assert not list(db.scalars(select(Outbox.key).where(Outbox.task == bulk.TASK)))
        assert set(db.scalars(select(Job.status).where(Job.job_id.in_([*mine, *others])))) == {"Waiting"}
    assert status_of(api, running) == "Running"


def test_others_jobs_stay_unless_an_administrator_of_the_vo_asks(api: Api) -> None:
    mine, bobs, belles = waiting()[0], waiting(owner="bob")[0], waiting(vo="belle")[0]
    alike = waiting(owner="Alice")[0]
    assert carried_out(api, "kill", WAITING)["changed"] == {"Killed": 1}
    with reading() as db:
        statuses = dict(db.execute(select(Job.job_id, Job.status)).all())
    assert statuses == {mine: "Killed", bobs: "Waiting", belles: "Waiting", alike: "Waiting"}
    assert carried_out(api, "kill", WAITING, by=ADMIN)["changed"] == {"Killed": 2}
    with reading() as db:
        assert db.get_one(Job, belles).status == "Waiting"


def test_jobs_that_come_or_move_on_after_the_request_are_not_touched(api: Api) -> None:
    before, moves = waiting(2), waiting()[0]
    found = asked(api, "kill", WAITING)
    with session() as db:
        db.execute(update(Job).where(Job.job_id == moves).values(status="Running"))
    later = waiting(2)
    tasks.act_in_bulk.run(bulk_id=found["bulk_id"])
    assert [status_of(api, one) for one in before] == ["Killed"] * 2
    assert [status_of(api, one) for one in later] == ["Waiting"] * 2
    assert status_of(api, moves) == "Running"
    assert api.get(found["follow"]).json()["changed"] == {"Killed": 2}


def test_a_worker_that_is_lost_in_the_middle_loses_and_repeats_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act, "PAGE", 4)
    jobs = waiting(11)
    number = asked(api, "delete", WAITING)["bulk_id"]
    with lights_out_at("UPDATE BulkActions", 2), pytest.raises(Again):
        tasks.act_in_bulk.run(bulk_id=number)
    assert [status_of(api, one) for one in jobs] == ["Deleted"] * 4 + ["Waiting"] * 7
    assert api.get(f"/api/jobs/bulk/{number}").json()["changed"] == {"Deleted": 4}
    for _ in range(2):
        assert tasks.act_in_bulk.run(bulk_id=number) == "11 Deleted, 0 kept"
    for job_id in jobs:
        assert status_of(api, job_id) == "Deleted"
        assert [one[0] for one in events(job_id)].count("Deleted") == 1


def test_a_task_whose_turn_is_over_asks_to_go_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(act, "PAGE", 2)
    monkeypatch.setattr(tasks, "TURN", -1.0)
    waiting(3)
    number = asked(api, "kill", WAITING)["bulk_id"]
    monkeypatch.setattr(tasks, "TURN", 0.0)
    with session() as db:
        assert bulk.step(db, number)
    assert tasks.act_in_bulk.run(bulk_id=number).startswith("2 Killed, 0 kept, up to job ")
    with reading() as db:
        assert db.get_one(Outbox, f"bulk-{number}.act").arguments == {"bulk_id": number}


def test_removed_jobs_are_gone_with_everything_and_the_others_are_refused_by_name(api: Api) -> None:
    gone = [a_job(status) for status in FINAL]
    step = a_job(Status.DONE, owner_task="workflows.advance", owner_id=42)
    runs, stopped = a_job(Status.RUNNING), a_job(Status.COMPLETED)
    silent(*gone)
    with session() as db:
        sandbox = a_sandbox(db, HEX, f"Job:{gone[0]}")
        assert clean(db) == 0
    the_newest()
    progress = carried_out(api, "remove", ids(*gone, step, runs, stopped))
    assert progress["changed"] == {"removed": 4}
    assert {one["reason"]: one["first"] for one in progress["kept"]} == {
        "Running: it has not ended; kill it first": [runs],
        "Completed: it has not ended; kill it first": [stopped],
        "a step of a workflow, which is removed with its jobs": [step],
    }
    assert left(*gone, step, runs, stopped) == [4, 5, 6]
    assert not any(counts("JobID", job_id) for job_id in gone)
    with session() as db:
        assert sandbox and clean(db) == 1


def test_a_job_of_which_a_pilot_may_still_speak_is_removed_when_that_is_over(api: Api) -> None:
    fresh, never = a_job(Status.DONE), waiting()[0]
    api.post(f"/api/jobs/{never}/kill")
    the_newest()
    progress = carried_out(api, "remove", ids(fresh, never))
    assert progress["changed"] == {"Deleted": 1, "removed": 1}
    assert left(fresh, never) == [0] and status_of(api, fresh) == "Deleted"
    again = carried_out(api, "remove", ids(fresh))
    assert [one["reason"] for one in again["kept"]] == [
        "Deleted already: removed an hour after its last change"
    ]
    silent(fresh)
    with session() as db:
        db.execute(update(Job).where(Job.job_id == fresh).values(updated_at=utc_now(-7200)))
    assert tasks.purge.run(vo="lhcb").startswith("1 removed") and left(fresh) == []


def test_rescheduled_jobs_begin_anew_and_the_others_say_why(api: Api) -> None:
    again, deleted = a_job(Status.FAILED), a_job(Status.DELETED)
    step = a_job(Status.FAILED, owner_task="workflows.advance", owner_id=42)
    running = a_job(Status.RUNNING)
    progress = carried_out(api, "reschedule", all=True)
    assert progress["changed"] == {"Received": 2}
    assert {one["reason"]: one["first"] for one in progress["kept"]} == {
        "Deleted: it cannot become Rescheduled": [deleted],
        "has ended as a step of workflow 42: submit the workflow again": [step],
    }
    assert status_of(api, again) == status_of(api, running) == "Received"
    beat = api.patch("/api/jobs/heartbeat", {str(running): {"Attempt": 1}}, by=a_pilot())
    assert beat.json() == [{"job_id": running, "command": "Kill", "arguments": ""}]


def test_reasons_that_are_many_are_counted_together(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "REASONS", 1)
    owners = (42, 43, 44)
    steps = [a_job(Status.FAILED, owner_task="workflows.advance", owner_id=one) for one in owners]
    kept = carried_out(api, "reschedule", all=True)["kept"]
    assert [(one["jobs"], one["first"]) for one in kept] == [(2, steps[1:]), (1, steps[:1])]
    assert kept[0]["reason"] == "for other reasons"


def test_few_among_many_are_found(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "WINDOW", 2)
    mine = [job_id for _ in range(3) for job_id in (*waiting(), *waiting(3, vo="belle"))]
    progress = carried_out(api, "kill", WAITING)
    assert progress["changed"] == {"Killed": 3}
    assert [status_of(api, one) for one in mine[::4]] == ["Killed"] * 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"action": "kill", "search": [{**WAITING, "operator": "not in", "values": []}]}, "the condition on"),
        ({"action": "kill"}, "no condition is stated: say `all` if every job of yours is meant"),
        ({"action": "kill", "all": True, "search": [WAITING]}, "`all` and conditions are stated"),
        ({"action": "kill", "search": [{**WAITING, "parameter": "Colour"}]}, "Unknown column Colour"),
    ],
)
def test_what_is_not_clearly_meant_is_refused(api: Api, body: Row, words: str) -> None:
    job_id = waiting()[0]
    answer = api.post("/api/jobs/bulk", body)
    assert answer.status_code == 400 and answer.json()["detail"].startswith(words)
    assert status_of(api, job_id) == "Waiting"
