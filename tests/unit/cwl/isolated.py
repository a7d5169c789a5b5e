"""Questions to an isolate, and what the kernel says of it."""

from pathlib import Path
from typing import Any

from diracx_tasks.workflows.isolate import Isolate
from tests.unit.cwl.documents import TOOL, a_bundle, an_expression


def check(isolate: Isolate, main: str = TOOL, inputs: Any = None, **files: str) -> dict[str, Any]:
    """The answer to a check."""
    request = {"op": "check", "inputs": {"text": "x"} if inputs is None else inputs, "contents": {}}
    return isolate.ask(a_bundle(main, **files), request)


def express(isolate: Isolate, code: str, **inputs: Any) -> dict[str, Any]:
    """The answer to the evaluation of an ExpressionTool."""
    declared = f"{{{', '.join(f'{name}: Any' for name in inputs)}}}"
    request = {"op": "express", "arguments": {"path": "", "inputs": inputs}, "contents": {}}
    return isolate.ask(a_bundle(an_expression(code, declared)), request)


def status(isolate: Isolate) -> dict[str, str]:
    """What the kernel says of the isolate's process."""
    assert isolate.process is not None
    lines = Path(f"/proc/{isolate.process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def assert_works(isolate: Isolate) -> None:
    """Fail unless the isolate evaluates."""
    assert express(isolate, "${return {o: 1 + 1};}") == {"ok": {"o": 2}}
