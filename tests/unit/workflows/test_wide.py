"""Scatters over long arrays, whose elements are never all in one place."""

from typing import Any

import pytest
from sqlalchemy import func, select

from diracx_tasks.core.database import reading
from diracx_tasks.core.errors import TooLarge
from diracx_tasks.core.packed import unpacked
from diracx_tasks.workflows import collections
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Chunk, Node
from tests.api.stores import installation, migrated
from tests.unit.workflows.lives import begun, done, ended, moved, nodes, outputs, statuses, the

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")
TOOL = "{class: CommandLineTool, baseCommand: 'true', inputs: {x: int, w: 'int?'}, outputs: {y: int}}"
HEAD = """cwlVersion: v1.2
class: Workflow
requirements:
  {ScatterFeatureRequirement: {}, StepInputExpressionRequirement: {}, InlineJavascriptRequirement: {}}
"""
TWICE = (
    HEAD
    + f"""
inputs: {{xs: 'int[]'}}
outputs: {{zs: {{type: 'int[]', outputSource: two/y}}}}
steps:
  one: {{run: {TOOL}, scatter: x, in: {{x: xs}}, out: [y]}}
  two: {{run: {TOOL}, scatter: x, in: {{x: one/y}}, out: [y]}}
"""
)
CROSSED = (
    HEAD
    + f"""
inputs: {{xs: 'int[]', ws: 'int[]'}}
outputs: {{zs: {{type: Any, outputSource: one/y}}}}
steps:
  one: {{run: {TOOL}, scatter: [x, w], scatterMethod: METHOD, in: {{x: xs, w: ws}}, out: [y]}}
"""
)
SUM = (
    HEAD
    + f"""
inputs: {{xs: 'int[]'}}
outputs: {{z: {{type: int, outputSource: sum/y}}, n: {{type: int, outputSource: length/y}}}}
steps:
  one: {{run: {TOOL}, scatter: x, in: {{x: xs}}, out: [y]}}
  length: {{run: {TOOL}, in: {{all: one/y, x: {{valueFrom: $(inputs.all.length)}}}}, out: [y]}}
  sum:
    run: {{class: ExpressionTool, inputs: {{all: 'int[]'}}, outputs: {{y: int}},
           expression: "${{return {{y: inputs.all.reduce((a, b) => a + b, 0)}};}}"}}
    in: {{all: one/y}}
    out: [y]
"""
)


def double(path: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"y": 2 * inputs["x"] + (inputs.get("w") or 0)}


def test_elements_of_a_long_array_go_from_scatter_to_scatter() -> None:
    workflow_id = begun(TWICE, {"xs": list(range(25))})
    assert ended(workflow_id, double) == Status.DONE
    assert outputs(workflow_id) == {"zs": [4 * x for x in range(25)]}
    one = nodes(workflow_id, kind="scatter")[0]
    assert (one.ended, one.bad, one.skipped, one.cursor) == (25, 0, 0, 25)


def test_long_arrays_are_stored_in_chunks_once() -> None:
    workflow_id = begun(TWICE, {"xs": list(range(25))})
    ended(workflow_id, double)
    with reading() as db:
        # The inputs only: what a scatter gave is read from its slots.
        assert db.scalar(select(func.count()).select_from(Chunk)) == 3
        assert db.scalar(select(func.count()).select_from(Node)) == 53
        assert len(the(workflow_id).outputs or b"") < 200


@pytest.mark.parametrize(
    "method, wanted",
    [
        ("dotproduct", [2 * x + x for x in range(5)]),
        ("flat_crossproduct", [2 * x + w for x in range(5) for w in range(5)]),
        ("nested_crossproduct", [[2 * x + w for w in range(5)] for x in range(5)]),
    ],
)
def test_results_have_the_shape_of_the_method(method: str, wanted: list[Any]) -> None:
    workflow_id = begun(CROSSED.replace("METHOD", method), {"xs": list(range(5)), "ws": list(range(5))})
    assert ended(workflow_id, double) == Status.DONE
    assert outputs(workflow_id) == {"zs": wanted}


def test_expressions_look_into_long_arrays() -> None:
    workflow_id = begun(SUM, {"xs": list(range(15))})
    assert ended(workflow_id, double) == Status.DONE
    assert outputs(workflow_id) == {"z": 15 * 14, "n": 30}


def test_an_array_that_is_too_long_for_an_expression_fails_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collections, "MOST", 12)
    workflow_id = begun(SUM, {"xs": list(range(15))})
    assert ended(workflow_id, double) == Status.FAILED
    assert "more than 12 elements" in the(workflow_id).reason


def test_the_elements_of_inner_arrays_count() -> None:
    text = CROSSED.replace("METHOD", "nested_crossproduct")
    workflow_id = begun(text, {"xs": list(range(5)), "ws": list(range(5))})
    assert ended(workflow_id, double) == Status.DONE
    value = unpacked(the(workflow_id).outputs or b"")
    with reading() as db:
        assert collections.whole(db, workflow_id, value, 25) == outputs(workflow_id)
        with pytest.raises(TooLarge, match="more than 24 elements"):
            collections.whole(db, workflow_id, value, 24)


def test_one_element_that_fails_fails_the_scatter_and_says_which() -> None:
    def broken(path: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if inputs["x"] == 14:
            raise ValueError("exit code 3")
        return double(path, inputs)

    workflow_id = begun(TWICE, {"xs": list(range(25))})
    assert ended(workflow_id, broken) == Status.FAILED
    assert "one: 1 of 25 failed, first: one: Application: exit code 3 (job" in the(workflow_id).reason
    assert "two" not in statuses(workflow_id)


def test_functions_of_the_library_look_into_long_arrays() -> None:
    library = "InlineJavascriptRequirement: {expressionLib: ['function n() { return inputs.all.length; }']}"
    text = SUM.replace("InlineJavascriptRequirement: {}", library).replace("$(inputs.all.length)", "$(n())")
    workflow_id = begun(text, {"xs": list(range(15))})
    assert ended(workflow_id, double) == Status.DONE
    assert outputs(workflow_id)["n"] == 30


def test_a_job_cannot_forge_an_array() -> None:
    tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: []\noutputs: {y: Any}\n"
    workflow_id = begun(tool, {})
    moved(workflow_id)
    with pytest.raises(AssertionError):
        done(workflow_id, lambda path, inputs: {"y": {"class": "diracx:Array", "of": "zzz", "length": 5}})
    assert moved(workflow_id) == Status.RUNNING
