"""What cwltool and schema-salad say about a document, as places and advice."""

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from cwltool.errors import UnsupportedRequirement
from schema_salad.exceptions import SchemaSaladException

from diracx_tasks.core.errors import InvalidCwl, UnsupportedCwl
from diracx_tasks.cwl.phrases import said
from diracx_tasks.cwl.places import Places

Diagnostic = dict[str, Any]
PLACE = re.compile(r"^(?P<file>\S*?):(?P<line>\d+):(?P<column>\d+):\s*(?P<message>.*)$")
# A line that goes on with the one before, at the place that matters more.
SEQUEL = re.compile(r"^(?:with sink '|tool output \(expected|source has linkMerge|pickValue is used)")
UNSUPPORTED = re.compile(
    r"^(?:Unsupported requirement|Version '.*' is a development|.*no longer supports pre CWL)"
)
TOOL = re.compile(r"^Tool definition (\S+) failed validation")
QUOTED = re.compile(r"'([^']+)'|(\S+) is not among")
# An expression, of which JavaScript's errors show the beginning.
CODE = re.compile(r"\$[({].{1,60}", re.DOTALL)
MOST = 20


class Found(NamedTuple):
    """A message with the place that came with it."""

    file: str | None
    line: int | None
    column: int | None
    message: str


def explain(error: Exception, base: str, document: str, places: Places | None = None) -> InvalidCwl:
    """The error as InvalidCwl (UnsupportedCwl for a feature we lack), each place with a piece of advice.

    `base` is the URI prefix of the bundle, `document` its main file: the place of last resort. With
    `places`, those are looked up that the error does not tell.
    """
    if isinstance(error, InvalidCwl):
        return error
    text = Text(base, document.partition("#")[0], places)
    found = list(_joined(_founds(error))) or [Found(None, None, None, type(error).__name__)]
    diagnostics = _unique(text.diagnostic(one) for one in found)
    is_unsupported = isinstance(error, UnsupportedRequirement) or any(map(text.is_unsupported, found))
    return (UnsupportedCwl if is_unsupported else InvalidCwl)(headline(diagnostics[0]), diagnostics)


def at(node: Any, key: Any, message: str, base: str) -> Diagnostic:
    """A diagnostic at a key of a loaded mapping or sequence, as exactly as ruamel knows."""
    text = Text(base, "", None)
    try:
        line, column = node.lc.key(key) if hasattr(node, "keys") else node.lc.item(key)
        return text.diagnostic(Found(node.lc.filename, line + 1, column + 1, message))
    except (AttributeError, KeyError, TypeError, IndexError):
        return text.diagnostic(Found(None, None, None, message))


def words(error: Exception, base: str) -> str:
    """What an error says, in one line."""
    text = Text(base, "", None)
    return (
        "; ".join(text.diagnostic(one)["message"] for one in _joined(_founds(error))) or type(error).__name__
    )


def headline(first: Diagnostic) -> str:
    """One line: place and message."""
    place = ":".join(str(part) for part in (first["file"], first["line"], first["column"]) if part)
    return f"{place}: {first['message']}" if place else str(first["message"])


class Text:
    """Turns messages about files below `base` into diagnostics about files of the bundle."""

    def __init__(self, base: str, document: str, places: Places | None) -> None:
        folder = unquote(urlsplit(base).path)
        # schema-salad shortens names by the working folder.
        forms = {base, base.removesuffix("/"), folder, os.path.relpath(folder) + "/"}
        self._base = re.compile("|".join(map(re.escape, sorted(filter(None, forms), key=len, reverse=True))))
        self._document = document
        self._places = places

    def diagnostic(self, found: Found) -> Diagnostic:
        """The message in a user's words, at its place or where the documents show what it is about."""
        message = self._base.sub("", found.message)
        words, advice, key = said(message)
        tool = TOOL.match(message)
        file = self._clean(found.file or (tool[1] if tool else None)) or self._document
        line, column = found.line, found.column
        if self._is_requirement(found):
            words = words.replace("there is no class", "there is no requirement")
            advice = "Correct the spelling, or move it to `hints`: unknown hints are ignored."
        if line is None and self._places and (place := self._look_up(message, key, file)):
            file, line, column = place
        return {
            "severity": "error",
            "file": file,
            "line": line,
            "column": column,
            "message": words,
            "advice": advice,
        }

    def is_unsupported(self, found: Found) -> bool:
        """Whether it is about a requirement that we do not know, or a version."""
        return bool(UNSUPPORTED.match(found.message)) or self._is_requirement(found)

    def _is_requirement(self, found: Found) -> bool:
        if self._places is None or "Field 'class' contains undefined reference" not in found.message:
            return False
        return "requirements" in self._places.above(self._clean(found.file), found.line, found.column)

    def _clean(self, file: str | None) -> str | None:
        return unquote(self._base.sub("", file)) if file else None

    def _look_up(self, message: str, key: str, file: str) -> tuple[str, int, int] | None:
        assert self._places is not None
        if (code := CODE.search(message)) and (place := self._places.of_part(code[0])):
            return place
        for one, other in QUOTED.findall(message)[:MOST]:
            name = (one or other).rpartition("#")[2] if "#" in (one or other) else one or other
            if place := self._places.of_value(one or other) or self._places.of_name(name):
                return place
        return self._places.of_key(key, file) if key else None


def _founds(error: BaseException) -> Iterator[Found]:
    """The messages of an error: of the tree that it was raised from, if that has places."""
    tree = cause(error)
    leaves = tree.leaves() if tree else []
    if tree is not error and all(leaf.start is None for leaf in leaves):
        yield from _lines(str(error))
        return
    for leaf in leaves:
        if leaf.start is None:
            yield from _lines(leaf.message)
        else:
            yield Found(leaf.file, *leaf.start, leaf.message)


def cause(error: BaseException | None) -> SchemaSaladException | None:
    """The error itself, or what it was raised from, as schema-salad's tree of messages."""
    while error is not None and not isinstance(error, SchemaSaladException):
        error = error.__cause__ or error.__context__
    return error


def _lines(text: str) -> Iterator[Found]:
    """Places in a message that was already turned into text: one for each line that starts with a place."""
    last: Found | None = None
    for line in filter(None, map(str.strip, text.splitlines())):
        match = PLACE.match(line)
        if match is None and last is not None:
            last = last._replace(message=f"{last.message} {line}".strip())
            continue
        found = _found(match) if match else Found(None, None, None, line)
        if match and last is not None and last[:3] == found[:3] and not SEQUEL.match(found.message):
            # cwltool puts the place before each line of one message.
            last = last._replace(message=f"{last.message} {found.message}".strip())
            continue
        if last is not None and last.message:
            yield last
        last = found
    if last is not None and last.message:
        yield last


def _found(match: re.Match[str]) -> Found:
    return Found(match["file"], int(match["line"]), int(match["column"]), match["message"])


def _joined(founds: Iterable[Found]) -> Iterator[Found]:
    last: Found | None = None
    for found in founds:
        if last is not None and SEQUEL.match(found.message):
            last = Found(found.file, found.line, found.column, f"{last.message} {found.message}")
            continue
        if last is not None:
            yield last
        last = found
    if last is not None:
        yield last


def _unique(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    found = {(d["file"], d["line"], d["column"], d["message"]): d for d in diagnostics}
    # A place in the text helps more than a summary without one.
    return sorted(found.values(), key=lambda d: d["line"] is None)[:MOST]
