"""Submissions that are cut off, refused or given up: what becomes of their pilots."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from diracx_tasks.core.database import reading
from diracx_tasks.core.settings import settings
from diracx_tasks.pilots import register, submit, withdraw
from diracx_tasks.pilots.tables import Pilot, Submission
from tests.api.stores import installation, migrated  # noqa: F401
from tests.builders import VO
from tests.unit.matching.ends import configured, waiting
from tests.unit.pilots.spool import (
    GRID,
    Grid,
    age,
    planned,
    reasons,
    statuses,
    submitted,
    synced,
    words_of,
)

pytestmark = pytest.mark.usefixtures("grid")
NOBODY = "there is no CEType spol for ce1; there are htcondor, local, slurm, spool, ssh"


def stamps() -> list[str]:
    with reading() as db:
        return list(db.scalars(select(Pilot.stamp).order_by(Pilot.pilot_id)))


def claimed() -> int:
    with reading() as db:
        return len(db.scalars(select(Submission).where(Submission.claimed_at.is_not(None))).all())


def test_a_pilot_that_runs_before_its_reference_is_known_is_followed_like_others(grid: Grid) -> None:
    waiting(3)
    planned()
    grid.rule("ce1", "falls silent", "connection reset")
    submitted("ce1")
    grid.rule("ce1", "falls silent", "")
    register.note_idle(VO, stamps()[0])
    assert statuses() == {"Running": 1, "Planned": 2}
    synced("ce1")
    age(180)
    synced("ce1")
    assert statuses() == {"Running": 1, "Waiting": 2}
    with reading() as db:
        assert set(db.scalars(select(Pilot.reference))) == {f"ce1/{stamp}" for stamp in stamps()}
    grid.tell("ce1", "Done")
    synced("ce1")
    assert statuses() == {"Done": 3}


def test_what_is_taken_after_it_was_given_up_is_withdrawn(grid: Grid) -> None:
    waiting(2)
    planned()
    grid.rule("ce1", "hesitates", "yes")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(submitted, "ce1")
        try:
            while not claimed():
                time.sleep(0.01)
            age(700)
            synced("ce1")
            assert statuses() == {"Aborted": 2}
        finally:
            grid.rule("ce1", "hesitates", "")
        assert answer.result() == {"ce1": submit.Submitted(2, 0)}
    assert len(grid.jobs("ce1")) == 2
    assert withdraw.kill_page(VO, "ce1") == 2
    assert grid.jobs("ce1") == {}


def test_an_element_whose_section_is_wrong_is_like_one_that_refuses(grid: Grid) -> None:
    waiting(1)
    text = GRID.format(folder=grid.folder).replace("CEType: spool", "CEType: spol")
    with configured(grid.installation, text):
        for _ in range(3):
            planned()
            submitted()
        assert statuses().keys() == {"Deleted"}
        assert [words.partition(" (")[0] for words in reasons()] == [f"ce1 does not take it: {NOBODY}"]
        assert f"3 submissions in a row failed: {NOBODY}" in words_of("short")


def test_an_element_that_refuses_and_then_does_not_answer_is_asked_again(grid: Grid) -> None:
    waiting(1)
    planned()
    grid.rule("ce1", "refuses", "quota exceeded")
    grid.rule("ce1", "cannot find", "no route to host")
    assert submitted("ce1") == {"ce1": submit.Submitted(0, 1)}
    assert statuses() == {"Planned": 1}
    age(700)
    grid.rule("ce1", "cannot find", "")
    synced("ce1")
    assert statuses() == {"Aborted": 1}


def test_pilots_without_a_script_are_not_counted_on_and_their_queue_says_why(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(3)
    planned()
    monkeypatch.setenv("DIRACX_PILOT_FILE", "/nowhere/pilot.pyz")
    settings.cache_clear()
    for _ in range(3):
        assert submitted("ce1") == {"ce1": submit.Submitted(0, 3)}
        assert "Planned" not in statuses() and grid.jobs("ce1") == {}
        planned()
    words = "DIRACX_PILOT_FILE: /nowhere/pilot.pyz cannot be read: No such file or directory"
    assert f"no script can be made for it: {words}" in reasons()
    assert words in words_of("short")
