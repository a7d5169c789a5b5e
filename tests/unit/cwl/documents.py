"""CWL documents for tests, and what the checks say of them."""

import json
from typing import Any

import pytest

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import check
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.plan import Plan

HEAD = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: echo\n"
TOOL = f"""{HEAD}
inputs:
  text: string
outputs:
  out: stdout
"""
WORKFLOW = """cwlVersion: v1.2
class: Workflow
inputs:
  text: string
outputs:
  out:
    type: File
    outputSource: one/out
steps:
  one:
    run: tool.cwl
    in:
      text: text
    out: [out]
"""
FEATURES = (
    "{ScatterFeatureRequirement: {}, StepInputExpressionRequirement: {}, InlineJavascriptRequirement: {}, "
    "MultipleInputFeatureRequirement: {}, SubworkflowFeatureRequirement: {}}"
)


def a_bundle(main: str, entrypoint: str = "main.cwl", **files: str) -> Bundle:
    """A bundle whose main document is the text; other files by name, `__` for the dot."""
    others = {name.replace("__", "."): content.encode() for name, content in files.items()}
    return Bundle.of({"main.cwl": main.encode(), **others}, entrypoint)


def a_workflow(*steps: str, inputs: str = "{}", outputs: str = "{}", more: str = "") -> str:
    """A workflow with all features required; a step is YAML in one line, `name: {run: ..., ...}`."""
    lines = "".join(f"  {step}\n" for step in steps)
    head = f"cwlVersion: v1.2\nclass: Workflow\nrequirements: {FEATURES}\n{more}"
    return f"{head}inputs: {inputs}\noutputs: {outputs}\nsteps:\n{lines}"


def an_expression(code: str, inputs: str = "{}", outputs: str = "{o: Any}") -> str:
    """An ExpressionTool with one JavaScript body."""
    head = "cwlVersion: v1.2\nclass: ExpressionTool\nrequirements: {InlineJavascriptRequirement: {}}\n"
    return f"{head}inputs: {inputs}\noutputs: {outputs}\nexpression: {json.dumps(code)}\n"


def a_plan(bundle: Bundle, contents: dict[str, str] | None = None) -> Plan:
    """The plan of a bundle's main document."""
    return Plan(check.loaded(bundle), Evaluation(bundle, contents or {}))


def checked(bundle: Bundle, **inputs: Any) -> dict[str, Any]:
    """What the check of a bundle with its inputs gives."""
    return check.checked(check.loaded(bundle), bundle, inputs, Evaluation(bundle, {}))


def refusal(bundle: Bundle, **inputs: Any) -> InvalidCwl:
    """The error that the check of a bundle ends with; every diagnostic of it is fit for users."""
    with pytest.raises(InvalidCwl) as caught:
        checked(bundle, **inputs)
    for one in caught.value.diagnostics:
        assert_readable(one)
    assert_readable({"message": str(caught.value), "advice": "-"})
    return caught.value


def place(error: InvalidCwl) -> tuple[Any, Any, Any]:
    """File, line and column of an error's only diagnostic."""
    (found,) = error.diagnostics
    return found["file"], found["line"], found["column"]


def assert_readable(found: dict[str, Any]) -> None:
    """Fail if a diagnostic is long, or shows what is ours or cwltool's."""
    assert 0 < len(found["message"]) <= 400, found
    assert found["advice"]
    for internal in ("/bundle/", "ruamel", "Commented", "cwltool.", "org.w3id", "Traceback", "object at 0x"):
        assert internal not in found["message"], found
