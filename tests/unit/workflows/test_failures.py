"""What a failure does: stop or continue, try again, do again what failed."""

import pytest
from sqlalchemy import update

from diracx_tasks.core.database import session, utc_now
from diracx_tasks.core.errors import Conflict
from diracx_tasks.workflows import control, events
from diracx_tasks.workflows.rerun import rerun
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.submit import Options
from diracx_tasks.workflows.tables import Node
from diracx_tasks.workflows.turn import turn
from tests.api.stores import installation, migrated
from tests.builders import a_user
from tests.unit.workflows.failing import FORKED, STATED, WIDE, Failing
from tests.unit.workflows.lives import (
    Temporary,
    begun,
    done,
    ended,
    moved,
    nodes,
    outputs,
    statuses,
    the,
)

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")


def test_after_a_failure_nothing_new_begins() -> None:
    workflow_id = begun(FORKED, STATED)
    assert ended(workflow_id, Failing("left")) == Status.FAILED
    assert statuses(workflow_id) == {"": ["Failed"], "left": ["Failed"], "right": ["Done"]}


def test_what_does_not_need_the_failed_step_continues_if_that_is_wanted() -> None:
    workflow_id = begun(FORKED, STATED, Options(on_error="continue"))
    assert ended(workflow_id, Failing("left")) == Status.FAILED
    assert statuses(workflow_id) == {
        "": ["Failed"],
        "after": ["Done"],
        "left": ["Failed"],
        "right": ["Done"],
    }
    assert outputs(workflow_id) == {"l": None, "r": 9}


def test_a_scatter_goes_on_past_elements_that_failed_if_that_is_wanted() -> None:
    workflow_id = begun(WIDE, {"xs": list(range(25)), "x": 0}, Options(on_error="continue"))
    assert ended(workflow_id, Failing(1, 2)) == Status.FAILED
    assert statuses(workflow_id)["one"].count("Done") == 23
    assert "2 of 25 failed" in the(workflow_id).reason


def test_a_wide_scatter_that_failed_makes_no_more_jobs() -> None:
    workflow_id = begun(WIDE, {"xs": list(range(25)), "x": 0})
    failing = Failing(1)
    # The first jobs end before the last are made.
    turn(workflow_id, 0.001)
    while len(nodes(workflow_id, path="one", kind="tool")) == 0:
        turn(workflow_id, 0.001)
    done(workflow_id, failing)
    assert ended(workflow_id, failing) == Status.FAILED
    assert len(nodes(workflow_id, path="one", kind="tool")) < 25


def due(workflow_id: int) -> None:
    """Let the pauses before the next tries be over."""
    with session() as db:
        mine = (Node.workflow_id == workflow_id, Node.retry_at.is_not(None))
        db.execute(update(Node).where(*mine).values(retry_at=utc_now(-1)))


def test_a_tool_that_fails_temporarily_is_tried_again_after_a_pause() -> None:
    workflow_id, failing = begun(WIDE, STATED), Failing(2, error=Temporary)
    for number in range(2):
        assert moved(workflow_id) == Status.RUNNING
        assert done(workflow_id, failing) == (4, 1)[number]
        assert moved(workflow_id) == Status.RUNNING
        # Not before its time.
        assert done(workflow_id, failing) == 0
        due(workflow_id)
    failing.failing.clear()
    assert ended(workflow_id, failing) == Status.DONE
    assert outputs(workflow_id) == {"ys": [1, 2, 3, 4]}
    assert failing.asked.count(("one", 2)) == 3
    with session() as db:
        told = [one.message for one in events.since(db, workflow_id, 0, 100, sees_jobs=True) if one.slot == 2]
    assert [words for words in told if "try" in words] == [
        "Application: no 2: try 2 in 30 s",
        "try 2",
        "Application: no 2: try 3 in 120 s",
        "try 3",
    ]


def test_after_the_last_try_the_tool_has_failed() -> None:
    workflow_id, failing = begun(WIDE, STATED, Options(retries=1)), Failing(2, error=Temporary)
    moved(workflow_id)
    done(workflow_id, failing)
    moved(workflow_id)
    due(workflow_id)
    assert ended(workflow_id, failing) == Status.FAILED
    assert failing.asked.count(("one", 2)) == 2


def test_a_permanent_failure_is_not_tried_again() -> None:
    workflow_id, failing = begun(WIDE, STATED), Failing(2)
    assert ended(workflow_id, failing) == Status.FAILED
    assert failing.asked.count(("one", 2)) == 1


def test_only_what_failed_is_done_again() -> None:
    workflow_id, failing = begun(WIDE, STATED), Failing(1, 3)
    assert ended(workflow_id, failing) == Status.FAILED
    failing.failing.clear()
    failing.asked.clear()
    with session() as db:
        rerun(db, workflow_id, by=a_user())
    assert ended(workflow_id, failing) == Status.DONE
    assert sorted(failing.asked) == [("one", 1), ("one", 3)]
    assert outputs(workflow_id) == {"ys": [1, 2, 3, 4]}
    one = nodes(workflow_id, kind="scatter")[0]
    assert (one.ended, one.bad) == (4, 0)


def test_a_workflow_that_was_killed_goes_on_where_it_was() -> None:
    workflow_id, answers = begun(WIDE, {"xs": list(range(25)), "x": 0}), Failing()
    moved(workflow_id)
    done(workflow_id, answers, 7)
    moved(workflow_id)
    with session() as db:
        control.kill(db, workflow_id, by=a_user())
    assert moved(workflow_id) == Status.KILLED
    assert statuses(workflow_id)["one"].count("Killed") == 18
    with session() as db:
        rerun(db, workflow_id, by=a_user())
    assert ended(workflow_id, answers) == Status.DONE
    assert len(answers.asked) == 25


def test_a_slot_whose_inputs_could_not_be_evaluated_is_evaluated_again() -> None:
    text = WIDE.replace("in: {x: xs}", "in: {x: {source: xs, valueFrom: '$(self == 2 ? missing : self)'}}")
    text = text.replace("requirements: {", "requirements: {StepInputExpressionRequirement: {}, ")
    workflow_id, answers = begun(text, STATED, Options(on_error="continue")), Failing()
    assert ended(workflow_id, answers) == Status.FAILED
    with session() as db:
        rerun(db, workflow_id, by=a_user())
    assert ended(workflow_id, answers) == Status.FAILED
    assert "missing is not defined" in the(workflow_id).reason
    assert statuses(workflow_id)["one"] == ["Done", "Done", "Failed", "Done"]


@pytest.mark.parametrize("is_over", [True, False])
def test_there_is_nothing_to_do_again_in_a_workflow_that_is_well(is_over: bool) -> None:
    workflow_id = begun(WIDE, STATED)
    if is_over:
        assert ended(workflow_id, Failing()) == Status.DONE
    with session() as db, pytest.raises(Conflict, match="there is nothing to do again"):
        rerun(db, workflow_id, by=a_user())


def test_a_workflow_that_is_one_tool_ends_as_its_job_does() -> None:
    text = (
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: {x: int}\noutputs: {y: int}\n"
    )
    workflow_id, failing = begun(text, {"x": 3}), Failing(3)
    assert ended(workflow_id, failing) == Status.FAILED
    failing.failing.clear()
    with session() as db:
        rerun(db, workflow_id, by=a_user())
    assert ended(workflow_id, failing) == Status.DONE
    assert outputs(workflow_id) == {"y": 4}
