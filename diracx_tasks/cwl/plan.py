"""What a workflow does next: values in, values out. The semantics are cwltool's own functions.

A *process instance* is addressed by its path and known by its inputs; `release`, `expand` and `collect` never
look at anything else, so any worker can go on where another stopped.
"""

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

from cwltool.errors import WorkflowException
from cwltool.process import Process, shortname
from cwltool.utils import WorkflowStateItem, aslist, visit_class
from cwltool.workflow import WorkflowStep
from cwltool.workflow_job import object_from_state
from schema_salad.exceptions import ValidationException

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import hints, scatter
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.graph import kind_of
from diracx_tasks.cwl.load import process_at, step_at, steps
from diracx_tasks.cwl.values import without_listings

Values = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The questions about one loaded document; `evaluation` knows the files that may be read."""

    root: Process
    evaluation: Evaluation

    def start(self, inputs: Values) -> Values:
        """The root process as an instance `{"kind", "inputs", ...}`; raises InvalidCwl for wrong inputs."""
        declared: Any = self.root.metadata.get("$namespaces", {})
        namespaces = {**inputs.get("$namespaces", {}), **declared}
        given = self.evaluation.inward({key: inputs[key] for key in inputs if not key.startswith("$")})
        visit_class(given, ("File",), partial(_expand_format, namespaces))
        return self._instance(self.root, given, toplevel=True)

    def release(self, path: str, inputs: Values, done: Values, started: list[str]) -> Values:
        """Which steps of the workflow at `path` can start, given what is done.

        `done` maps a step to `{"status": "success" | "skipped", "outputs"}`; failed and running steps are in
        `started` only. Answers `{"ready": {step: instance}, "broken": {step: reason}}`; an instance of kind
        `scatter` has `total`, `dims` and `method`, one of kind `skipped` is over.
        """
        process = process_at(self.root, path)
        state = self._state(process, self.evaluation.inward(inputs), self.evaluation.inward(done))
        ready: Values = {}
        broken: dict[str, str] = {}
        for name, step in steps(process).items():
            if name in started:
                continue
            try:
                if (found := self._ready(process, step, state)) is not None:
                    ready[name] = found
            except (WorkflowException, ValidationException, InvalidCwl) as error:
                broken[name] = self.evaluation.words(error)
        return {"ready": ready, "broken": broken}

    def expand(self, path: str, inputs: Values, start: int, stop: int) -> Values:
        """Slots `start` to `stop` of a scatter step: `{"slots": [...]}`.

        A slot is an instance, or `{"kind": "broken", "reason"}`.
        """
        step = step_at(self.root, path)
        parent = process_at(self.root, path.rpartition("/")[0])
        given = {f"{step.id}/{name}": value for name, value in inputs.items()}
        method, keys, dims = _scattering(step, given)
        fixed = self.evaluation.inward({key: value for key, value in given.items() if key not in keys})
        slots: list[Values] = []
        for slot in range(start, stop):
            places = zip(keys, scatter.indices(method, dims, slot), strict=True)
            chosen = self.evaluation.inward({key: given[key][index] for key, index in places})
            try:
                slots.append(self._evaluated(parent, step, {**fixed, **chosen}))
            except (WorkflowException, ValidationException, InvalidCwl) as error:
                slots.append({"kind": "broken", "reason": self.evaluation.words(error)})
        return {"slots": slots}

    def gather(self, path: str, dims: list[int], results: list[Values | None]) -> Values:
        """The outputs of a scatter step from its slots' outputs in order; None gives nulls."""
        step = step_at(self.root, path)
        method = step.tool.get("scatterMethod", scatter.DOT)
        names = [shortname(output["id"]) for output in step.tool["outputs"]]
        return {
            name: scatter.shaped(method, dims, [(result or {}).get(name) for result in results])
            for name in names
        }

    def collect(self, path: str, inputs: Values, done: Values) -> Values:
        """The outputs of the workflow at `path`; what failed steps should have given is null.

        Raises WorkflowException when pickValue or linkMerge cannot be satisfied.
        """
        process = process_at(self.root, path)
        state = self._state(process, self.evaluation.inward(inputs), self.evaluation.inward(done))
        found: Any = object_from_state(
            state, process.tool["outputs"], True, _merges(process), "outputSource", incomplete=True
        )
        return self.evaluation.outward(found or {})

    def express(self, path: str, inputs: Values) -> Values:
        """The outputs of the ExpressionTool at `path`."""
        return self.evaluation.express(process_at(self.root, path), inputs)

    def _state(self, process: Process, inputs: Values, done: Values) -> dict[str, WorkflowStateItem | None]:
        state: dict[str, WorkflowStateItem | None] = {}
        for parameter in process.tool["inputs"]:
            value = inputs.get(shortname(parameter["id"]), parameter.get("default"))
            state[parameter["id"]] = WorkflowStateItem(parameter, value, "success")
        for name, step in steps(process).items():
            result = done.get(name)
            for output in step.tool["outputs"]:
                value = (result or {"outputs": {}})["outputs"].get(shortname(output["id"]))
                item = WorkflowStateItem(output, value, result["status"]) if result else None
                state[output["id"]] = item
        return state

    def _ready(
        self, parent: Process, step: WorkflowStep, state: dict[str, WorkflowStateItem | None]
    ) -> Values | None:
        given: Any = object_from_state(state, step.tool["inputs"], False, _merges(parent), "source")
        if given is None:
            return None
        for parameter in step.tool["inputs"]:
            # Contents and listings will be read into it: the document's own value must stay as it is.
            if "default" in parameter and given[parameter["id"]] is parameter["default"]:
                given[parameter["id"]] = copy.deepcopy(parameter["default"])
        if "scatter" not in step.tool:
            return self._evaluated(parent, step, given)
        method, _, dims = _scattering(step, given)
        inputs = {shortname(key): value for key, value in given.items()}
        return {
            "kind": "scatter",
            "inputs": self.evaluation.outward(inputs),
            "method": method,
            "dims": dims,
            "total": scatter.size(method, dims),
        }

    def _evaluated(self, parent: Process, step: WorkflowStep, given: Values) -> Values:
        chosen = self.evaluation.step_inputs(parent, step, given)
        if chosen is None:
            outputs = {shortname(output["id"]): None for output in step.tool["outputs"]}
            return {"kind": "skipped", "outputs": outputs}
        connected = [inp["id"] for inp in step.tool["inputs"] if not inp.get("not_connected")]
        return self._instance(step.embedded_tool, {shortname(key): chosen[key] for key in connected})

    def _instance(self, process: Process, inputs: Values, *, toplevel: bool = False) -> Values:
        kind = kind_of(process)
        context = self.evaluation.context(toplevel=toplevel)
        inputs = without_listings(inputs)
        if kind == "workflow" or toplevel:
            inputs = dict(process._init_job(inputs, context).job)
        if kind != "workflow":
            # Where the process runs, they are read as its own LoadListingRequirement says.
            inputs = without_listings(inputs)
        found: Values = {"kind": kind, "inputs": self.evaluation.outward(inputs)}
        if kind == "tool":
            found["requirements"] = hints.requirements(process, inputs, context)
        if kind == "expression" and not toplevel:
            found["outputs"] = self.evaluation.express(process, found["inputs"])
        return found


def _expand_format(namespaces: dict[str, str], file: Values) -> None:
    prefix, colon, name = str(file.get("format", "")).partition(":")
    if colon and prefix in namespaces:
        file["format"] = namespaces[prefix] + name


def _merges(process: Process) -> bool:
    return bool(process.get_requirement("MultipleInputFeatureRequirement")[0])


def _scattering(step: WorkflowStep, given: Values) -> tuple[str, list[str], list[int]]:
    keys = list(aslist(step.tool["scatter"]))
    for key in keys:
        if not isinstance(given[key], list):
            raise InvalidCwl(
                f"scatter over {shortname(key)!r} needs an array, not {type(given[key]).__name__}"
            )
    dims = [len(given[key]) for key in keys]
    method = step.tool.get("scatterMethod", scatter.DOT)
    # An empty array makes an empty result, whatever the other lengths are (CWL v1.2, WorkflowStep).
    if method == scatter.DOT and 0 in dims:
        return method, keys, [0] * len(dims)
    scatter.size(method, dims)
    return method, keys, dims
