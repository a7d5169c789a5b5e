"""Loops of CWL v1.3: iterations one after the other, each a job."""

import pytest

from diracx_tasks.workflows.states import Status
from tests.api.stores import installation, migrated
from tests.unit.workflows.lives import Values, begun, ended, nodes, outputs, the

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")
LOOP = """cwlVersion: v1.3.0-dev1
class: Workflow
requirements: {InlineJavascriptRequirement: {}, StepInputExpressionRequirement: {}}
inputs: {start: int, last: int}
outputs: {found: {type: Any, outputSource: grow/y}}
steps:
  grow:
    run: {class: CommandLineTool, baseCommand: 'true', inputs: {x: int}, outputs: {y: int}}
    when: $(inputs.x < inputs.last)
    loop: {x: {outputSource: y, valueFrom: $(self + 1)}}
    outputMethod: METHOD
    in: {x: start, last: last}
    out: [y]
"""


def grown(path: str, inputs: Values) -> Values:
    return {"y": 2 * inputs["x"]}


@pytest.mark.parametrize(
    "method, start, wanted",
    [
        ("last_iteration", 1, 62),
        ("all_iterations", 1, [2, 6, 14, 30, 62]),
        ("last_iteration", 99, None),
        ("all_iterations", 99, []),
    ],
)
def test_a_loop_repeats_its_step_until_when_says_no(method: str, start: int, wanted: object) -> None:
    workflow_id = begun(LOOP.replace("METHOD", method), {"start": start, "last": 40})
    assert ended(workflow_id, grown) == Status.DONE
    assert outputs(workflow_id) == {"found": wanted}
    assert len(nodes(workflow_id, path="grow", kind="tool")) == (5 if start == 1 else 1)


def test_an_iteration_that_fails_ends_the_loop() -> None:
    def failing(path: str, inputs: Values) -> Values:
        if inputs["x"] > 5:
            raise ValueError("too large")
        return grown(path, inputs)

    workflow_id = begun(LOOP.replace("METHOD", "last_iteration"), {"start": 1, "last": 40})
    assert ended(workflow_id, failing) == Status.FAILED
    assert "iteration 3 failed: grow: Application: too large" in the(workflow_id).reason
