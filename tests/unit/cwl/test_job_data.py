"""Inputs and outputs in DIRAC's hints: which are meant, and where their files go."""

from typing import Any

import pytest

from diracx_tasks.cwl import hints
from diracx_tasks.cwl.check import loaded
from diracx_tasks.cwl.load import process_at
from tests.unit.cwl.documents import a_bundle, place, refusal
from tests.unit.cwl.hinted import BODY, DIRAC, a_process

GRAPH = """cwlVersion: v1.2
%s
$graph:
- id: main
  class: Workflow
  inputs: {i: File}
  outputs: {r: {type: File, outputSource: s/o}}
  hints: {dirac:Job: {output_data: [{source: %s, output_path: /x}], input_sandbox: [{source: i, path: a/b}]}}
  steps:
    s: {in: {i: i}, out: [o], run: '#tool'}
- id: tool
  class: CommandLineTool
  baseCommand: echo
  inputs: {i: File}
  outputs: {o: stdout}
"""
INLINE = """cwlVersion: v1.2
class: Workflow
inputs: {i: File}
outputs: []
steps:
  s:
    in: {i: i}
    out: [o]
    run:
      class: CommandLineTool
      baseCommand: echo
      inputs: {i: File}
      outputs: {o: stdout}
      hints: {dirac:Job: {input_sandbox: [{source: i, path: conf/}], output_sandbox: [{source: %s}]}}
"""


@pytest.mark.parametrize("namespaces", ["", DIRAC])
def test_names_are_found_in_packed_documents(namespaces: str) -> None:
    facts = hints.job_facts(loaded(a_bundle(GRAPH % (namespaces, "r"))))
    assert facts["output_data"] == [{"source": "r", "output_path": "/x", "output_se": []}]
    assert facts["input_sandbox"] == [{"source": "i", "path": "a/b"}]
    error = refusal(a_bundle(GRAPH % (namespaces, "s/o")))
    assert "output_data: there is no output 's/o'" in str(error)


@pytest.mark.parametrize("namespaces", ["", DIRAC])
def test_names_are_found_in_a_tool_that_stands_in_its_step(namespaces: str) -> None:
    tool = process_at(loaded(a_bundle(namespaces + INLINE % "o")), "s")
    facts = hints.job_facts(tool)
    assert facts["input_sandbox"] == [{"source": "i", "path": "conf"}]
    assert facts["output_sandbox"] == ["o"]
    assert "there is no output 'i'" in str(refusal(a_bundle(namespaces + INLINE % "i")))


@pytest.mark.parametrize("namespaces", ["", DIRAC])
@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "output_data: [{source: resullt, output_path: /a}]",
            "there is no output 'resullt'; is result meant?",
        ),
        ("output_data: [{source: n, output_path: /a}]", "output_data: there is no output 'n'"),
        ("output_data: [{source: count, output_path: /a}]", "output_data: the output 'count' has no files"),
        ("output_data: [{source: result}]", "output_data: output_path is missing"),
        ("output_data: [{source: result, output_path: a/b}]", "'a/b' is no LFN of a folder"),
        ("output_data: [{source: result, output_path: /a/../b}]", "'/a/../b' is no LFN of a folder"),
        ("output_data: [{source: result, output_path: 'lfn:/'}]", "'lfn:/' is no LFN of a folder"),
        ("output_data: [{source: result, output_path: [/a]}]", "is no LFN of a folder"),
        (
            "output_data: [{source: result, output_path: /a, output_se: {a: b}}]",
            "output_se: this is not a list",
        ),
        (
            "output_data: [{source: result, output_path: /a, se: x}]",
            "output_data: there is no field se, only",
        ),
        ("output_data: [result]", "output_data: an entry is a mapping with a `source`"),
        ("output_data: {source: result}", "output_data: this is no list"),
        ("output_sandbox: ['../*.log']", "'../*.log' is no pattern of files"),
        ("output_sandbox: [/etc/passwd]", "'/etc/passwd' is no pattern of files"),
        ("output_sandbox: ['**.log']", "'**.log' is no pattern of files"),
        ("output_sandbox: [./]", "'./' is no pattern of files"),
        ("output_sandbox: [{source: data}]", "output_sandbox: there is no output 'data'"),
        ("input_data: [{source: n}]", "input_data: the input 'n' has no files"),
        ("input_data: [{source: result}]", "input_data: there is no input 'result'"),
        ("input_data: [{source: 3}]", "input_data: there is no input '3'"),
        ("input_sandbox: [{source: script, path: ../conf}]", "is no folder below the job's own"),
        ("input_sandbox: [{source: script, path: /conf}]", "is no folder below the job's own"),
        ("input_sandbox: [{source: script, path: 3}]", "is no folder below the job's own"),
    ],
)
def test_a_wrong_entry_is_refused_at_its_line(namespaces: str, field: str, message: str) -> None:
    error = refusal(a_bundle(f"{BODY}{namespaces}hints:\n  dirac:Job:\n    priority: 1\n    {field}\n"))
    file, line, column = place(error)
    assert message in str(error)
    assert (file, line) == ("main.cwl", 13 + bool(namespaces)) and column >= 5


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("output_paths: {reslt: /a}", "output_paths: there is no output 'reslt'; is result meant?"),
        ("output_paths: {count: /a}", "output_paths: the output 'count' has no files"),
        ("output_paths: {result: a}", "output_paths: 'a' is no LFN of a folder"),
        ("output_paths: [/a]", "output_paths: this is no mapping"),
        ("output_sandbox: ['*.log']", "output_sandbox: there is no output '*.log'"),
        ("output_se: 3", "output_se: this is not a list of names"),
    ],
)
def test_a_wrong_field_of_the_older_hint_is_refused_at_its_line(field: str, message: str) -> None:
    error = refusal(a_bundle(f"{BODY}hints:\n  dirac:ExecutionHooks:\n    {field}\n"))
    assert message in str(error)
    assert place(error)[:2] == ("main.cwl", 12)


@pytest.mark.parametrize(
    ("kind", "has_files"),
    [
        ("File?", True),
        ("'Directory[]'", True),
        ("[string, File]", True),
        ("{type: array, items: [string, File]}", True),
        ("{type: record, fields: {a: int, b: 'File[]'}}", True),
        ("{type: record, fields: {a: int}}", False),
        ("{type: enum, symbols: [File]}", False),
        ("Any", True),
        ("'string[]'", False),
    ],
)
def test_only_what_may_hold_files_is_data(kind: str, has_files: bool) -> None:
    document = f"""cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs: {{x: {{type: {kind}}}}}
outputs: []
hints: {{dirac:Job: {{input_data: [{{source: x}}]}}}}
"""
    if has_files:
        assert hints.job_facts(loaded(a_bundle(document)))["input_data"] == [{"source": "x"}]
    else:
        assert "input_data: the input 'x' has no files" in str(refusal(a_bundle(document)))


def test_an_entry_about_the_same_source_counts_once() -> None:
    entries = "[{source: result, output_path: /a}, {source: result, output_path: /b}]"
    found: Any = hints.job_facts(a_process(f"{{dirac:Job: {{output_data: {entries}}}}}"))
    assert found["output_data"] == [{"source": "result", "output_path": "/b", "output_se": []}]
