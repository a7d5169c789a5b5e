"""What asks for more than a workflow or a job: it is refused, not run as something else."""

from collections.abc import Iterable, Iterator, Mapping

from cwltool.process import Process, shortname
from cwltool.workflow import Workflow

from diracx_tasks.core.errors import UnsupportedCwl
from diracx_tasks.cwl import diagnostics
from diracx_tasks.cwl.job_data import Fault
from diracx_tasks.cwl.job_hint import HOOKS, OTHERS, is_one_job, kind, stated

PLUGIN = "QueryBasedPlugin"
# What dirac-cwl's hint says of a transformation.
OF_TRANSFORMATIONS = ("group_size", "input_data", "input_query")
NOT_YET = "transformations are not there yet, only workflows and jobs"
ADVICE = "Take it away: then the process runs as a workflow or, with `dirac:Job`, as a job."
MPI = ("http://commonwl.org/cwltool#MPIRequirement", "cwltool:MPIRequirement")


def refuse(processes: Iterable[Process], base: str) -> None:
    """Raise UnsupportedCwl with places for what asks for more than a workflow or a job."""
    faults = (fault for process in processes for fault in unsupported(process))
    found = [{**diagnostics.at(*fault, base), "advice": ADVICE} for fault in faults]
    if found:
        raise UnsupportedCwl(diagnostics.headline(found[0]), found[: diagnostics.MOST])


def unsupported(process: Process) -> Iterator[Fault]:
    """What a process asks for itself, its inputs and its steps that cannot be done.

    Each is the mapping or list that holds it, its key there, and words.
    """
    for parameter in process.tool["inputs"]:
        for field in parameter:
            if kind(field) == "Feeder":
                yield parameter, field, f"dirac:Feeder of {shortname(parameter['id'])!r}: {NOT_YET}"
    asked = process.tool.get("requirements") or []
    for place, requirement in enumerate(asked):
        if requirement["class"] in MPI:
            yield asked, place, "cwltool:MPIRequirement is not supported: a job has one node"
    for hints, place, target in stated(process):
        hint = hints[place]
        name = kind(hint.get("class")) if isinstance(hint, Mapping) else None
        if name in OTHERS:
            yield hints, place, f"dirac:{name}: {NOT_YET}"
        elif name == HOOKS:
            yield from _of_hooks(hint, target)


def _of_hooks(hint: Mapping[str, object], process: Process) -> Iterator[Fault]:
    plugin = hint.get("hook_plugin", PLUGIN)
    if isinstance(plugin, str) and plugin != PLUGIN:
        words = f"hook_plugin: {plugin[:80]!r} is not here, only {PLUGIN}, which changes nothing of a job"
        yield hint, "hook_plugin", words
    for field in OF_TRANSFORMATIONS:
        if field in hint:
            yield hint, field, f"{field}: {NOT_YET}"
    if hint.get("output_paths") and isinstance(process, Workflow) and not is_one_job(process):
        words = (
            "output_paths: the steps of this workflow are jobs of their own; with `dirac:Job` it is one job"
        )
        yield hint, "output_paths", words
