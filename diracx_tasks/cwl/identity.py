"""What the result of a tool is known by: the same tool and inputs give the same (CWL v1.2, WorkReuse)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from cwltool.context import RuntimeContext
from cwltool.process import Process, shortname

from diracx_tasks.cwl.arrays import Held
from diracx_tasks.cwl.builder import built
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.hints import job_facts
from diracx_tasks.cwl.load import base_uri, steps
from diracx_tasks.cwl.values import FILES

# With another number no result from before is taken again.
EDITION = 1
SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
# What says where a file is, not what is in it.
PLACES = ("location", "path", "dirname", "nameroot", "nameext")
# What moves files in or out of a job.
MOVED = ("output_data", "output_sandbox", "output_globs", "input_data", "input_sandbox")
# How a step runs its process.
HOW = ("scatter", "scatterMethod", "when", "loop", "outputMethod")
REUSE = ("WorkReuse", "http://commonwl.org/cwltool#WorkReuse")
# Of hints and requirements that change where and how well it runs, but not what comes out.
NO_MATTER = ("ResourceRequirement", "ToolTimeLimit", "WorkReuse", "Job", "Scheduling", "ExecutionHooks")


class Unknown(Exception):
    """What a file holds is not known."""


class Identities:
    """Keys of results of one document's tools."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._base = base_uri(bundle)
        self._tools: WeakKeyDictionary[Process, bytes] = WeakKeyDictionary()
        self._reusable: WeakKeyDictionary[Process, Any] = WeakKeyDictionary()

    def key(self, tool: Process, inputs: Mapping[str, Any], context: RuntimeContext) -> str | None:
        """128 bits in hex; None when the tool forbids reuse or an input's content is not known.

        `inputs` are as they are stored.
        """
        if tool not in self._reusable:
            self._reusable[tool] = _enabled(tool)
        allowed = self._reusable[tool]
        if isinstance(allowed, str):
            allowed = built(tool, dict(inputs), context).do_eval(allowed)
        if not allowed:
            return None
        try:
            if tool not in self._tools:
                self._tools[tool] = self._digest(self._tool(tool))
            return hashlib.sha256(self._tools[tool] + self._text(self._content(inputs))).hexdigest()[:32]
        except Unknown:
            return None

    def _tool(self, process: Process) -> Any:
        own = {
            key: value for key, value in process.tool.items() if key not in ("id", "steps", "doc", "label")
        }
        # A tool that asks for its cores or memory may give something else with more of them.
        no_matter = NO_MATTER if "runtime" not in str(process.tool) else NO_MATTER[1:]
        asked = [one for one in (*process.requirements, *process.hints) if _name(one) not in no_matter]
        inner = {
            name: {
                "in": step.tool["in"],
                "how": [step.tool.get(name) for name in HOW],
                "run": self._tool(step.embedded_tool),
            }
            for name, step in steps(process).items()
        }
        own["hints"] = own["requirements"] = None
        # Where outputs go is part of what comes out.
        places = [job_facts(process).get(name) for name in MOVED]
        return [EDITION, places, *map(self._content, (own, asked, inner))]

    def _content(self, value: Any) -> Any:
        """A value with contents in the place of names, and without the document's address."""
        if type(value) in (int, float, bool):
            return value
        if isinstance(value, Held):
            raise Unknown
        if isinstance(value, Mapping):
            hidden = PLACES if value.get("class") in FILES else ()
            found = {str(key): self._content(inner) for key, inner in value.items() if key not in hidden}
            if (
                value.get("class") in FILES
                and value.get("location")
                and not str(value["location"]).startswith("_:")
            ):
                found["content"] = self._file(value)
            return found
        if isinstance(value, (list, tuple)):
            return [self._content(inner) for inner in value]
        return value.replace(self._base, "") if isinstance(value, str) else value

    def _file(self, value: Mapping[str, Any]) -> str:
        location = str(value["location"])
        name = location.removeprefix("bundle:").removeprefix(self._base)
        if name in self._bundle.files and value["class"] == "File":
            return hashlib.sha256(self._bundle.files[name]).hexdigest()
        if location.startswith("sandbox:") and "/sha256:" in location:
            return location.partition("/sha256:")[2].partition(".")[0]
        if value["class"] == "Directory" and "listing" in value:
            return ""
        if "checksum" in value:
            return str(value["checksum"])
        raise Unknown

    def _text(self, value: Any) -> bytes:
        try:
            return orjson.dumps(value, default=str, option=SORTED)
        except TypeError:
            # orjson has integers of 64 bits only.
            return json.dumps(value, default=str, sort_keys=True).encode()

    def _digest(self, value: Any) -> bytes:
        return hashlib.sha256(self._text(value)).digest()


def _enabled(tool: Process) -> Any:
    """What WorkReuse says in force for a tool, which may be an expression; True without it."""
    for name in REUSE:
        asked: Any = tool.get_requirement(name)[0]
        if asked is not None:
            return asked.get("enableReuse", True)
    return True


def _name(asked: Mapping[str, Any]) -> str:
    return shortname(str(asked.get("class", ""))).rpartition(":")[2].rpartition("#")[2]
