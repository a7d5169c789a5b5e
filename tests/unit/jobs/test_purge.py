"""Old jobs go when their time has come, and nobody else's with them."""

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.accounting import usage
from diracx_tasks.core.database import reading, session, utc_now
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs import beats, purge, tasks
from diracx_tasks.jobs.heartbeat import Beat
from diracx_tasks.jobs.purge import Deed, Page, Rule
from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.tables import Cleaned, Job
from tests.api.stores import installation, migrated
from tests.builders import VO, Installation, a_job, a_pilot
from tests.unit.jobs.old import DAY, HOUR, an_old_job, delays, left, purged, status_of, the_newest
from tests.unit.matching.ends import configured, ended

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")
DONE = Rule(VO, Deed.REMOVE, Status.DONE, 7 * DAY)


def test_jobs_go_a_week_after_their_end_and_deleted_ones_after_an_hour() -> None:
    ends = [status for status in FINAL if status is not Status.DELETED]
    old = [an_old_job(status, 7.1) for status in ends] + [an_old_job(Status.DELETED, 1.1 * HOUR)]
    young = [an_old_job(status, 6.9) for status in ends] + [an_old_job(Status.DELETED, 0.9 * HOUR)]
    unended = [an_old_job(status, 900) for status in (Status.RECEIVED, Status.WAITING, Status.RUNNING)]
    assert purged() == "4 removed, heartbeats of 0 forgotten, 0 killed"
    assert left(*old) == []
    assert left(*young) == [0, 1, 2, 3] and left(*unended) == [0, 1, 2]
    assert purged() == "0 removed, heartbeats of 0 forgotten, 0 killed"


def test_a_job_goes_only_when_what_it_used_is_counted() -> None:
    (job_id,) = ended(1, Status.DONE)
    aged(job_id, 8)
    assert purged() == "0 removed, heartbeats of 0 forgotten, 0 killed"
    with session() as db:
        usage.gather(db)
        db.execute(update(Cleaned).values(begun_at=utc_now(-1.1 * DAY)))
    assert purged() == "1 removed, heartbeats of 0 forgotten, 0 killed"
    assert left(job_id) == []


def test_another_vos_jobs_are_its_own() -> None:
    mine, others = an_old_job(Status.DONE, 8), an_old_job(Status.DONE, 8, vo="belle")
    purged()
    assert left(mine, others) == [1]
    purged("belle")
    assert left(mine, others) == []


def test_a_vo_says_how_long_its_jobs_are_kept(installation: Installation) -> None:
    with delays(installation, "{RemoveStatusDelay: {Done: 30, Failed: -1, Killed: 0}}"):
        jobs = [an_old_job(Status.DONE, 29), an_old_job(Status.DONE, 31)]
        jobs += [an_old_job(Status.FAILED, 999), an_old_job(Status.KILLED, 2 * HOUR)]
        purged()
        assert left(*jobs) == [0, 2]


def test_delays_that_diracs_agent_has_hold_unless_the_vo_says_otherwise(installation: Installation) -> None:
    agents = "{PollingTime: '3600', RemoveStatusDelay: {Done: '30', Failed: '40'}}"
    with delays(installation, "{RemoveStatusDelay: {Failed: 50}}", agents):
        found = {rule.status: rule.seconds / DAY for rule in purge.rules(VO)[1:]}
        assert found == {Status.DONE: 30, Status.KILLED: 7, Status.FAILED: 50}
        assert {status: seconds / DAY for status, seconds in purge.delays("belle").items()} == {
            Status.DONE: 30,
            Status.KILLED: 7,
            Status.FAILED: 40,
        }


def test_nothing_is_removed_while_the_delays_cannot_be_read(installation: Installation) -> None:
    with delays(installation, "{}", "{RemoveStatusDelay: {Done: soon}}"):
        job = an_old_job(Status.DONE, 900)
        the_newest()
        with pytest.raises(SettingsError, match="JobCleaningAgent"):
            purge.rules(VO)
        assert left(job) == [0]


def test_with_any_a_job_that_never_ended_is_killed_and_goes_later(installation: Installation) -> None:
    with delays(installation, "{RemoveStatusDelay: {Any: 90, Done: -1}}"):
        waits, done = an_old_job(Status.WAITING, 91), an_old_job(Status.DONE, 91)
        lives, young = an_old_job(Status.RUNNING, 91), an_old_job(Status.WAITING, 89)
        with session() as db:
            db.execute(update(Job).where(Job.job_id == lives).values(heartbeat_at=utc_now()))
        assert purged() == "1 removed, heartbeats of 0 forgotten, 1 killed"
        assert left(waits, done, lives, young) == [0, 2, 3]
        assert [status_of(one) for one in (waits, lives, young)] == ["Killed", "Running", "Waiting"]
        aged(waits, 8)
        purged()
        assert left(waits) == []


def aged(job_id: int, days: float) -> None:
    with session() as db:
        db.execute(update(Job).where(Job.job_id == job_id).values(updated_at=utc_now(-days * DAY)))


def test_what_a_workflow_or_a_transformation_has_made_is_not_ours_to_remove(
    installation: Installation,
) -> None:
    with configured(installation, f"Operations: {{{VO}: {{Transformations: {{DataProcessing: [Merge]}}}}}}"):
        owned = {"owner_task": "workflows.advance", "owner_id": 7}
        jobs = [an_old_job(Status.DONE, 8, **owned), an_old_job(Status.DELETED, 8, **owned)]
        jobs += [
            an_old_job(Status.DONE, 8, job_type="Merge"),
            an_old_job(Status.DELETED, 8, job_type="Merge"),
        ]
        jobs += [an_old_job(Status.DONE, 8, job_type="User")]
        purged()
        assert left(*jobs) == [0, 1, 2]


def test_heartbeats_go_earlier_than_their_jobs_where_that_is_stated(installation: Installation) -> None:
    jobs = [a_job_that_beat(), a_job_that_beat(), a_job_that_beat()]
    for job_id, days in zip(jobs, (2, 0.5, 2), strict=True):
        aged(job_id, days)
    purged()
    assert [bool(beats_of(job_id)) for job_id in jobs] == [True, True, True]
    with delays(installation, "{RemoveStatusDelayHB: {Done: 1}}"):
        assert purged() == "0 removed, heartbeats of 2 forgotten, 0 killed"
    assert [bool(beats_of(job_id)) for job_id in jobs] == [False, True, False]
    assert left(*jobs) == [0, 1, 2]


def a_job_that_beat() -> int:
    with session() as db:
        job_id = a_job(db, Status.RUNNING)
        beats.beat_many(db, {job_id: Beat(1, {"CPUConsumed": 7})}, by=a_pilot())
        values = {"status": Status.DONE}
        db.execute(update(Job).where(Job.job_id == job_id).values(values))
    return job_id


def beats_of(job_id: int) -> list[dict[str, object]]:
    with reading() as db:
        return beats.beats_of(db, job_id)


def in_pages(db: Session) -> list[Page]:
    pages = [purge.purge(db, DONE)]
    while pages[-1].is_full:
        pages.append(purge.purge(db, DONE))
    return pages


def test_many_go_in_pages_the_oldest_first(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "PAGE", 3)
    jobs = [an_old_job(Status.DONE, days) for days in (8, 12, 8, 11, 8, 10, 8, 9)]
    the_newest()
    assert purge.purge(db, DONE) == Page(3, True)
    db.commit()
    assert left(*jobs) == [0, 2, 4, 6, 7]
    assert in_pages(db) == [Page(3, True), Page(2, False)]
    db.commit()
    assert left(*jobs) == []


def test_what_was_passed_over_is_looked_at_again_the_next_day_only(
    db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "PAGE", 3)
    jobs = [an_old_job(Status.DONE, 9, owner_task="workflows.advance", owner_id=7) for _ in range(4)]
    jobs += [an_old_job(Status.DONE, 8)]
    the_newest()
    assert in_pages(db) == [Page(0, True), Page(1, False)]
    assert in_pages(db) == [Page(0, False)]
    db.execute(update(Cleaned).values(begun_at=utc_now(-1.1 * DAY)))
    assert in_pages(db) == [Page(0, True), Page(0, False)]
    db.commit()
    assert left(*jobs) == [0, 1, 2, 3]


def test_what_a_turn_is_too_short_for_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TURN", 0)
    job_id = an_old_job(Status.DONE, 8)
    assert purged() == "0 removed, heartbeats of 0 forgotten, 0 killed"
    with reading() as db:
        found = db.execute(select(Outbox.task, Outbox.arguments).where(Outbox.task == "jobs.purge")).all()
    assert [tuple(row) for row in found] == [("jobs.purge", {"vo": VO})]
    monkeypatch.undo()
    purged()
    assert left(job_id) == []
