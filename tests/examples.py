"""The workflows that ship as examples and templates, and what their outputs are held against."""

import json
from pathlib import Path
from typing import Any

import pytest

from diracx_tasks.cli.demo import shipped

# What a compiler's mathematics may change of a number.
RELATIVE = 1e-4


def examples() -> dict[str, Path]:
    """The folders with a workflow, its inputs and its expected outputs, by their names."""
    return {path.parent.name: path.parent for path in sorted(shipped().glob("examples/*/workflow.cwl"))}


def templates() -> dict[str, Path]:
    """The documents that people start from, by their names."""
    return {path.stem: path for path in sorted(shipped().glob("templates/*.cwl"))}


def expected(folder: Path) -> dict[str, Any]:
    """The outputs that an example has; of files only what is the same everywhere."""
    found: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    return found


def agrees(wanted: Any, found: Any, place: str = "outputs") -> None:
    """Fail where a value is another one, or lacks something."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict), place
        is_file = wanted.get("class") == "File"
        names = wanted.keys() if is_file else wanted.keys() | found.keys()
        for name in names:
            assert name in wanted and name in found, f"{place}.{name}"
            agrees(wanted[name], found[name], f"{place}.{name}")
    elif isinstance(wanted, list):
        assert isinstance(found, list) and len(found) == len(wanted), place
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            agrees(one, other, f"{place}[{number}]")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=RELATIVE), place
    else:
        assert found == wanted, place
