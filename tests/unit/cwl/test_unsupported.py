"""What asks for more than a workflow or a job is refused as unsupported, not ignored."""

import pytest

from diracx_tasks.core.errors import UnsupportedCwl
from tests.unit.cwl.documents import HEAD, a_bundle, checked, place, refusal
from tests.unit.cwl.hinted import BODY, DIRAC

TOOL = f"{HEAD}inputs: []\noutputs: []\n"
# The beginning of an example of DiracX's own draft.
WORKGRAPH = """cwlVersion: v1.2
class: Workflow
$namespaces:
  dirac: https://diracgrid.org/cwl#
hints:
  dirac:Workgraph:
    schema_version: '1.0'
    type: Sprucing
    output_sandbox: ['prodConf_*.json', '*.log']
inputs:
  raw-data:
    dirac:Feeder:
      name: LHCbBookkeeping
      args: {start_run: 285000}
    type: {type: array, items: [File, string]}
outputs: []
steps:
  sprucing:
    hints:
      dirac:Transformation:
        packer: {name: ByRun, args: {group_size: 2}}
    run: tool.cwl
    in: []
    out: []
"""


def test_a_workgraph_is_refused_at_every_place_that_asks_for_more() -> None:
    error = refusal(a_bundle(WORKGRAPH, tool__cwl=TOOL))
    assert isinstance(error, UnsupportedCwl)
    assert sorted(
        (one["line"], one["column"], one["message"].split(":")[1]) for one in error.diagnostics
    ) == [
        (6, 3, "Workgraph"),
        (12, 5, "Feeder of 'raw-data'"),
        (20, 7, "Transformation"),
    ]
    assert all("transformations are not there yet" in one["message"] for one in error.diagnostics)


@pytest.mark.parametrize("name", ["Workgraph", "Transformation", "Production"])
@pytest.mark.parametrize("namespaces", ["", DIRAC])
@pytest.mark.parametrize("form", ["{dirac:%s: {}}", "[{class: dirac:%s}]"])
def test_what_is_no_job_is_unsupported_in_every_form(name: str, namespaces: str, form: str) -> None:
    error = refusal(a_bundle(f"{TOOL}{namespaces}hints: {form % name}\n"))
    assert isinstance(error, UnsupportedCwl)
    assert f"dirac:{name}: transformations are not there yet" in str(error)
    assert place(error)[1] == 6 + bool(namespaces)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("hook_plugin: LHCbPlugin", "hook_plugin: 'LHCbPlugin' is not here, only QueryBasedPlugin"),
        ("group_size: 2", "group_size: transformations are not there yet"),
        ("input_query: {}", "input_query: transformations are not there yet"),
    ],
)
def test_hooks_that_would_do_something_are_unsupported(field: str, message: str) -> None:
    error = refusal(a_bundle(f"{TOOL}hints:\n  dirac:ExecutionHooks:\n    {field}\n"))
    assert isinstance(error, UnsupportedCwl)
    assert message in str(error) and place(error) == ("main.cwl", 8, 5)


def test_mpi_is_unsupported_and_ignored_as_a_hint() -> None:
    namespaces = '$namespaces: {cwltool: "http://commonwl.org/cwltool#"}'
    document = f"{TOOL}{namespaces}\n%s: {{cwltool:MPIRequirement: {{processes: 2}}}}\n"
    error = refusal(a_bundle(document % "requirements"))
    assert isinstance(error, UnsupportedCwl) and place(error) == ("main.cwl", 7, 16)
    checked(a_bundle(document % "hints"))


def test_the_usual_hook_is_no_fault() -> None:
    checked(a_bundle(f"{TOOL}hints: {{dirac:ExecutionHooks: {{hook_plugin: QueryBasedPlugin}}}}\n"))


def test_outputs_of_a_workflow_that_is_not_one_job_cannot_be_uploaded_by_one() -> None:
    workflow = """cwlVersion: v1.2
class: Workflow
inputs: {script: File, data: 'File[]', n: int}
outputs: {r: {type: File, outputSource: one/result}}
hints: {dirac:ExecutionHooks: {output_paths: {r: /lhcb/a}}%s}
steps:
  one: {run: tool.cwl, in: {script: script, data: data, n: n}, out: [result]}
"""
    error = refusal(a_bundle(workflow % "", tool__cwl=BODY))
    assert isinstance(error, UnsupportedCwl) and "with `dirac:Job` it is one job" in str(error)
    files = {"class": "File", "location": "main.cwl"}
    checked(a_bundle(workflow % ", dirac:Job: {}", tool__cwl=BODY), script=files, data=[files], n=1)
