"""Files that lie beside others: what the `secondaryFiles` of parameters name, found as cwltool finds them."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Types = Mapping[str, Any]
EXPRESSION = re.compile(r"\$[({]")
# What needs no JavaScript.
SELF = re.compile(r"\$\(self\.(basename|nameroot|nameext)\)")


def with_secondary(value: Any, parameter: Any, types: Types) -> Any:
    """A value in which local Files have the files beside them that the parameter, or a field of it, names.

    `types` has the document's own types by name. A File that states its secondary files keeps these.
    """
    is_whole = isinstance(parameter, Mapping)
    patterns = parameter.get("secondaryFiles") if is_whole else None
    return _completed(value, parameter.get("type") if is_whole else parameter, patterns, types)


def short_name(name: Any) -> str:
    """The name of a parameter, field or type without what stands before it: `x` of `a.cwl#main/x`."""
    return re.split("[#/]", str(name))[-1]


def named_types(documents: Any) -> dict[str, Any]:
    """The types by name that parsed documents define anywhere."""
    return {
        short_name(one["name"]): one
        for one in mappings(documents, set())
        if "name" in one and one.get("type") in ("record", "array", "enum")
    }


def mappings(node: Any, seen: set[int]) -> Iterator[Mapping[str, Any]]:
    """Every mapping in a parsed document, once."""
    if not isinstance(node, (dict, list)) or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node:
        yield from mappings(inner, seen)


def _completed(value: Any, declared: Any, patterns: Any, types: Types) -> Any:
    kinds = list(_compound(declared, types, set()))
    if isinstance(value, list):
        arrays = [one for one in kinds if one["type"] == "array"]
        items = [one.get("items") for one in arrays]
        inner = patterns or next((one["secondaryFiles"] for one in arrays if one.get("secondaryFiles")), None)
        return [_completed(one, items, inner, types) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("class") == "File":
        return _with_files(value, patterns)
    fields = {name: field for one in kinds for name, field in _fields(one.get("fields"))}
    return {name: with_secondary(one, fields.get(name), types) for name, one in value.items()}


def _compound(declared: Any, types: Types, seen: set[int]) -> Iterator[Mapping[str, Any]]:
    """The records and arrays among the alternatives of a type."""
    if isinstance(declared, str):
        name = declared.removesuffix("?")
        if name.endswith("[]"):
            yield {"type": "array", "items": name.removesuffix("[]")}
        else:
            yield from _compound(types.get(short_name(name)), types, seen)
    elif isinstance(declared, (dict, list)) and id(declared) not in seen:
        seen.add(id(declared))
        if isinstance(declared, list):
            for one in declared:
                yield from _compound(one, types, seen)
        elif declared.get("type") in ("record", "array"):
            yield declared
        else:
            yield from _compound(declared.get("type"), types, seen)


def _fields(declared: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(declared, dict):
        yield from declared.items()
    for one in declared if isinstance(declared, list) else ():
        if isinstance(one, dict):
            yield short_name(one.get("name")), one


def _with_files(file: dict[str, Any], patterns: Any) -> dict[str, Any]:
    if not patterns or "path" not in file or "secondaryFiles" in file:
        return file
    path, found = Path(file["path"]), []
    for entry in patterns if isinstance(patterns, list) else [patterns]:
        pattern = str(entry.get("pattern") if isinstance(entry, dict) else entry).removesuffix("?")
        beside = _beside(path, str(file.get("basename") or path.name), pattern)
        if beside and os.path.exists(beside):
            found.append({"class": "Directory" if beside.is_dir() else "File", "path": str(beside)})
    return {**file, "secondaryFiles": found} if found else file


def _beside(path: Path, name: str, pattern: str) -> Path | None:
    """What a pattern names beside a file; None for what only its expression or the document itself knows.

    The name must begin as the file's: a document must not choose among all that lies in a user's folder.
    """
    if EXPRESSION.search(pattern):
        root, extension = os.path.splitext(name)
        parts = {"basename": name, "nameroot": root, "nameext": extension}
        found = SELF.sub(lambda match: parts[match[1]], pattern)
    else:
        suffix, found = pattern.lstrip("^"), name
        for _ in pattern.removesuffix(suffix):
            found = found[: found.rindex(".")] if "." in found else found
        found += suffix
    stem = re.match(r"\.*[^.]*", name)
    begins_alike = stem is not None and stem[0] != "" and found.startswith(stem[0])
    is_name = "/" not in found and "\0" not in found and not EXPRESSION.search(found)
    return path.with_name(found) if is_name and begins_alike and found not in (name, ".", "..") else None
