"""Requirements that come with the inputs: where they count, and what is wrong with them."""

from typing import Any

import pytest

from diracx_tasks.core.errors import InvalidCwl, UnsupportedCwl
from diracx_tasks.cwl import overrides
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.load import load, process_at
from tests.unit.cwl.documents import TOOL, WORKFLOW, a_bundle, checked, refusal

MEMORY: dict[str, Any] = {"class": "ResourceRequirement", "ramMin": 4000}


def carried(bundle: Bundle, **inputs: Any) -> Bundle:
    """The bundle as it is stored for its jobs."""
    return bundle.extended(checked(bundle, **inputs)["added"])


def ram(bundle: Bundle, path: str = "") -> Any:
    """The memory that the process at a path requires, as a node sees it that has the bundle only."""
    asked: Any = process_at(load(bundle), path).get_requirement("ResourceRequirement")[0]
    return asked and asked["ramMin"]


@pytest.mark.parametrize("key", overrides.REQUIREMENTS)
@pytest.mark.parametrize("form", [[MEMORY], {"ResourceRequirement": {"ramMin": 4000}}])
def test_requirements_of_the_inputs_reach_the_nodes(key: str, form: Any) -> None:
    found = checked(a_bundle(TOOL), text="x", **{key: form})
    assert found["start"]["requirements"]["ram_mb"] == 4000
    assert found["start"]["inputs"] == {"text": "x"} and found["warnings"] == []
    assert ram(carried(a_bundle(TOOL), text="x", **{key: form})) == 4000


def test_they_count_more_than_those_of_the_document() -> None:
    tool = f"{TOOL}requirements: {{ResourceRequirement: {{ramMin: 100}}}}\n"
    assert ram(a_bundle(tool)) == 100
    assert ram(carried(a_bundle(tool), text="x", **{"cwl:requirements": [MEMORY]})) == 4000


def test_steps_inherit_them_but_know_better() -> None:
    own = f"{TOOL}requirements: {{ResourceRequirement: {{ramMin: 100}}}}\n"
    for tool, expected in ((TOOL, 4000), (own, 100)):
        bundle = carried(a_bundle(WORKFLOW, tool__cwl=tool), text="x", **{"cwl:requirements": [MEMORY]})
        assert ram(bundle, "one") == expected


def test_they_are_for_the_main_process_of_a_packed_document() -> None:
    packed = (
        "cwlVersion: v1.2\n$graph:\n- class: CommandLineTool\n  id: main\n  baseCommand: echo\n"
        "  inputs: {text: string}\n  outputs: {}\n"
    )
    for entrypoint in ("main.cwl", "main.cwl#main"):
        assert ram(carried(a_bundle(packed, entrypoint), text="x", **{"cwl:requirements": [MEMORY]})) == 4000


@pytest.mark.parametrize("target", ["tool.cwl", "#one", "main.cwl#one"])
def test_an_override_is_for_one_tool_or_step(target: str) -> None:
    given = {target: {"requirements": {"ResourceRequirement": {"ramMin": 4000}}}}
    bundle = carried(a_bundle(WORKFLOW, tool__cwl=TOOL), text="x", **{"cwltool:overrides": given})
    assert ram(bundle) is None
    assert ram(bundle, "one") == 4000


def test_a_bundle_without_them_stays_as_it_is() -> None:
    bundle = a_bundle(TOOL)
    assert carried(bundle, text="x").hash == bundle.hash
    assert carried(bundle, text="x", **{"cwl:requirements": [MEMORY]}).hash != bundle.hash


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cwl:requirements": [{"class": "ResourceRequirement", "ramMin": []}]}, "cwl:requirements: a list"),
        ({"cwl:requirements": "much memory"}, "cwl:requirements: a text"),
        ({"cwltool:overrides": [1]}, "overrides are a mapping"),
        ({"cwltool:overrides": {"tool.cwl": {}}}, "the override of 'tool.cwl' has no `requirements`"),
        ({"cwl:requirements": [{"$import": "file:///etc/passwd"}]}, "not among the files sent"),
    ],
)
def test_wrong_ones_are_refused_as_inputs(given: dict[str, Any], words: str) -> None:
    error = refusal(a_bundle(TOOL), text="x", **given)
    assert words in str(error)
    assert {one["file"] for one in error.diagnostics} == {"inputs"}


def test_a_requirement_that_does_not_exist_is_unsupported() -> None:
    error = refusal(a_bundle(TOOL), text="x", **{"cwl:requirements": [{"class": "acme:Magic"}]})
    assert isinstance(error, UnsupportedCwl)
    assert "there is no requirement 'acme:Magic'" in str(error)


def test_documents_of_v1_0_do_not_know_them() -> None:
    old = TOOL.replace("v1.2", "v1.0")
    error = refusal(a_bundle(old), text="x", **{"cwl:requirements": [MEMORY]})
    assert "CWL v1.0" in str(error) and "cwltool:overrides" in error.diagnostics[0]["advice"]
    given = {"main.cwl": {"requirements": [MEMORY]}}
    assert ram(carried(a_bundle(old), text="x", **{"cwltool:overrides": given})) == 4000


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"": 1}', '{"": [{"class": "acme:Magic"}]}'])
def test_a_forged_file_of_them_is_refused(text: str) -> None:
    with pytest.raises(InvalidCwl):
        load(a_bundle(TOOL).extended({overrides.FILE: text}))
