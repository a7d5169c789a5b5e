"""What stops when something fails, and what is kept of it."""

import pytest
from sqlalchemy import update

from diracx_tasks.core.database import now, reading, session
from diracx_tasks.workflows import advance, control, decide
from diracx_tasks.workflows.rerun import rerun
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.submit import Options
from diracx_tasks.workflows.tables import Node, Workflow
from diracx_tasks.workflows.turn import turn
from tests.api.stores import installation, migrated
from tests.builders import a_user
from tests.unit.workflows.failing import FORKED, HEAD, STATED, TOOL, WIDE, Failing
from tests.unit.workflows.lives import Temporary, begun, done, ended, moved, nodes, outputs, statuses, the

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")
PICKED = "ys: {type: 'int[]', pickValue: first_non_null, outputSource: [second/y]}"
NESTED = (
    HEAD
    + f"""
outputs: {{ys: {{type: 'int[]', outputSource: some/ys}}, z: {{type: int, outputSource: one/y}}}}
steps:
  one: {{run: {TOOL}, in: {{x: x}}, out: [y]}}
  some:
    in: {{xs: xs}}
    out: [ys]
    run:
      class: Workflow
      inputs: {{xs: 'int[]'}}
      outputs: {{ys: {{type: 'int[]', outputSource: second/y}}}}
      steps:
        first: {{run: {TOOL}, scatter: x, in: {{x: xs}}, out: [y]}}
        second: {{run: {TOOL}, scatter: x, in: {{x: first/y}}, out: [y]}}
"""
).replace("requirements: {", "requirements: {SubworkflowFeatureRequirement: {}, ")


def test_after_a_failure_nothing_new_begins_elsewhere_either() -> None:
    workflow_id = begun(NESTED, STATED)
    assert ended(workflow_id, Failing("one")) == Status.FAILED
    found = statuses(workflow_id)
    assert (found["one"], found["some"]) == (["Failed"], ["Killed"])
    assert found["some/first"] == ["Done"] * 4
    assert "some/second" not in found
    assert "one: Application: no one" in the(workflow_id).reason
    with session() as db:
        rerun(db, workflow_id, by=a_user())
    answers = Failing()
    assert ended(workflow_id, answers) == Status.DONE
    assert len(answers.asked) == 1 + 4
    assert outputs(workflow_id) == {"ys": [2, 3, 4, 5], "z": 8}


def test_a_scatter_beside_a_failure_makes_no_more_jobs() -> None:
    workflow_id = begun(NESTED, {"xs": list(range(25)), "x": 0})
    while not nodes(workflow_id, path="one", kind="tool") or not nodes(workflow_id, path="some/first"):
        turn(workflow_id, 0.001)
    done(workflow_id, Failing("one"))
    answers = Failing()
    assert ended(workflow_id, answers) == Status.FAILED
    assert len(answers.asked) < 25
    (first,) = nodes(workflow_id, path="some/first", kind="scatter")
    assert (first.status, first.reason) == ("Killed", decide.STOPPED)


def test_what_continues_after_a_failure_continues_everywhere() -> None:
    workflow_id = begun(NESTED, STATED, Options(on_error="continue"))
    assert ended(workflow_id, Failing("one")) == Status.FAILED
    assert outputs(workflow_id) == {"ys": [2, 3, 4, 5], "z": None}


def test_a_job_that_ends_well_while_its_workflow_is_killed_is_not_done_again() -> None:
    workflow_id, answers = begun(WIDE, STATED), Failing()
    moved(workflow_id)
    with session() as db:
        control.kill(db, workflow_id, by=a_user())
    with reading() as db:
        workflow = db.get_one(Workflow, workflow_id)
    # After `advance` has looked, before it writes.
    assert done(workflow_id, answers, 1) == 1
    with session() as db:
        assert advance.kill(db, workflow)
    assert moved(workflow_id) == Status.KILLED
    assert sorted(statuses(workflow_id)["one"]) == ["Done", "Killed", "Killed", "Killed"]


def test_a_tool_that_waits_for_its_next_try_is_not_tried_after_a_failure_elsewhere() -> None:
    workflow_id = begun(WIDE, STATED)
    moved(workflow_id)
    done(workflow_id, Failing(0, error=Temporary), 1)
    moved(workflow_id)
    done(workflow_id, Failing(1), 1)
    answers = Failing()
    assert ended(workflow_id, answers) == Status.FAILED
    assert sorted(value for _, value in answers.asked) == [2, 3]
    reasons = {node.slot: node.reason for node in nodes(workflow_id, path="one", kind="tool")}
    assert "is not tried again because another step failed" in (reasons[0] or "")
    assert "no 1" in the(workflow_id).reason or "not tried again" in the(workflow_id).reason


def test_why_a_stopped_workflow_inside_has_no_outputs_is_not_why_the_outer_one_failed() -> None:
    text = NESTED.replace("ys: {type: 'int[]', outputSource: second/y}", PICKED)
    assert PICKED in text
    workflow_id = begun(
        text.replace("Subworkflow", "MultipleInputFeatureRequirement: {}, Subworkflow"), STATED
    )
    assert ended(workflow_id, Failing("one")) == Status.FAILED
    assert statuses(workflow_id)["some"] == ["Killed"]
    assert "one: Application: no one" in the(workflow_id).reason


def test_a_pause_is_an_hour_at_most() -> None:
    workflow_id, failing = begun(WIDE, {"xs": [2], "x": 0}, Options(retries=9)), Failing(2, error=Temporary)
    moved(workflow_id)
    with session() as db:
        db.execute(update(Node).where(Node.workflow_id == workflow_id).values(tries=9))
    done(workflow_id, failing)
    moved(workflow_id)
    (node,) = nodes(workflow_id, kind="tool")
    assert node.retry_at is not None
    assert (node.retry_at - now()).total_seconds() <= 3600


def test_a_reason_of_any_length_is_kept_to_its_beginning() -> None:
    text = WIDE.replace("in: {x: xs}", "in: {x: {source: xs, valueFrom: '${throw \"x\".repeat(100000);}'}}")
    text = text.replace("requirements: {", "requirements: {StepInputExpressionRequirement: {}, ")
    workflow_id = begun(text, STATED)
    assert ended(workflow_id, Failing()) == Status.FAILED
    assert len(the(workflow_id).reason) <= 4000


def test_steps_whose_names_differ_in_case_only_are_two() -> None:
    text = FORKED.replace("right", "LEFT").replace("after", "LAST")
    workflow_id = begun(text, STATED)
    assert ended(workflow_id, Failing()) == Status.DONE
    assert outputs(workflow_id) == {"l": 9, "r": 9}
