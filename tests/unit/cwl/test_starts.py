"""Many inputs of one process: a job for each, or the one that is wrong by its number."""

from typing import Any

import pytest

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.check import loaded
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.starts import starts
from tests.unit.cwl.documents import HEAD, WORKFLOW, a_bundle, an_expression

TOOL = f"""{HEAD}
label: counting
inputs: {{n: int, s: {{type: string, default: x}}}}
outputs: []
requirements: {{InlineJavascriptRequirement: {{}}, ResourceRequirement: {{coresMin: $(inputs.n)}}}}
hints: {{dirac:Job: {{type: Test}}}}
"""


def started(document: str, *inputs: Any, **more: Any) -> dict[str, Any]:
    bundle = a_bundle(document)
    return starts(loaded(bundle), bundle, Evaluation(bundle, {}), inputs=inputs, total=len(inputs), **more)


def test_each_input_object_is_filled_in_and_asks_for_its_own() -> None:
    found = started(TOOL, {"n": 1}, "n: 2\ns: y")
    assert [one["inputs"] for one in found["jobs"]] == [{"n": 1, "s": "x"}, {"n": 2, "s": "y"}]
    assert [one["requirements"]["cores"] for one in found["jobs"]] == [1, 2]
    assert (found["name"], found["facts"]) == ("counting", {"type": "Test"})


def test_the_one_that_is_wrong_is_named() -> None:
    with pytest.raises(InvalidCwl, match=r"^inputs 2: ") as caught:
        started(TOOL, {"n": 1}, {"n": "x"}, {})
    assert caught.value.diagnostics[0]["message"].startswith("inputs 2: ")
    bundle = a_bundle(TOOL)
    with pytest.raises(InvalidCwl, match=r"^inputs 12: "):
        starts(loaded(bundle), bundle, Evaluation(bundle, {}), inputs=[{"n": "x"}], first=11, total=20)


def test_one_alone_is_not_numbered() -> None:
    with pytest.raises(InvalidCwl) as caught:
        started(TOOL, {"n": "x"})
    assert not str(caught.value).startswith("inputs")


def test_a_range_gives_one_input_its_values() -> None:
    over = {"name": "n", "start": 7, "stop": 1, "step": -3}
    found = started(TOOL, "s: y", over=over)
    assert [one["inputs"] for one in found["jobs"]] == [{"n": 7, "s": "y"}, {"n": 4, "s": "y"}]


def test_a_range_over_what_is_no_input_is_refused() -> None:
    with pytest.raises(InvalidCwl, match="range: there is no input 'm', only n, s"):
        started(TOOL, {}, over={"name": "m", "start": 0, "stop": 2, "step": 1})


def test_a_workflow_runs_as_one_job_only_with_the_hint() -> None:
    tool = f"{HEAD}inputs: {{text: string}}\noutputs: {{out: stdout}}\n"
    bundle = a_bundle(WORKFLOW, tool__cwl=tool)
    with pytest.raises(InvalidCwl, match="it is not one job") as caught:
        starts(loaded(bundle), bundle, Evaluation(bundle, {}), inputs=[{"text": "x"}])
    assert "/api/workflows" in caught.value.diagnostics[0]["advice"]
    fused = a_bundle(WORKFLOW + "hints: {dirac:Job: {}}\n", tool__cwl=tool)
    found = starts(loaded(fused), fused, Evaluation(fused, {}), inputs=[{"text": "x"}])
    assert found["jobs"][0]["inputs"] == {"text": "x"}


def test_an_expression_is_one_job_as_well() -> None:
    found = started(an_expression("${return {o: 1}}"), {})
    assert found["jobs"][0]["requirements"]["cores"] == 1


def test_requirements_among_the_inputs_are_the_same_for_all_or_refused() -> None:
    tool = f"{HEAD}inputs: []\noutputs: []\n"
    wide = {"cwl:requirements": [{"class": "ResourceRequirement", "coresMin": 3}]}
    found = started(tool, wide, wide)
    assert [one["requirements"]["cores"] for one in found["jobs"]] == [3, 3] and found["added"]
    with pytest.raises(InvalidCwl, match="must be the same for all jobs"):
        started(tool, wide, {})
