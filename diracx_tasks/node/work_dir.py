"""Files of `input_sandbox` with a `path`: they lie there in the working folder of each tool of the job."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from cwltool.process import Process
from cwltool.workflow import Workflow

IWD = "InitialWorkDirRequirement"
Value = dict[str, Any]


def put(process: Process, inputs: Mapping[str, Any], sandbox: Sequence[Mapping[str, str]]) -> None:
    """Have inputs placed in folders, as if the tools asked for it with InitialWorkDirRequirement."""
    top = _made("")
    for one in sandbox:
        if "path" in one and (files := _files(inputs.get(one["source"]))):
            _folder(top, one["path"])["listing"] += copy.deepcopy(files)
    if top["listing"]:
        _ask(process, top["listing"])


def _files(value: Any) -> list[Any]:
    """The Files and Directories of an input."""
    if isinstance(value, list):
        return [file for one in value for file in _files(one)]
    return [value] if isinstance(value, dict) and value.get("class") in ("File", "Directory") else []


def _folder(top: Value, path: str) -> Value:
    """The innermost of the nested folders of a path such as `a/b`, made where it is not there yet."""
    found = top
    for name in (part for part in path.split("/") if part not in ("", ".")):
        known = [one for one in found["listing"] if one["basename"] == name and "location" not in one]
        if not known:
            known = [_made(name)]
            found["listing"] += known
        found = known[0]
    return found


def _made(name: str) -> Value:
    return {"class": "Directory", "basename": name, "listing": []}


def _ask(process: Process, folders: list[Value]) -> None:
    if isinstance(process, Workflow):
        for step in process.steps:
            _ask(step.embedded_tool, folders)
        return
    asked, _ = process.get_requirement(IWD)
    listing: Any = asked["listing"] if asked else []
    # An expression stands for a list; in a list it stands for its elements.
    own = [listing] if isinstance(listing, str) else list(listing)
    process.requirements = [
        *process.requirements,
        {"class": IWD, "listing": [*own, *copy.deepcopy(folders)]},
    ]
