"""What cwltool and schema-salad say about a document, as places and advice."""

import re
from typing import Any
from urllib.parse import unquote

from cwltool.errors import UnsupportedRequirement
from schema_salad.exceptions import SchemaSaladException

from diracx_tasks.core.errors import InvalidCwl, UnsupportedCwl

Diagnostic = dict[str, Any]
PLACE = re.compile(r"^(?P<file>\S*?):(?P<line>\d+):(?P<column>\d+):\s*(?P<message>.*)$")
ADVICE = (
    (r"not among the files sent", "Send the file along; nothing outside the bundle is read."),
    (
        r"undefined reference|not found in|file does not exist",
        "Check the name, and that the file is sent along.",
    ),
    (
        r"Unsupported scheme|scheme .* not",
        "Send the file along with the workflow: the server does not fetch addresses.",
    ),
    (r"missing required field|Missing required", "Add the field."),
    (r"invalid field|[Uu]nrecognized|unexpected field", "Correct the spelling, or remove the field."),
    (r"FeatureRequirement|InlineJavascriptRequirement|ExpressionRequirement", "Add it under `requirements`."),
    (r"incompatible|mismatch", "Make the types of source and sink agree, or convert in between."),
    (r"cwlVersion", "State `cwlVersion: v1.2` at the top of the document."),
    (r"does not (exist|correspond)", "Check the name against the parameters of the step's tool."),
)


def explain(error: Exception, base: str, document: str) -> InvalidCwl:
    """The error as InvalidCwl (UnsupportedCwl for a feature we lack), each place with a piece of advice.

    `base` is the URI prefix of the bundle, `document` its main file: the place of last resort.
    """
    if isinstance(error, InvalidCwl):
        return error
    found = list(_salad_leaves(error)) or list(_lines(str(error)))
    diagnostics = _unique([_diagnostic(place, base, document) for place in found])
    first = diagnostics[0] if diagnostics else {"message": str(error) or type(error).__name__}
    kind = UnsupportedCwl if isinstance(error, UnsupportedRequirement) else InvalidCwl
    return kind(
        _headline(first), diagnostics or [_diagnostic((None, None, None, str(error)), base, document)]
    )


def at(node: Any, key: Any, message: str, base: str) -> Diagnostic:
    """A diagnostic at a key of a loaded mapping or sequence, as exactly as ruamel knows."""
    try:
        line, column = node.lc.key(key) if hasattr(node, "keys") else node.lc.item(key)
        file = node.lc.filename
    except (AttributeError, KeyError, TypeError, IndexError):
        return _diagnostic((None, None, None, message), base, "")
    return _diagnostic((file, line + 1, column + 1, message), base, "")


def _salad_leaves(error: Exception) -> Any:
    if not isinstance(error, SchemaSaladException):
        return
    for leaf in error.leaves():
        if leaf.start is not None:
            yield leaf.file, leaf.start[0], leaf.start[1], leaf.message
        else:
            yield from _lines(str(leaf))


def _lines(text: str) -> Any:
    """Places in a message that was already turned into text: one for each line that starts with a place."""
    place: tuple[str, int, int] | None = None
    words: list[str] = []
    for line in [*text.splitlines(), "end:0:0:"]:
        if match := PLACE.match(line.strip()):
            if words:
                yield (*(place or (None, None, None)), " ".join(words))
            place = match["file"], int(match["line"]), int(match["column"])
            words = [match["message"]] if match["message"] else []
        elif line.strip():
            words.append(line.strip())


def _diagnostic(
    place: tuple[str | None, int | None, int | None, str], base: str, document: str
) -> Diagnostic:
    file, line, column, message = place
    message = unquote(message.replace(base, "").replace(base.removesuffix("/"), "")).strip()
    return {
        "severity": "error",
        "file": unquote(file.replace(base, "")) if file else document,
        "line": line,
        "column": column,
        "message": message[:2000],
        "advice": advice(message),
    }


def advice(message: str) -> str:
    """One sentence on what to do about a message."""
    for pattern, words in ADVICE:
        if re.search(pattern, message):
            return words
    return "Compare with the CWL v1.2 specification, or try `cwltool --validate`."


def _unique(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    seen = {(d["file"], d["line"], d["column"], d["message"]): d for d in diagnostics}
    # A place in the text helps more than a summary without one.
    return sorted(seen.values(), key=lambda d: d["line"] is None)


def _headline(first: Diagnostic) -> str:
    place = ":".join(
        str(part) for part in (first.get("file"), first.get("line"), first.get("column")) if part
    )
    return f"{place}: {first['message']}" if place else str(first["message"])
