"""An inputs file for a workflow to be filled in: what cwltool's --make-template is for, with valid values."""

import io
import textwrap
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from cwltool.process import Process, shortname
from cwltool.utils import aslist
from ruamel.yaml import YAML

from diracx_tasks.cwl.ports import declared, type_words
from diracx_tasks.cwl.values import plain

PLACEHOLDERS: dict[str, Any] = {
    "null": None,
    "boolean": False,
    "int": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "string": "text",
    "File": {"class": "File", "path": "path/of/the/file"},
    "Directory": {"class": "Directory", "path": "path/of/the/folder"},
    "Any": "any value",
}
DEEPEST = 8
WIDTH = 100


def template(root: Process, base: str) -> str:
    """The inputs as YAML text: a placeholder for each that is needed, the others as comments.

    Above each stand its description, its type and its default. `base` is what the bundle's own files are
    below.
    """
    blocks = [_block(root, parameter, base) for parameter in declared(root)]
    return "\n".join(blocks) if blocks else "# There are no inputs.\n{}\n"


def placeholder(kind: Any, root: Process, depth: int = 0) -> Any:
    """A value of a type; of several types the first that is not null, of an enum the first symbol."""
    if isinstance(kind, list):
        return placeholder(next((one for one in kind if one != "null"), "null"), root, depth)
    if depth > DEEPEST:
        return None
    if not hasattr(kind, "get"):
        return PLACEHOLDERS[kind] if kind in PLACEHOLDERS else placeholder(_type(kind, root), root, depth + 1)
    if kind["type"] == "record":
        fields = kind.get("fields", ())
        return {shortname(one["name"]): placeholder(one["type"], root, depth + 1) for one in fields}
    if kind["type"] == "array":
        return [placeholder(kind["items"], root, depth + 1)]
    is_enum = kind["type"] == "enum"
    return type_words(kind["symbols"][0]) if is_enum else placeholder(kind["type"], root, depth + 1)


def _type(kind: Any, root: Process) -> Any:
    """A type that SchemaDefRequirement declares, by its name; any other as it is."""
    if hasattr(kind, "get"):
        return kind
    stated: Any = root.get_requirement("SchemaDefRequirement")[0] or {}
    types = stated.get("types", ())
    return next((one for one in types if one.get("name") == kind), "null")


def _block(root: Process, parameter: Any, base: str) -> str:
    name, kind = shortname(parameter["id"]), parameter["type"]
    is_optional = "default" in parameter or "null" in aslist(kind)
    given = (
        _readable(plain(parameter["default"]), base) if "default" in parameter else placeholder(kind, root)
    )
    lines = [f"# {line}".rstrip() for line in _remarks(root, parameter)]
    mark = "# " if is_optional else ""
    lines += [mark + line for line in _yaml({name: given}).splitlines()]
    return "\n".join(lines) + "\n"


def _remarks(root: Process, parameter: Any) -> Iterator[str]:
    for text in (parameter.get("label"), *aslist(parameter.get("doc") or [])):
        for line in str(text or "").splitlines():
            yield from textwrap.wrap(" ".join(line.split()), WIDTH) or [""] * bool(text)
    facts = [type_words(parameter["type"])]
    if "default" in parameter:
        facts.append("the default is")
    elif "null" in aslist(parameter["type"]):
        facts.append("may be left out")
    if choices := list(_symbols(parameter["type"], root)):
        facts.append(f"one of {', '.join(choices)}")
    if beside := parameter.get("secondaryFiles"):
        facts.append(f"with {', '.join(_pattern(one) for one in aslist(beside))} beside it")
    yield ", ".join(facts)


def _symbols(kind: Any, root: Process) -> Iterator[str]:
    for one in kind if isinstance(kind, list) else [kind]:
        found = _type(one, root)
        if isinstance(found, str):
            continue
        if found["type"] == "enum":
            yield from map(type_words, found["symbols"])
        elif found["type"] == "array":
            yield from _symbols(found["items"], root)


def _pattern(one: Any) -> str:
    return " ".join(str(one.get("pattern") if hasattr(one, "get") else one).split())


def _readable(value: Any, base: str) -> Any:
    """A default with the bundle's files by their relative paths."""
    if isinstance(value, list):
        return [_readable(one, base) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _readable(one, base) for key, one in value.items()}
    location = str(found.get("location", ""))
    if location.startswith(base):
        found["location"] = unquote(location.removeprefix(base))
    return found


def _yaml(value: Any) -> str:
    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.representer.add_representer(type(None), _null)
    yaml.dump(value, text)
    return text.getvalue()


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")
