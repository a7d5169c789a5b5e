"""Pilots from their plan to their end, whatever dies or does not answer in between; none is unknown."""

import os

import pytest
from sqlalchemy import select

from diracx_tasks.core.database import reading, session
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.jobs import control
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job
from diracx_tasks.pilots import clean, submit, sync, withdraw
from diracx_tasks.pilots.elements import element
from diracx_tasks.pilots.tables import Pilot, Submission
from tests.api.stores import installation, migrated  # noqa: F401
from tests.builders import VO, claim
from tests.unit.matching.ends import waiting
from tests.unit.pilots.spool import Grid, age, new, planned, reasons, statuses, submitted, synced

pytestmark = pytest.mark.usefixtures("grid")


def stamps() -> list[str]:
    with reading() as db:
        return list(db.scalars(select(Pilot.stamp).order_by(Pilot.pilot_id)))


def test_planned_pilots_are_submitted_once_with_their_scripts(grid: Grid) -> None:
    waiting(3)
    planned()
    assert submitted("ce1") == {"ce1": submit.Submitted(3, 0)}
    assert submitted("ce1") == {"ce1": None}
    jobs = grid.jobs("ce1")
    assert sorted(jobs) == sorted(stamps())
    assert {job["queue"] for job in jobs.values()} == {"short"}
    for stamp, job in jobs.items():
        assert f"DIRACX_PILOT_STAMP={stamp}" in job["script"]
        assert "--tag diracx:queue:ce1/short" in job["script"]
    with reading() as db:
        rows = db.execute(
            select(Pilot.stamp, Pilot.reference, Pilot.status, Pilot.site, Pilot.grid_type)
        ).all()
    assert [tuple(row) for row in rows] == [
        (stamp, f"ce1/{stamp}", "Submitted", "LCG.CERN.ch", "spool") for stamp in stamps()
    ]


def test_what_the_batch_system_says_stands_in_the_rows(grid: Grid) -> None:
    waiting(2)
    planned()
    submitted()
    synced()
    assert statuses() == {"Waiting": 2}
    grid.tell("ce1", "Running")
    assert synced() == 2
    assert synced() == 0
    grid.tell("ce1", "Failed", "out of memory")
    synced()
    assert statuses() == {"Failed": 2}
    assert reasons() == {"out of memory"}


def test_a_job_whose_pilot_was_aborted_waits_again(grid: Grid) -> None:
    (job_id,) = waiting(1)
    planned()
    submitted()
    (stamp,) = stamps()
    with session() as db:
        claim(db, job_id, pilot=stamp)
    grid.tell("ce1", "Aborted", "node is down")
    synced()
    with reading() as db:
        assert db.get_one(Job, job_id).status in (Status.RECEIVED, Status.WAITING)


def test_a_worker_that_dies_after_the_submission_leaves_no_unknown_pilot(grid: Grid) -> None:
    waiting(3)
    planned()
    # The element took them, and its answer never came back.
    grid.rule("ce1", "falls silent", "connection reset")
    assert submitted("ce1") == {"ce1": submit.Submitted(0, 3)}
    assert statuses() == {"Planned": 3}
    assert new() == {}
    assert submitted("ce1") == {"ce1": None}
    age(180)
    grid.rule("ce1", "falls silent", "")
    assert synced("ce1") == 6
    assert statuses() == {"Waiting": 3}
    assert len(grid.jobs("ce1")) == 3


def test_a_submission_that_never_happened_is_given_up_and_planned_anew(grid: Grid) -> None:
    waiting(2)
    planned()
    grid.rule("ce1", "away", "no route to host")
    submitted("ce1")
    age(180)
    synced("ce1")
    assert statuses() == {"Planned": 2}
    age(600)
    grid.rule("ce1", "away", "")
    synced("ce1")
    assert statuses() == {"Aborted": 2}
    assert reasons() == {"its submission was cut off, and ce1 does not know it"}
    # A queue that has lost pilots costs more than one with eight processors.
    assert new() == {"big": 1}


def test_what_an_element_does_not_take_is_planned_anew(grid: Grid) -> None:
    waiting(5)
    planned()
    grid.rule("ce1", "takes", "2")
    assert submitted("ce1") == {"ce1": submit.Submitted(2, 3)}
    assert statuses() == {"Submitted": 2, "Deleted": 3}
    assert "ce1 has not taken it" in reasons()
    assert sum(new().values()) == 3


def test_a_refusal_is_told_in_the_batch_systems_words(grid: Grid) -> None:
    waiting(1)
    planned()
    grid.rule("ce1", "refuses", "invalid partition")
    submitted("ce1")
    assert reasons() == {"ce1 does not take it: invalid partition"}


def test_what_is_not_known_for_an_hour_is_aborted(grid: Grid) -> None:
    waiting(1)
    planned()
    submitted()
    synced()
    grid.forget("ce1")
    synced()
    assert statuses() == {"Unknown": 1}
    age(1800)
    synced()
    assert statuses() == {"Unknown": 1}
    age(3700)
    synced()
    assert statuses() == {"Aborted": 1}
    assert reasons() == {"the batch system has not known it for an hour"}


def test_a_pilot_that_holds_a_job_is_not_aborted_because_nobody_knows_it(grid: Grid) -> None:
    (job_id,) = waiting(1)
    planned()
    submitted()
    synced()
    with session() as db:
        claim(db, job_id, pilot=stamps()[0])
    grid.forget("ce1")
    synced()
    age(3700)
    synced()
    assert statuses() == {"Unknown": 1}
    with session() as db:
        control.reschedule(db, job_id, attempt=1, reason="it has gone silent", source="Stalled")
    synced()
    assert statuses() == {"Aborted": 1}


def test_pilots_of_what_an_element_was_before_do_not_hide_the_others(grid: Grid) -> None:
    waiting(2)
    planned()
    submitted()
    with session() as db:
        db.scalars(select(Pilot)).first().reference = "slurm://ce1/7"  # type: ignore[union-attr]
    grid.tell("ce1", "Running")
    synced()
    assert statuses() == {"Unknown": 1, "Running": 1}


def test_planned_pilots_that_nobody_submits_are_withdrawn() -> None:
    waiting(2)
    planned()
    age(1000)
    with session() as db:
        assert sync.forget_planned(db, VO) == 2
    assert statuses() == {"Deleted": 2}
    assert submitted("ce1") == {"ce1": None}
    assert sum(new().values()) == 2


def test_pilots_for_a_queue_that_is_gone_are_withdrawn() -> None:
    waiting(1)
    planned()
    with session() as db:
        for one in db.scalars(select(Submission)):
            one.queue = "closed"
    submitted("ce1")
    assert reasons() == {f"pilots of {VO} may not go to closed of ce1 now"}


def test_waiting_pilots_that_nobody_needs_are_withdrawn_after_a_while(grid: Grid) -> None:
    job_ids = waiting(6)
    planned()
    submitted()
    synced()
    with session() as db:
        control.kill_all(db, job_ids[:4], "not wanted any more")
    assert planned().lines[0].surplus == 0
    age(400)
    assert planned().lines[0].surplus == 4
    assert statuses() == {"Waiting": 2, "Deleted": 4}
    assert len(grid.jobs("ce1")) == 6
    assert withdraw.kill_page(VO, "ce1") == 4
    assert len(grid.jobs("ce1")) == 2
    assert withdraw.kill_page(VO, "ce1") == 0
    assert planned().lines[0].surplus == 0


def test_a_withdrawn_pilot_that_took_a_job_meanwhile_gives_it_back(grid: Grid) -> None:
    (job_id,) = waiting(1)
    planned()
    submitted()
    synced()
    (stamp,) = stamps()
    age(400)
    with session() as db:
        assert withdraw.withdraw(db, VO, ("ce1", "short"), 1) == 1
    with session() as db:
        claim(db, job_id, pilot=stamp)
    withdraw.kill_page(VO, "ce1")
    with reading() as db:
        assert db.get_one(Job, job_id).status in (Status.RECEIVED, Status.WAITING)


def test_a_pilot_that_has_started_is_not_withdrawn(grid: Grid) -> None:
    waiting(1)
    planned()
    submitted()
    grid.tell("ce1", "Running")
    synced()
    age(400)
    with session() as db:
        assert withdraw.withdraw(db, VO, ("ce1", "short"), 1) == 0
    assert statuses() == {"Running": 1}


def test_silent_pilots_are_ended_and_killed_unless_they_hold_a_job(grid: Grid) -> None:
    first, *_ = waiting(3)
    planned()
    submitted()
    with session() as db:
        claim(db, first, pilot=stamps()[0])
    age(4 * 86400)
    assert clean.end_stalled(VO) == 2
    assert statuses() == {"Submitted": 1, "Deleted": 2}
    assert list(grid.jobs("ce1")) == [stamps()[0]]
    assert clean.end_stalled(VO) == 0


def test_a_silent_pilot_that_was_never_submitted_keeps_no_other_alive(grid: Grid) -> None:
    waiting(2)
    planned()
    grid.rule("ce1", "takes", "1")
    submitted()
    with session() as db:
        # Its row was made, and a worker died before anything else.
        db.add(Pilot(stamp="never", vo=VO, destination="ce1", reference="never", status="Submitted"))
    age(4 * 86400)
    assert clean.end_stalled(VO) == 2
    assert grid.jobs("ce1") == {}


@pytest.mark.parametrize(
    ("status", "days", "is_left"),
    [("Aborted", 6, True), ("Aborted", 8, False), ("Done", 8, True), ("Done", 31, False)],
)
def test_pilots_are_kept_as_long_as_in_dirac(grid: Grid, status: str, days: float, is_left: bool) -> None:
    waiting(1)
    planned()
    submitted()
    grid.tell("ce1", status)
    synced()
    age(days * 86400)
    with session() as db:
        clean.forget_old(db, VO)
    with reading() as db:
        assert [len(db.scalars(select(one)).all()) for one in (Pilot, Submission)] == [is_left] * 2


def test_an_element_that_nobody_serves_is_named() -> None:
    with pytest.raises(SettingsError, match="no CEType x for ce9"):
        element("ce9", {"CEType": "x"})


def test_the_secret_of_a_pilot_is_in_its_script_only(grid: Grid, caplog: pytest.LogCaptureFixture) -> None:
    waiting(1)
    planned()
    submitted()
    (job,) = grid.jobs("ce1").values()
    token = job["script"].partition("DIRACX_PILOT_SECRET=")[2].split()[0]
    assert len(token) > 40
    assert token not in caplog.text
    assert token not in str(os.environ)
    with reading() as db:
        assert all(token not in str(row) for row in db.execute(select(Pilot.__table__)))
