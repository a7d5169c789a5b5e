"""Workflows that nothing moves any more."""

import pytest
from sqlalchemy import delete, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading, session
from diracx_tasks.core.errors import Conflict
from diracx_tasks.engine import dead_letters
from diracx_tasks.engine.run import traceback_of
from diracx_tasks.engine.tables import DeadLetter, Outbox
from diracx_tasks.jobs.tables import Ended, Job
from diracx_tasks.workflows import control, tasks
from diracx_tasks.workflows.look import TASK
from diracx_tasks.workflows.rerun import rerun
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.submit import keys_of
from diracx_tasks.workflows.sweep import sweep
from tests.api.stores import installation, migrated
from tests.builders import a_user
from tests.unit.workflows.lives import Values, begun, done, ended, moved, nodes, the

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")
WIDE = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {xs: 'int[]'}
outputs: {ys: {type: 'int[]', outputSource: one/y}}
steps:
  one:
    run: {class: CommandLineTool, baseCommand: 'true', inputs: {x: int}, outputs: {y: int}}
    scatter: x
    in: {x: xs}
    out: [y]
"""
GIVEN = {"xs": list(range(25))}


def same(path: str, inputs: Values) -> Values:
    return {"y": inputs["x"]}


def forgotten(db: Session, workflow_id: int) -> None:
    """Lose what is to be done with a workflow."""
    db.execute(delete(Outbox).where(Outbox.key.in_(keys_of(workflow_id))))


def dead(db: Session, workflow_id: int) -> int:
    """Make the task of a workflow a dead letter; its number."""
    forgotten(db, workflow_id)
    found = {
        "key": keys_of(workflow_id)[0],
        "task": "workflows.advance",
        "arguments": {"workflow_id": workflow_id},
        "tries": 9,
        "enqueued_by": "",
        "parent": None,
    }
    return dead_letters.bury(db, found, since=None, error="Traceback\nKeyError: 'nobody expected this'")


def asked(workflow_id: int) -> bool:
    with reading() as db:
        return db.scalar(select(Outbox.key).where(Outbox.key.in_(keys_of(workflow_id)))) is not None


def test_a_workflow_that_was_forgotten_is_asked_for_again() -> None:
    workflow_id, other = begun(WIDE, GIVEN), begun(WIDE, GIVEN)
    with session() as db:
        forgotten(db, workflow_id)
    assert sweep() == (1, 0)
    assert asked(workflow_id)
    assert asked(other)
    assert sweep() == (0, 0)


def test_jobs_whose_end_nobody_has_noted_are_noted() -> None:
    workflow_id = begun(WIDE, GIVEN)
    moved(workflow_id)
    with session() as db:
        forgotten(db, workflow_id)
    # Its jobs wait: there is nothing to do.
    assert sweep() == (0, 0)
    done(workflow_id, same, 3)
    with session() as db:
        forgotten(db, workflow_id)
    assert sweep() == (1, 0)
    assert ended(workflow_id, same) == Status.DONE


def test_a_workflow_whose_task_is_a_dead_letter_ends_and_can_be_continued() -> None:
    workflow_id = begun(WIDE, GIVEN)
    moved(workflow_id)
    done(workflow_id, same, 3)
    with session() as db:
        letter = dead(db, workflow_id)
    assert sweep() == (0, 1)
    moved(workflow_id)
    found = the(workflow_id)
    words = f"it could not be advanced: KeyError: 'nobody expected this' (dead letter {letter})"
    assert (found.status, found.reason) == (Status.FAILED, words)
    assert not nodes(workflow_id, status=Status.RUNNING, kind="tool")
    # What had ended well stays so.
    moved(workflow_id)
    with session() as db:
        assert dead_letters.find(db, letter).state == dead_letters.DEAD
        rerun(db, workflow_id, by=a_user())
        assert dead_letters.find(db, letter).state == dead_letters.RETRIED
    assert ended(workflow_id, same) == Status.DONE


def test_a_workflow_that_is_being_killed_is_killed_whatever_died_before() -> None:
    workflow_id = begun(WIDE, GIVEN)
    moved(workflow_id)
    with session() as db:
        control.kill(db, workflow_id, by=a_user())
    with session() as db:
        dead(db, workflow_id)
    assert sweep() == (1, 0)
    assert moved(workflow_id) == Status.KILLED


def test_ends_that_came_after_a_workflow_was_over_do_not_keep_it_from_being_done_again() -> None:
    workflow_id = begun(WIDE, GIVEN)
    moved(workflow_id)
    with session() as db:
        control.kill(db, workflow_id, by=a_user())
    assert moved(workflow_id) == Status.KILLED
    with session() as db:
        (job_id,) = db.scalars(select(Job.job_id).limit(1))
        db.add(Ended(job_id=job_id, owner_task=TASK, owner_id=workflow_id, status="Killed", reason=""))
    with session() as db:
        forgotten(db, workflow_id)
    with session() as db, pytest.raises(Conflict, match="takes note of jobs that have ended"):
        rerun(db, workflow_id, by=a_user())
    assert sweep() == (1, 0)
    moved(workflow_id)
    with session() as db:
        rerun(db, workflow_id, by=a_user())


def test_what_went_well_in_the_end_is_no_dead_letter_any_more() -> None:
    workflow_id = begun(WIDE, GIVEN)
    with session() as db:
        letter = dead(db, workflow_id)
    tasks.advance.run(workflow_id=workflow_id)
    with reading() as db:
        assert dead_letters.find(db, letter).state == dead_letters.RETRIED


def test_the_last_words_of_a_dead_letter_are_its_exception() -> None:
    try:
        raise OperationalError("SELECT 1\n  FROM x", {}, ValueError("gone away"))
    except OperationalError as error:
        told = traceback_of(error)
    letter = DeadLetter(errors=[{"error": told}])
    assert dead_letters.last_words(letter).endswith("OperationalError: (builtins.ValueError) gone away")


def test_a_dead_letter_of_earlier_does_not_end_a_workflow_that_has_gone_on() -> None:
    workflow_id = begun(WIDE, GIVEN)
    with session() as db:
        dead(db, workflow_id)
    moved(workflow_id)
    assert sweep() == (0, 0)
    assert ended(workflow_id, same) == Status.DONE
    assert sweep() == (0, 0)
