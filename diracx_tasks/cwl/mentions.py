"""What only the server knows of what documents name: sites, storage, job types, LFNs, each with its place."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cwltool.process import Process

from diracx_tasks.cwl import diagnostics
from diracx_tasks.cwl.job_hint import JOB, kind
from diracx_tasks.cwl.load import steps, walk

# Fields of DIRAC's hints by what their values are names of.
FIELDS = {"sites": "site", "banned_sites": "banned site", "output_se": "storage element"}
OURS = ("dirac:", "https://diracgrid.org/cwl#")
LFN = "lfn"
MOST = 1000
# The kind of thing that is named, its name, and a diagnostic without a message.
Mention = dict[str, Any]


def mentions(root: Process, base: str) -> list[Mention]:
    """`[{kind, name, file, line, column}]`, the first MOST of them."""
    found: dict[tuple[Any, ...], Mention] = {}
    for process in [root, *(step.embedded_tool for _, step in walk(root))]:
        for mention in _of(process, base):
            found.setdefault(tuple(mention.values()), mention)
            if len(found) >= MOST:
                break
    return list(found.values())


def _of(process: Process, base: str) -> Iterator[Mention]:
    # A hint of a workflow is in force in its steps as well; it stands where it is written.
    below = [step.tool for step in steps(process).values()]
    for holder in [process.tool, *below]:
        for hint in [*(holder.get("hints") or []), *(holder.get("requirements") or [])]:
            if isinstance(hint, Mapping) and str(hint.get("class")).startswith(OURS):
                yield from _types(hint, base)
                yield from _names(hint, base)
                yield from _lfns(hint, base)
    for parameter in [*process.tool["inputs"], *(one for tool in below for one in tool["in"])]:
        if "default" in parameter:
            yield from _default(parameter, base)


def _types(hint: Any, base: str) -> Iterator[Mention]:
    if kind(hint["class"]) == JOB and isinstance(hint.get("type"), str):
        # schema-salad makes the address of a type of what stands in a field `type`.
        yield _mention("job type", hint["type"].rpartition("#")[2], hint, "type", base)


def _names(hint: Any, base: str) -> Iterator[Mention]:
    for field, value in hint.items():
        if field in FIELDS:
            yield from _listed(FIELDS[field], hint, field, base)
        else:
            for inner in value if _is_list(value) else [value]:
                if isinstance(inner, Mapping):
                    yield from _names(inner, base)


def _listed(kind: str, hint: Any, field: str, base: str) -> Iterator[Mention]:
    """Names in a list, or in a text with commas."""
    value = hint[field]
    if isinstance(value, str):
        for name in filter(None, map(str.strip, value.split(","))):
            yield _mention(kind, name, hint, field, base)
    elif _is_list(value):
        for number, name in enumerate(value):
            if isinstance(name, str):
                yield _mention(kind, name, value, number, base)


def _lfns(value: Any, base: str) -> Iterator[Mention]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, inner in items:
        if str(key).startswith("output"):
            # There it will be.
            continue
        if isinstance(inner, str) and inner[:4].lower() == "lfn:":
            yield _mention(LFN, inner, value, key, base)
        elif isinstance(inner, Mapping) or _is_list(inner):
            yield from _lfns(inner, base)


def _default(parameter: Any, base: str) -> Iterator[Mention]:
    """The LFNs of Files in a default; a text that looks like one may mean anything."""
    todo = [parameter["default"]]
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            location = value.get("location")
            if value.get("class") in ("File", "Directory") and str(location)[:4].lower() == "lfn:":
                yield _mention(LFN, str(location), value, "location", base)
            todo += value.values()
        elif _is_list(value):
            todo += value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _mention(kind: str, name: str, holder: Any, key: Any, base: str) -> Mention:
    place = diagnostics.at(holder, key, "", base)
    return {"kind": kind, "name": name, **{part: place[part] for part in ("file", "line", "column")}}
