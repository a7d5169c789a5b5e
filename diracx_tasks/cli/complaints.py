"""Errors in words: one line, and the complaints about a document at their places."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diracx_tasks.core.errors import ApiError, DiracXError, InvalidCwl

# Where a command leaves the local paths of the documents that it sends, for the places of complaints.
PLACES = "diracx.places"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def one_line(text: str) -> str:
    """The text without line ends and other control characters."""
    return CONTROL.sub(" ", text).strip()


def headline(error: DiracXError) -> str:
    """An error in one line."""
    if not (found := _diagnostics(error)):
        return one_line(str(error))
    what = "CWL that is not supported here" if error.exit_code == 33 else "invalid CWL"
    count = sum(one.get("severity", "error") == "error" for one in found)
    return f"{what}, {count} error{'s' if count != 1 else ''}"


def complaints(error: DiracXError, places: Mapping[str, Path]) -> Iterator[str]:
    """Each diagnostic with its line of the text and its advice; `places` are local paths by name."""
    for one in _diagnostics(error):
        # What is found here, before anything is sent, names local files.
        is_local = isinstance(error, InvalidCwl) and one.get("file")
        yield complaint(one, {one["file"]: Path(one["file"])} if is_local else places)


def complaint(one: Mapping[str, Any], places: Mapping[str, Path]) -> str:
    """A diagnostic as compilers write it: `file:line:col: message`, the line, a caret, advice."""
    name, line, column = one.get("file"), one.get("line"), one.get("column")
    path = places.get(name or "")
    place = ":".join(str(part) for part in (path or name, line, column) if part)
    mark = "" if one.get("severity", "error") == "error" else f"{one['severity']}: "
    found = [
        f"{place}: {mark}{one_line(str(one.get('message')))}" if place else one_line(str(one["message"]))
    ]
    if path and line:
        found += _source(path, line, column or 0)
    if one.get("advice"):
        found.append(f"    advice: {one_line(one['advice'])}")
    return "\n".join(found)


def _source(path: Path, line: int, column: int) -> list[str]:
    try:
        text = path.read_text(errors="replace").splitlines()[line - 1]
    except (OSError, IndexError):
        return []
    # A packed document may have everything on one line.
    start = max(0, column - 60)
    shown = CONTROL.sub(" ", text.expandtabs(1))[start : start + 100]
    return [f"    {shown}", *([f"    {' ' * (column - 1 - start)}^"] if column else [])]


def _diagnostics(error: DiracXError) -> list[dict[str, Any]]:
    if isinstance(error, InvalidCwl):
        return error.diagnostics
    body = error.body if isinstance(error, ApiError) else None
    found = body.get("diagnostics") if isinstance(body, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
