"""Where the values of an inputs file stand: what the server, which has only the values, cannot tell."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from diracx_tasks.core.errors import ApiError, InvalidCwl

INPUTS = "inputs"
QUOTED = re.compile(r"'([^']+)'")
# A complaint about a value begins with the names that lead to it, `cuts.low[]: ...` or `'cuts.low[]' ...`.
LEADING = re.compile(r"^(?:the input )?(?:'([^']+)'|([^\s':]+):)")
Place = tuple[int, int]


@contextmanager
def placed(path: Path | None) -> Iterator[None]:
    """Complaints about values that leave the block also show the lines of the inputs file."""
    try:
        yield
    except (ApiError, InvalidCwl) as error:
        body = error.body if isinstance(error, ApiError) else {"diagnostics": error.diagnostics}
        found = body.get("diagnostics") if isinstance(body, dict) else None
        if path and isinstance(found, list):
            # What was found here names local files.
            name = INPUTS if isinstance(error, ApiError) else str(path)
            text = path.read_text(errors="replace")
            found[:] = with_places([one for one in found if isinstance(one, dict)], text, name)
        raise


def with_places(diagnostics: list[dict[str, Any]], text: str, name: str = INPUTS) -> list[dict[str, Any]]:
    """The diagnostics, those about values with the value's place in the text that they call `name`."""
    given = Given(text)
    found = []
    for one in diagnostics:
        message = str(one.get("message"))
        if one.get("file") != name:
            found.append(one)
            if place := given.of_complaint(message):
                note = {"severity": "note", "message": "the value given is this one", "advice": ""}
                found.append({**note, "file": name, "line": place[0], "column": place[1]})
        elif one.get("line") is None and (place := given.of_problem() or given.of_words(message)):
            found.append({**one, "line": place[0], "column": place[1]})
        else:
            found.append(one)
    return found


class Given:
    """An inputs file as YAML's nodes, with their places."""

    def __init__(self, text: str) -> None:
        self._problem: Place | None = None
        self._root: Any = None
        try:
            self._root = YAML(typ="safe", pure=True).compose(text)
        except MarkedYAMLError as error:
            if mark := error.problem_mark or error.context_mark:
                self._problem = mark.line + 1, mark.column + 1
        except (YAMLError, RecursionError, ValueError):
            # What cannot be read at all has no places.
            return

    def of_problem(self) -> Place | None:
        """Where it stops to be YAML."""
        return self._problem

    def of_complaint(self, message: str) -> Place | None:
        """Where the value stands that a complaint is about."""
        match = LEADING.match(message)
        return self.of_names(re.split(r"\.|(?=\[\])", match[1] or match[2])) if match else None

    def of_names(self, names: list[str]) -> Place | None:
        """Where the value of an input, or of a field inside of it, stands; None without such an input."""
        node, place = self._root, None
        for name in names:
            below = _below(node, name)
            if below is None:
                break
            node, place = below, _place(below)
        return place

    def of_words(self, message: str) -> Place | None:
        """Where a key or value stands that a message quotes."""
        for quoted in QUOTED.findall(message):
            if found := next((one for one in _scalars(self._root, set()) if one.value == quoted), None):
                return _place(found)
        return None


def _below(node: Any, name: str) -> Any:
    if not isinstance(node, MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _scalars(node: Any, seen: set[int]) -> Iterator[ScalarNode]:
    # An alias is its anchor's node again.
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, ScalarNode):
        yield node
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _scalars(key, seen)
            yield from _scalars(value, seen)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _scalars(item, seen)


def _place(node: Any) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1
