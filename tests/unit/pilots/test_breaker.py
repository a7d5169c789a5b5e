"""A queue that fails gets no pilots for a while, then one; its jobs go elsewhere meanwhile."""

import pytest
from sqlalchemy import select

from diracx_tasks.core.database import reading, session
from diracx_tasks.pilots import breaker, register
from diracx_tasks.pilots.breaker import Breaker
from diracx_tasks.pilots.tables import Pilot
from tests.api.stores import installation, migrated  # noqa: F401
from tests.builders import VO
from tests.unit.matching.ends import waiting
from tests.unit.pilots.spool import Grid, age, new, planned, statuses, submitted, synced, words_of

pytestmark = pytest.mark.usefixtures("grid")
SHORT = ("ce1", "short")


def gate(key: tuple[str, str] = SHORT) -> breaker.Gate:
    with reading() as db:
        return breaker.gates(db, VO).get(key, breaker.Gate())


def refuse(grid: Grid, times: int) -> None:
    """So many submissions of one pilot in a row are refused."""
    grid.rule("ce1", "refuses", "quota exceeded")
    for _ in range(times):
        planned()
        submitted("ce1")
    grid.rule("ce1", "refuses", "")


def abort(grid: Grid) -> None:
    """What the first element has is aborted."""
    planned()
    submitted("ce1")
    grid.tell("ce1", "Aborted", "no such user")
    synced("ce1")
    grid.forget("ce1")


def test_three_refusals_in_a_row_open_it_and_jobs_go_elsewhere(grid: Grid) -> None:
    waiting(1)
    refuse(grid, 2)
    assert gate().breaker is Breaker.CLOSED
    refuse(grid, 1)
    assert gate().breaker is Breaker.OPEN
    assert gate().reason == "3 submissions in a row failed: quota exceeded"
    assert new() == {"big": 1}
    assert words_of("short").startswith("no pilots until 20")
    assert words_of("short").endswith("UTC: 3 submissions in a row failed: quota exceeded")


def test_a_success_in_between_begins_to_count_anew(grid: Grid) -> None:
    waiting(1)
    refuse(grid, 2)
    planned()
    submitted("ce1")
    waiting(1)
    refuse(grid, 2)
    assert gate().breaker is Breaker.CLOSED


def test_half_of_many_pilots_aborted_opens_it(grid: Grid) -> None:
    waiting(6)
    abort(grid)
    found = planned()
    assert gate().breaker is Breaker.OPEN
    assert gate().reason == "6 of 6 pilots were aborted or failed without a job"
    assert {line.queue.name for line in found.lines if line.new} <= {"big", "long"}


def test_pilots_that_fail_before_they_have_a_job_open_it_too(grid: Grid) -> None:
    waiting(6)
    planned()
    submitted("ce1")
    grid.tell("ce1", "Running")
    synced("ce1")
    planned()
    grid.tell("ce1", "Failed", "exit code 127")
    synced("ce1")
    assert new().keys() <= {"big", "long"}
    assert gate().reason == "6 of 6 pilots were aborted or failed without a job"


def test_pilots_that_fail_after_they_had_jobs_do_not_open_it(grid: Grid) -> None:
    job_ids = waiting(6)
    planned()
    submitted("ce1")
    with session() as db:
        stamps = db.scalars(select(Pilot.stamp)).all()
        register.seen_many(db, VO, [(stamp, [job]) for stamp, job in zip(stamps, job_ids, strict=True)])
    grid.tell("ce1", "Failed", "out of memory")
    synced("ce1")
    planned()
    assert gate().breaker is Breaker.CLOSED


def test_few_aborted_pilots_do_not_open_it(grid: Grid) -> None:
    waiting(4)
    abort(grid)
    planned()
    assert gate().breaker is Breaker.CLOSED


def test_after_the_pause_one_pilot_tries_and_its_start_closes_it(grid: Grid) -> None:
    waiting(9)
    abort(grid)
    planned()
    age(0, pilots=False, breakers=True)
    assert gate().breaker is Breaker.HALF_OPEN
    waiting(80)
    assert new()["short"] == 1
    assert "short" not in new()
    submitted("ce1")
    grid.tell("ce1", "Running")
    synced("ce1")
    planned()
    assert gate().breaker is Breaker.CLOSED
    assert words_of("short") == ""


def test_a_trial_that_is_aborted_doubles_the_pause(grid: Grid) -> None:
    waiting(90)
    abort(grid)
    planned()
    first = gate().until
    age(0, pilots=False, breakers=True)
    abort(grid)
    planned()
    second = gate().until
    assert gate().breaker is Breaker.OPEN
    assert gate().reason == "the pilot that was to try it again came to nothing"
    assert first is not None and second is not None
    assert 500 < (second - first).total_seconds() < 1300


def test_it_stands_in_the_database_not_in_a_process(grid: Grid) -> None:
    waiting(6)
    abort(grid)
    planned()
    with session() as db:
        assert breaker.gates(db, VO)[SHORT].breaker is Breaker.OPEN
        breaker.reset(db, VO, [SHORT])
    assert gate().breaker is Breaker.CLOSED


def test_planned_pilots_of_a_queue_that_has_just_failed_are_withdrawn(grid: Grid) -> None:
    waiting(1)
    planned()
    with session() as db:
        for _ in range(3):
            breaker.note_failure(db, VO, SHORT, "quota exceeded")
    submitted("ce1")
    assert statuses() == {"Deleted": 1}
    assert grid.jobs("ce1") == {}
