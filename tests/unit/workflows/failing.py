"""Workflows whose jobs fail when a test wants it."""

from typing import Any

from tests.unit.workflows.lives import Values

TOOL = "{class: CommandLineTool, baseCommand: 'true', inputs: {x: int}, outputs: {y: int}}"
HEAD = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {xs: 'int[]', x: int}
"""
# `left` and `right` need nothing of each other; `last` needs `left`.
FORKED = (
    HEAD
    + f"""
outputs: {{l: {{type: 'int?', outputSource: last/y}}, r: {{type: 'int?', outputSource: after/y}}}}
steps:
  left: {{run: {TOOL}, in: {{x: x}}, out: [y]}}
  last: {{run: {TOOL}, in: {{x: left/y}}, out: [y]}}
  right: {{run: {TOOL}, in: {{x: x}}, out: [y]}}
  after: {{run: {TOOL}, in: {{x: right/y}}, out: [y]}}
"""
)
WIDE = (
    HEAD
    + f"""
outputs: {{ys: {{type: 'int[]', outputSource: one/y}}}}
steps:
  one: {{run: {TOOL}, scatter: x, in: {{x: xs}}, out: [y]}}
"""
)
STATED = {"xs": [0, 1, 2, 3], "x": 7}


class Failing:
    """Answers that fail for some paths or elements until they are mended; counts what was asked."""

    def __init__(self, *failing: Any, error: type[Exception] = ValueError) -> None:
        self.failing = set(failing)
        self.asked: list[Any] = []
        self._error = error

    def __call__(self, path: str, inputs: Values) -> Values:
        place = path if path in self.failing else inputs["x"]
        self.asked.append((path, inputs["x"]))
        if place in self.failing:
            raise self._error(f"no {place}")
        return {"y": inputs["x"] + 1}
