"""How many jobs a workflow will make of its inputs, as far as that can be told before it runs."""

from typing import Any

from cwltool.process import Process, shortname
from cwltool.utils import aslist

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import scatter
from diracx_tasks.cwl.graph import kind_of
from diracx_tasks.cwl.hints import effective
from diracx_tasks.cwl.load import steps

Values = dict[str, Any]


class Estimate:
    """Counts jobs and the cores that they ask for together; `is_exact` is False when there may be others.

    Only the widths of scatters over the workflow's own inputs are known beforehand: another one counts once,
    and so does a step with a condition or a loop.
    """

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self.cores = 0.0

    def told(self) -> dict[str, Any]:
        """`{"jobs", "cores", "is_exact", "steps": {path: {"jobs", "is_exact"}}}`."""
        jobs = sum(one["jobs"] for one in self.steps.values())
        is_exact = all(one["is_exact"] for one in self.steps.values())
        return {"jobs": jobs, "cores": self.cores, "is_exact": is_exact, "steps": self.steps}

    def add(self, path: str, process: Process, values: Values, jobs: int, *, is_exact: bool) -> None:
        """Count a process that is run `jobs` times, whose inputs are known in part."""
        kind = kind_of(process)
        if kind == "tool":
            self.steps[path] = {"jobs": jobs, "is_exact": is_exact}
            asked = effective(process).get("cores", 1)
            self.cores += jobs * (asked if isinstance(asked, int | float) else 1)
        if kind != "workflow":
            return
        for name, step in steps(process).items():
            taken = {shortname(one["id"]): _taken(step, one, values) for one in step.tool["in"]}
            width, is_known = _width(step, taken)
            other = {shortname(one) for one in aslist(step.tool.get("scatter", []))}
            # Expressions are evaluated when the step starts.
            other |= {shortname(one["id"]) for one in step.tool["in"] if "valueFrom" in one}
            inner = {key: one for key, one in taken.items() if key not in other and one is not None}
            is_sure = is_known and not step.tool.get("when") and not step.tool.get("loop")
            below = f"{path}/{name}" if path else name
            self.add(below, step.embedded_tool, inner, jobs * width, is_exact=is_exact and is_sure)


def estimate(root: Process, inputs: Values) -> dict[str, Any]:
    """What `Estimate.told` says of a document with the inputs that it starts with."""
    found = Estimate()
    found.add("", root, inputs, 1, is_exact=True)
    return found.told()


def _width(step: Process, taken: Values) -> tuple[int, bool]:
    """How often a step runs for each run of its workflow, and whether that is known."""
    names = [shortname(one) for one in aslist(step.tool.get("scatter", []))]
    if not names:
        return 1, True
    arrays = [taken.get(name) for name in names]
    if not all(isinstance(one, list) for one in arrays):
        return 1, False
    method = step.tool.get("scatterMethod", scatter.DOT)
    try:
        return scatter.size(method, [len(one or []) for one in arrays]), True
    except InvalidCwl:
        return 1, False


def _taken(step: Process, parameter: Values, values: Values) -> Any:
    """The value that a step takes, None where it is only known later."""
    sources = aslist(parameter.get("source", []))
    if not sources:
        return parameter.get("default")
    own = step.tool["id"].rpartition("#")[2].split("/")
    parts = sources[0].rpartition("#")[2].split("/")
    # `#main/words` beside the step `#main/sort` is an input; one part more means another step's output.
    if len(sources) > 1 or len(parts) > len(own) or "linkMerge" in parameter:
        return None
    found = values.get(parts[-1])
    return parameter.get("default") if found is None else found
