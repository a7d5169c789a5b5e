"""What a tool asks of the machine that runs it: CWL's requirements and DIRAC's hint as one record."""

import re
from collections.abc import Mapping
from math import ceil
from typing import Any

from cwltool.context import RuntimeContext
from cwltool.process import Process
from cwltool.update import ORIGINAL_CWLVERSION

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.job_hint import ASKED, CLASSES, DEFAULT_PRIORITY, Fault, faults, faults_of, job_hint
from diracx_tasks.cwl.record import LARGEST, MAX_COUNT, InvalidRequirements, Record

__all__ = ["Fault", "faults", "is_one_job", "job_hint", "requirements"]

# CWL v1.2, section ResourceRequirement.
DEFAULT_CORES = 1
DEFAULT_RAM_MB = 256
# CWL v1.0.
OLD_RAM_MB = 1024
RESOURCES = ("cores", "ram", "tmpdir", "outdir")
_END = re.compile("[#/]")
CUDA = ("http://commonwl.org/cwltool#CUDARequirement", "cwltool:CUDARequirement")


def requirements(tool: Process, inputs: dict[str, Any], context: RuntimeContext) -> dict[str, Any]:
    """The record of one job that `matching/specification` reads.

    Always `cores`, `ram_mb`, `sites`, `banned_sites`, `platform`, `tags` and `priority`; of the others
    those that are stated. What DIRAC's hint states counts before CWL's own requirements.
    """
    hint = _plain(job_hint(tool) or {})
    asked = Record(hint)
    priority = asked.number("priority", -LARGEST)
    record = {
        **_resources(tool, inputs, context),
        **_time(tool, inputs, context),
        **_gpu(tool, inputs, context),
        **_stated(hint),
        "sites": sorted(asked.names("sites")),
        "banned_sites": sorted(asked.names("banned_sites")),
        "platform": asked.name("platform"),
        "tags": sorted({part for item in asked.items("tags") if (part := item.strip())}),
        "priority": DEFAULT_PRIORITY if priority is None else priority,
    }
    if "cores" in hint and "max_cores" not in hint:
        record.pop("max_cores", None)
    if others := hint.get("alternatives"):
        record["alternatives"] = [_bounded(_stated(other), record) for other in others]
    _refuse_excess(_bounded(record, {}))
    return record


def is_one_job(process: Process) -> bool:
    """Whether a workflow carries `dirac:Job` itself: then it runs inside one job."""
    own = process.tool.get("hints") or []
    return any(str(hint.get("class", "")).endswith("Job") and hint.get("class") in CLASSES for hint in own)


def _resources(tool: Process, inputs: dict[str, Any], context: RuntimeContext) -> dict[str, Any]:
    asked: Any = tool.get_requirement("ResourceRequirement")[0] or {}
    is_old = tool.metadata.get(ORIGINAL_CWLVERSION) == "v1.0"
    found = {name: asked.get(f"{name}Min", asked.get(f"{name}Max")) for name in RESOURCES}
    if any(isinstance(value, str) for value in found.values()):
        # Only an expression needs the tool's own evaluation, which costs a hundred times as much.
        sizes = tool._init_job(inputs, context).resources
        names = {"tmpdir": "tmpdirSize", "outdir": "outdirSize"}
        found = {name: value and sizes[names.get(name, name)] for name, value in found.items()}
    cores = min(_whole(found["cores"] or DEFAULT_CORES), MAX_COUNT)
    record: dict[str, Any] = {
        "cores": cores,
        "ram_mb": _whole(found["ram"] or (OLD_RAM_MB if is_old else DEFAULT_RAM_MB)),
    }
    most = asked.get("coresMax")
    if isinstance(most, int | float) and most > cores:
        record["max_cores"] = int(min(most, MAX_COUNT))
    if space := [float(found[name]) for name in ("tmpdir", "outdir") if found[name]]:
        record["io"] = {"scratch_mb": _whole(sum(space))}
    return record


def _time(tool: Process, inputs: dict[str, Any], context: RuntimeContext) -> dict[str, int]:
    """The seconds that the tool may run, of which none means no limit."""
    asked: Any = tool.get_requirement("ToolTimeLimit")[0] or {}
    limit = asked.get("timelimit")
    if isinstance(limit, str):
        limit = tool._init_job(inputs, context).do_eval(limit)
        if not isinstance(limit, int | float):
            raise InvalidCwl(f"timelimit: {str(limit)[:40]!r} is not a number of seconds")
    return {"wall_time": _whole(limit)} if limit else {}


def _gpu(tool: Process, inputs: dict[str, Any], context: RuntimeContext) -> dict[str, Any]:
    """GPUs as cwltool's CUDARequirement states them; of several capabilities the range."""
    asked: Any = next((found for name in CUDA if (found := tool.get_requirement(name)[0])), None)
    if asked is None:
        return {}
    least, most = asked.get("cudaDeviceCountMin"), asked.get("cudaDeviceCountMax")
    count = least if least is not None else most
    if isinstance(count, str):
        count = tool._init_job(inputs, context).resources["cudaDeviceCount"]
    gpu: dict[str, Any] = {"vendor": "nvidia", "count": {"min": 1 if count is None else count}}
    capability = asked.get("cudaComputeCapability")
    if isinstance(capability, str):
        gpu["compute_capability"] = {"min": str(capability)}
    elif capability:
        ordered = sorted(map(str, capability), key=lambda text: [part.zfill(6) for part in text.split(".")])
        gpu["compute_capability"] = {"min": ordered[0], "max": ordered[-1]}
    for error in faults_of(Record({"gpu": gpu})):
        raise InvalidCwl(f"CUDARequirement: {error}")
    return {"gpu": gpu}


def _stated(hint: Mapping[str, Any]) -> dict[str, Any]:
    """What a hint asks of the node, also where it says null; names always as lists."""
    found = {field: hint[field] for field in ASKED if field in hint}
    for field in ("sites", "banned_sites", "grid_ces", "platforms"):
        if field in found:
            found[field] = list(Record(found).names(field))
    return found


def _bounded(record: dict[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Without a largest number of cores that is less than what is needed: an expression may say so."""
    cores = record.get("cores") or below.get("cores", DEFAULT_CORES)
    if (record.get("max_cores") or below.get("max_cores") or cores) < cores:
        record["max_cores"] = None
    return record


def _refuse_excess(record: dict[str, Any]) -> None:
    """Memory for each core that the hint states, of cores that an expression says."""
    for other in record.get("alternatives") or [{}]:
        try:
            Record({**record, **other}).memory()
        except InvalidRequirements as error:
            raise InvalidCwl(str(error)) from error


def _whole(value: Any) -> int:
    """The next whole number; what no machine has is the largest that is understood."""
    return max(1, ceil(min(LARGEST, float(value))))


def _plain(value: Any) -> Any:
    """A value of a document as JSON has it; a number with a fraction, which is a version, as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(_own(name, inner)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    return int(value) if isinstance(value, int) else str(value)


def _own(field: Any, value: Any) -> Any:
    """CWL takes every `name` in a document for an identifier, and puts the document's address before it."""
    return _END.split(value)[-1] if field == "name" and isinstance(value, str) else value
