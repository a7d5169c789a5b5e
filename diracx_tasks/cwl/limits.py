"""Limits on a YAML text that are checked on its events, before anything is built from it."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from diracx_tasks.core.errors import InvalidCwl

MAX_TEXT = 4 * 1024 * 1024
MAX_NODES = 200_000
# cwltool takes 0.1 ms a node: it is five seconds until a document of so many is understood.
MAX_DOCUMENT_NODES = 50_000
MAX_DEPTH = 64
LONG = 32_000
# What ruamel raises for some broken texts instead of its own errors.
PARSER_BUGS = (AttributeError, IndexError, KeyError, TypeError, ValueError, AssertionError)


def check_text(name: str, content: bytes, *, must_be_yaml: bool = True, most: int = MAX_NODES) -> None:
    """Raise InvalidCwl for a text that is no YAML, too long, too deep, or too big with its aliases expanded.

    With `must_be_yaml` False, a text that is no YAML passes. Too big is more than `most` nodes.
    """
    if len(content) > MAX_TEXT:
        raise _refused(name, f"a document may have {MAX_TEXT} bytes, this one has {len(content)}")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _refused(name, f"not UTF-8 text: {error.reason} at byte {error.start}") from error
    try:
        _count(name, text, most)
    except MarkedYAMLError as error:
        if must_be_yaml:
            raise _refused(name, f"not YAML: {error.problem or error.context}", error.problem_mark) from error
    except (YAMLError, *PARSER_BUGS) as error:
        if must_be_yaml:
            first = (str(error) or type(error).__name__).splitlines()[0]
            raise _refused(name, f"not YAML: {first}") from error


def _count(name: str, text: str, most: int) -> None:
    """By ruamel, which reads the text later; of a long text by libyaml, which is fifty times as fast."""
    if len(text) > LONG:
        with suppress(yaml.YAMLError):
            _Count(name, most).run(yaml.parse(text, Loader=yaml.CSafeLoader))
            return
    _Count(name, most).run(YAML(typ="safe", pure=True).parse(text))


class _Count:
    """Walks the events of libyaml or ruamel and adds up what the expanded document would hold."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.nodes = 0
        self.anchors: dict[str, int] = {}
        self.open: list[tuple[str | None, int]] = []

    def run(self, events: Iterable[Any]) -> None:
        for event in events:
            self._add(event, type(event).__name__)
            if self.nodes > self.most:
                words = f"the document holds more than {self.most} nodes once its aliases are expanded"
                raise _refused(self.name, words, event.start_mark)

    def _add(self, event: Any, kind: str) -> None:
        if kind == "ScalarEvent":
            self.nodes += 1
            if event.anchor:
                self.anchors[event.anchor] = 1
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self.open.append((event.anchor, self.nodes))
            self.nodes += 1
            if len(self.open) > MAX_DEPTH:
                raise _refused(self.name, f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            anchor, before = self.open.pop()
            if anchor:
                self.anchors[anchor] = self.nodes - before
        elif kind == "AliasEvent":
            if event.anchor in (anchor for anchor, _ in self.open):
                words = f"the alias {event.anchor!r} stands inside what it stands for"
                raise _refused(self.name, words, event.start_mark)
            self.nodes += self.anchors.get(event.anchor, 1)


def _refused(name: str, words: str, mark: Any = None) -> InvalidCwl:
    place = {"line": mark.line + 1, "column": mark.column + 1} if mark else {"line": None, "column": None}
    found = {"severity": "error", "file": name, **place, "message": words, "advice": "Correct the text here."}
    return InvalidCwl(f"{name}: {words}", [found])
