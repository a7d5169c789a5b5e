"""What CWL's own requirements ask of the machine: cores, memory, space, time, GPUs, a container."""

from collections.abc import Iterator
from math import ceil
from typing import Any

from cwltool.context import RuntimeContext
from cwltool.process import Process
from cwltool.update import ORIGINAL_CWLVERSION
from cwltool.workflow import Workflow

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.builder import built
from diracx_tasks.cwl.job_hint import faults_of
from diracx_tasks.cwl.load import walk
from diracx_tasks.cwl.record import LARGEST, MAX_COUNT, Record

# CWL v1.2, section ResourceRequirement.
DEFAULT_CORES = 1
DEFAULT_RAM_MB = 256
# CWL v1.0.
OLD_RAM_MB = 1024
RESOURCES = ("cores", "ram", "tmpdir", "outdir")
# cwltool's names of what it has evaluated.
SIZES = {"tmpdir": "tmpdirSize", "outdir": "outdirSize"}
CUDA = ("http://commonwl.org/cwltool#CUDARequirement", "cwltool:CUDARequirement")
# A tag of nodes that run containers.
CONTAINER = "container"

Asked = dict[str, Any]


def stated(process: Process) -> Asked:
    """`cores`, `ram`, `tmpdir`, `outdir`, `most` (cores), `time`, `gpus` as they stand: also expressions.

    A workflow that is one job asks for as much as the step that asks for most; what steps' expressions say is
    known only later, and is left out.
    """
    found = _own(process)
    for inner in _steps(process):
        for name, value in _own(inner).items():
            if not isinstance(value, str) and not isinstance(found.get(name), str):
                found[name] = max(value, found.get(name, value))
    if isinstance(process, Workflow):
        # It limits each tool, not all of them together.
        found.pop("time", None)
    return found


def is_static(process: Process) -> bool:
    """Whether nothing of it is an expression: then every job of the process asks for the same."""
    return not any(isinstance(value, str) for value in stated(process).values())


def evaluated(process: Process, inputs: dict[str, Any], context: RuntimeContext | None) -> Asked:
    """The same as numbers; InvalidCwl when an expression does not give one."""
    found = stated(process)
    if not any(isinstance(value, str) for value in found.values()):
        return found
    assert context is not None
    # The tool's own evaluation costs a hundred times as much as everything else.
    builder = built(process, inputs, context)
    # cwltool leaves it out for workflows.
    sizes = builder.resources or process.evalResources(builder, context)
    for name in (name for name, value in found.items() if isinstance(value, str)):
        if name == "time":
            found[name] = _seconds(builder.do_eval(found[name]))
        elif name == "gpus":
            found[name] = sizes["cudaDeviceCount"]
        elif name == "most":
            found[name] = None
        else:
            found[name] = sizes[SIZES.get(name, name)]
    return found


def record(process: Process, asked: Asked) -> Asked:
    """What is asked as fields of `dirac:Job`, in whole numbers; an expression stays as it is."""
    cores = _whole(asked.get("cores") or DEFAULT_CORES, MAX_COUNT)
    is_old = process.metadata.get(ORIGINAL_CWLVERSION) == "v1.0"
    found = {"cores": cores, "ram_mb": _whole(asked.get("ram") or (OLD_RAM_MB if is_old else DEFAULT_RAM_MB))}
    most = asked.get("most")
    if isinstance(most, int | float) and isinstance(cores, int) and most > cores:
        found["max_cores"] = int(min(most, MAX_COUNT))
    if space := [asked[name] for name in ("tmpdir", "outdir") if asked.get(name)]:
        found["io"] = {"scratch_mb": _sum(space)}
    if asked.get("time"):
        found["wall_time"] = _whole(asked["time"])
    return {**found, **_gpu(process, asked)}


def needs_container(process: Process) -> bool:
    """Whether it, or a step of a workflow that is one job, runs in a container only."""
    asked = (one.get_requirement("DockerRequirement") for one in (process, *_steps(process)))
    return any(is_required for found, is_required in asked if found is not None)


def _steps(process: Process) -> Iterator[Process]:
    """What runs inside the job of a workflow that is one."""
    return (step.embedded_tool for _, step in walk(process)) if isinstance(process, Workflow) else iter(())


def _own(process: Process) -> Asked:
    asked: Any = process.get_requirement("ResourceRequirement")[0] or {}
    limit: Any = process.get_requirement("ToolTimeLimit")[0] or {}
    cuda = _cuda(process) or {}
    found = {
        **{name: asked.get(f"{name}Min", asked.get(f"{name}Max")) for name in RESOURCES},
        "most": asked.get("coresMax"),
        "time": limit.get("timelimit"),
        "gpus": cuda.get("cudaDeviceCountMin", cuda.get("cudaDeviceCountMax", 1)) if cuda else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _cuda(process: Process) -> Any:
    return next((found for name in CUDA if (found := process.get_requirement(name)[0])), None)


def _gpu(process: Process, asked: Asked) -> Asked:
    """GPUs as cwltool's CUDARequirement states them; of several capabilities the range."""
    if "gpus" not in asked:
        return {}
    gpu: Asked = {"vendor": "nvidia", "count": {"min": asked["gpus"]}}
    asker: Asked = next((found for one in (process, *_steps(process)) if (found := _cuda(one))), {})
    capability = asker.get("cudaComputeCapability")
    if isinstance(capability, str):
        gpu["compute_capability"] = {"min": str(capability)}
    elif capability:
        ordered = sorted(map(str, capability), key=lambda text: [part.zfill(6) for part in text.split(".")])
        gpu["compute_capability"] = {"min": ordered[0], "max": ordered[-1]}
    if not isinstance(asked["gpus"], str):
        for error in faults_of(Record({"gpu": gpu})):
            raise InvalidCwl(f"CUDARequirement: {error}")
    return {"gpu": gpu}


def _seconds(limit: Any) -> Any:
    if not isinstance(limit, int | float):
        raise InvalidCwl(f"timelimit: {str(limit)[:40]!r} is not a number of seconds")
    return limit


def _sum(space: list[Any]) -> Any:
    if all(isinstance(one, int | float) for one in space):
        return _whole(sum(map(float, space)))
    return " + ".join(map(str, space))


def _whole(value: Any, most: int = LARGEST) -> Any:
    """The next whole number; what no machine has is the largest that is understood."""
    return value if isinstance(value, str) else max(1, ceil(min(most, float(value))))
