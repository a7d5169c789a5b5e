"""What a tool asks of the machine that runs it: ResourceRequirement and DIRAC's hints as one record."""

from collections.abc import Iterator
from typing import Any

from cwltool.context import RuntimeContext
from cwltool.process import Process
from cwltool.update import ORIGINAL_CWLVERSION

# CWL v1.2, section ResourceRequirement.
DEFAULT_CORES = 1
DEFAULT_RAM_MB = 256
# CWL v1.0.
OLD_RAM_MB = 1024
LISTS = ("sites", "banned_sites", "tags")
DIRAC = ("dirac:Job", "https://diracgrid.org/cwl#Job", "dirac:Scheduling")


def requirements(tool: Process, inputs: dict[str, Any], context: RuntimeContext) -> dict[str, Any]:
    """`{"cores", "ram_mb", "sites", "banned_sites", "platform", "tags", "priority"}` of one job."""
    resources = _resources(tool, inputs, context)
    hint = job_hint(tool) or {}
    return {
        **resources,
        "sites": sorted(_list(hint.get("sites"))),
        "banned_sites": sorted(_list(hint.get("banned_sites"))),
        "platform": hint.get("platform"),
        "tags": sorted(_list(hint.get("tags"))),
        "priority": int(hint.get("priority", 5)),
    }


def job_hint(process: Process) -> dict[str, Any] | None:
    """The `dirac:Job` (or older `dirac:Scheduling`) hint in force for a process."""
    for hint in reversed(process.hints or []):
        if hint.get("class") in DIRAC:
            return dict(hint)
    return None


def faults(process: Process) -> Iterator[tuple[Any, str, str]]:
    """What is wrong with the hint in force for a process: the hint, its field, and words."""
    hint = next((one for one in reversed(process.hints or []) if one.get("class") in DIRAC), None)
    if hint is None:
        return
    priority = hint.get("priority", 5)
    if not isinstance(priority, int) or isinstance(priority, bool):
        yield hint, "priority", f"priority: {priority!r} is not a whole number"
    if not isinstance(hint.get("platform", ""), str | None):
        yield hint, "platform", "platform: this is not a name"
    for key in LISTS:
        value = hint.get(key) or []
        if not isinstance(value, str | list) or not all(isinstance(one, str) for one in value):
            yield hint, key, f"{key}: this is not a list of names"


def is_one_job(process: Process) -> bool:
    """Whether a workflow carries `dirac:Job` itself: then it runs inside one job."""
    own = process.tool.get("hints") or []
    return any(str(hint.get("class", "")).endswith("Job") and hint.get("class") in DIRAC for hint in own)


def _resources(tool: Process, inputs: dict[str, Any], context: RuntimeContext) -> dict[str, int]:
    asked: Any = tool.get_requirement("ResourceRequirement")[0] or {}
    cores = asked.get("coresMin", asked.get("coresMax", DEFAULT_CORES))
    is_old = tool.metadata.get(ORIGINAL_CWLVERSION) == "v1.0"
    ram = asked.get("ramMin", asked.get("ramMax", OLD_RAM_MB if is_old else DEFAULT_RAM_MB))
    if isinstance(cores, str) or isinstance(ram, str):
        # Only an expression needs the tool's own evaluation, which costs a hundred times as much.
        found = tool._init_job(inputs, context).resources
        cores, ram = found["cores"], found["ram"]
    return {"cores": max(1, -int(-float(cores) // 1)), "ram_mb": max(1, -int(-float(ram) // 1))}


def _list(value: Any) -> list[str]:
    if value is None:
        return []
    return (
        [part.strip() for part in value.split(",")]
        if isinstance(value, str)
        else [str(part) for part in value]
    )
