"""What CWL's own requirements ask of the machine: of a tool, and of a workflow that is one job."""

from typing import Any

import pytest

from diracx_tasks.cwl import hints
from diracx_tasks.cwl.check import loaded
from diracx_tasks.cwl.load import process_at
from diracx_tasks.matching.specification import specifications
from tests.unit.cwl.documents import HEAD, TOOL, WORKFLOW, a_bundle, checked
from tests.unit.cwl.test_requirements import asked


@pytest.mark.parametrize(
    "fields, more",
    [
        ("coresMin: 2, coresMax: 4", {"cores": 2, "max_cores": 4}),
        ("coresMax: 4", {"cores": 4}),
        ("coresMin: 4, coresMax: 4", {"cores": 4}),
        ("tmpdirMin: 1000, outdirMin: 24.5", {"cores": 1, "io": {"scratch_mb": 1025}}),
        ("outdirMax: 500", {"cores": 1, "io": {"scratch_mb": 500}}),
        ("tmpdirMin: $(inputs.n * 100)", {"cores": 1, "io": {"scratch_mb": 400}}),
        ("coresMin: $(inputs.n), coresMax: 2", {"cores": 4}),
        ("coresMin: $(inputs.n * 1e15)", {"cores": 10**6}),
        ("coresMin: 1, coresMax: 1e15", {"cores": 1, "max_cores": 10**6}),
    ],
)
def test_ranges_and_space_of_a_tool_are_asked_for(fields: str, more: dict[str, Any]) -> None:
    requirements = f"requirements: {{InlineJavascriptRequirement: {{}}, ResourceRequirement: {{{fields}}}}}\n"
    found = asked(f"{HEAD}inputs: {{n: int}}\noutputs: {{}}\n{requirements}", n=4)
    assert {**found, **more} == found and ("io" in found) == ("io" in more)
    assert ("max_cores" in found) == ("max_cores" in more)
    specifications(found)


@pytest.mark.parametrize(
    ("requirements", "tags"),
    [
        ("requirements: {DockerRequirement: {dockerPull: debian}}", ["container", "gpu"]),
        ("requirements: [{class: DockerRequirement, dockerPull: debian}]", ["container", "gpu"]),
        ("hints: {DockerRequirement: {dockerPull: debian}, dirac:Job: {tags: gpu}}", ["gpu"]),
    ],
)
def test_a_tool_that_runs_in_a_container_only_asks_for_one(requirements: str, tags: list[str]) -> None:
    more = "" if "hints" in requirements else "hints: {dirac:Job: {tags: gpu}}\n"
    assert asked(f"{TOOL}{requirements}\n{more}", text="x")["tags"] == tags


def test_a_container_that_a_workflow_requires_is_asked_for_by_its_steps() -> None:
    workflow = WORKFLOW + "requirements: {DockerRequirement: {dockerPull: debian}}\n"
    step = process_at(loaded(a_bundle(workflow, tool__cwl=TOOL)), "one")
    assert hints.requirements(step, {}, None)["tags"] == ["container"]


def test_no_alternative_gives_up_the_container() -> None:
    hint = "hints: {dirac:Job: {alternatives: [{tags: a}, {tags: null}, {cores: 2}]}}\n"
    found = asked(f"{TOOL}requirements: {{DockerRequirement: {{dockerPull: debian}}}}\n{hint}", text="x")
    assert found["alternatives"] == [{"tags": ["a", "container"]}, {"tags": ["container"]}, {"cores": 2}]
    assert all("container" in one.demands for one in specifications(found))


ONE_JOB = """cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}%s}
hints: {dirac:Job: {%s}}
inputs: {text: string}
outputs: []
steps:
  small: {run: small.cwl, in: {text: text}, out: []}
  large: {run: large.cwl, in: {text: text}, out: []}
"""
SMALL = (
    TOOL
    + "requirements: {ResourceRequirement: {coresMin: 1, ramMin: 4000}, ToolTimeLimit: {timelimit: 60}}\n"
)
WIDE = "coresMin: 4, coresMax: 6, ramMin: $(inputs.text.length), outdirMin: 100"
LARGE = f"{TOOL}requirements: {{InlineJavascriptRequirement: {{}}, ResourceRequirement: {{{WIDE}}}}}\n"


@pytest.mark.parametrize(
    ("requirements", "hint", "found"),
    [
        ("", "", (4, 6, 4000)),
        (", ResourceRequirement: {coresMin: 8, ramMin: 100}", "", (8, None, 4000)),
        ("", "cores: 2, ram_mb: 1", (2, None, 1)),
        (", ResourceRequirement: {coresMin: $(inputs.text.length)}", "", (3, 6, 4000)),
    ],
)
def test_a_workflow_that_is_one_job_asks_for_as_much_as_its_largest_step(
    requirements: str, hint: str, found: tuple[Any, ...]
) -> None:
    bundle = a_bundle(ONE_JOB % (requirements, hint), small__cwl=SMALL, large__cwl=LARGE)
    record = checked(bundle, text="abc")["start"]["requirements"]
    assert (record["cores"], record.get("max_cores"), record["ram_mb"]) == found
    assert record["io"] == {"scratch_mb": 100} and "wall_time" not in record


@pytest.mark.parametrize(
    ("requirements", "is_static"),
    [
        ("ResourceRequirement: {coresMin: 2, ramMin: 100}, ToolTimeLimit: {timelimit: 60}", True),
        ("ResourceRequirement: {coresMin: $(inputs.n)}", False),
        ("ResourceRequirement: {coresMin: 1, coresMax: $(inputs.n)}", False),
        ("ToolTimeLimit: {timelimit: $(inputs.n)}", False),
        ("EnvVarRequirement: {envDef: {A: $(inputs.n)}}", True),
    ],
)
def test_only_expressions_make_jobs_of_a_process_ask_for_different_things(
    requirements: str, is_static: bool
) -> None:
    tool = f"{HEAD}inputs: {{n: int}}\noutputs: []\n"
    process = loaded(a_bundle(f"{tool}requirements: {{InlineJavascriptRequirement: {{}}, {requirements}}}\n"))
    assert hints.is_static(process) is is_static
    if is_static:
        assert hints.requirements(process, {}, None) == hints.requirements(process, {"n": 9}, None)
