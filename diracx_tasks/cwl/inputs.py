"""The input object of a workflow: read, and every complaint placed where the document declares the input."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any

from cwltool.process import Process, shortname
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from schema_salad.exceptions import SchemaSaladException
from schema_salad.utils import yaml_no_ts

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import diagnostics
from diracx_tasks.cwl.limits import PARSER_BUGS, check_text
from diracx_tasks.cwl.phrases import ELSE, SEND, Said, said
from diracx_tasks.cwl.values import locations, plain

FIELD = re.compile(r"the '(.*?)' field is not valid because")


def parsed(text: str, name: str = "inputs") -> dict[str, Any]:
    """An input object from YAML or JSON text, within the limits of documents."""
    check_text(name, text.encode(errors="surrogatepass"))
    try:
        found = plain(yaml_no_ts().load(text))
    except MarkedYAMLError as error:
        raise InvalidCwl(f"{name}: not YAML: {error.problem}") from error
    except (YAMLError, *PARSER_BUGS) as error:
        raise InvalidCwl(f"{name}: not YAML: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidCwl(f"{name}: an input object is a mapping of input names to values")
    return found


def refuse_missing(root: Process, inputs: dict[str, Any], base: str) -> None:
    """Raise InvalidCwl for every input without a value."""
    found = []
    for place, (name, parameter) in _parameters(root):
        kinds = parameter["type"] if isinstance(parameter["type"], list) else [parameter["type"]]
        is_optional = "default" in parameter or "null" in kinds
        if not is_optional and inputs.get(name) is None:
            found.append(
                _at(root, place, f"the input '{name}' is missing", base, f"Give a value for '{name}'.")
            )
    _raise(found)


def refuse_absent_files(root: Process, inputs: dict[str, Any], names: set[str], base: str) -> None:
    """Raise InvalidCwl for every file of the filled-in inputs that is neither stored nor in the bundle."""
    found = []
    for place, (name, _) in _parameters(root):
        for location in dict.fromkeys(locations(inputs.get(name))):
            if not _is_there(location, names):
                shown = location.removeprefix("bundle:")
                words = f"{name}: '{shown}' is not among the files sent with the workflow"
                found.append(_at(root, place, words, base, SEND))
    _raise(found)


def unknown(root: Process, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Warnings about values that no input takes, which CWL allows: mostly a name is misspelt."""
    names = [name for _, (name, _) in _parameters(root)]
    return [
        _warning(f"there is no input '{name}'", get_close_matches(name, names, 1))
        for name in inputs
        if name not in names and not name.startswith("$")
    ]


def explained(error: Exception, root: Process, base: str) -> InvalidCwl:
    """What cwltool says of an input object, at the declaration of the input."""
    complaints: dict[tuple[int, str, str], list[Said]] = {}
    for path, words in islice(_complaints(error, base), diagnostics.MOST):
        for place, (name, _) in _parameters(root):
            if path[:1] == [name] or (not path and re.search(f"['`]{re.escape(name)}['`]", words)):
                where = ".".join(path or [name]).replace(".[]", "[]")
                complaints.setdefault((place, name, where), []).append(said(words))
    found = [
        _at(root, place, _joined(where, texts), base, _advice(name, texts))
        for (place, name, where), texts in complaints.items()
    ]
    if found:
        return InvalidCwl(diagnostics.headline(found[0]), found)
    return diagnostics.explain(error, base, "inputs")


def _joined(where: str, texts: list[Said]) -> str:
    """One complaint: a value of none of several types has one text for each type."""
    text = "; ".join(dict.fromkeys(one.words for one in texts))
    return text if f"'{where}'" in text else f"{where}: {text}"


def _advice(name: str, texts: list[Said]) -> str:
    if len(texts) > 1 or texts[0].advice == ELSE:
        return f"Give '{name}' a value of the type declared here."
    return texts[0].advice


def _complaints(error: Exception, base: str) -> Iterator[tuple[list[str], str]]:
    """Each complaint about a value with the names that lead to the value."""
    tree = diagnostics.cause(error)
    if tree is not None and "Invalid job input record" in str(error):
        yield from _leaves(tree, [])
    else:
        yield [], diagnostics.words(error, base)


def _leaves(error: SchemaSaladException, path: list[str]) -> Iterator[tuple[list[str], str]]:
    if field := FIELD.search(error.message):
        path = [*path, field[1]]
    elif error.message.startswith("item is invalid because"):
        path = [*path, "[]"]
    for child in error.children:
        yield from _leaves(child, path)
    if not error.children and error.message:
        yield path, error.message


def _parameters(root: Process) -> list[tuple[int, tuple[str, Any]]]:
    return list(enumerate((shortname(one["id"]), one) for one in root.tool["inputs"]))


def _is_there(location: str, names: set[str]) -> bool:
    scheme, _, name = location.partition(":")
    if scheme in ("sandbox", "lfn", "_"):
        return True
    folder = name.rstrip("/") + "/"
    return scheme == "bundle" and (name in names or any(one.startswith(folder) for one in names))


def _warning(words: str, close: list[str]) -> dict[str, Any]:
    advice = f"Did you mean `{close[0]}`?" if close else "Remove it."
    place = {"file": "inputs", "line": None, "column": None}
    return {"severity": "warning", **place, "message": words, "advice": advice}


def _at(root: Process, place: int, words: str, base: str, advice: str) -> dict[str, Any]:
    return {**diagnostics.at(root.tool["inputs"], place, words, base), "advice": advice}


def _raise(found: list[dict[str, Any]]) -> None:
    if found:
        raise InvalidCwl(
            "; ".join(one["message"] for one in found[: diagnostics.MOST]), found[: diagnostics.MOST]
        )
