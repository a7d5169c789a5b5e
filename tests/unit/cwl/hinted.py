"""Documents with DIRAC's hints, and the processes in them."""

from cwltool.process import Process

from diracx_tasks.cwl import check
from diracx_tasks.cwl.load import process_at
from tests.unit.cwl.documents import HEAD, a_bundle

DIRAC = '$namespaces: {dirac: "https://diracgrid.org/cwl#"}\n'
# A tool with files and a number on both sides.
PORTS = """inputs: {data: 'File[]', script: File, n: int}
outputs:
  result: {type: File, outputBinding: {glob: r}}
  log: stdout
  count: {type: int, outputBinding: {outputEval: $(1)}}
"""
BODY = f"{HEAD}requirements: {{InlineJavascriptRequirement: {{}}}}\n{PORTS}"
AROUND = """cwlVersion: v1.2
class: Workflow
inputs: {{script: File, data: 'File[]', n: int}}
outputs:
  result: {{type: File, outputSource: one/result}}
{more}
steps:
  one:
    in: {{script: script, data: data, n: n}}
    out: [result]
    run: tool.cwl
{step}
"""


def a_process(hints: str, *, namespaces: str = DIRAC) -> Process:
    """A tool with `hints: ...`, a YAML text in one line."""
    return check.loaded(a_bundle(f"{BODY}{namespaces}hints: {hints}\n"))


def around(hints: str = "[]", step: str = "[]", tool: str = "[]", path: str = "") -> Process:
    """A workflow of one step with hints on the workflow, the step and the tool; or what is at `path`."""
    document = AROUND.format(more=f"hints: {hints}", step=f"    hints: {step}")
    found = check.loaded(a_bundle(document, tool__cwl=f"{BODY}hints: {tool}\n"))
    return process_at(found, path)
