"""What a workflow does next: values in, values out. The semantics are cwltool's own functions.

A *process instance* is addressed by its path and known by its inputs; `release`, `expand`, `repeat` and
`collect` never look at anything else, so any worker can go on where another stopped.
"""

import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from cwltool.errors import WorkflowException
from cwltool.process import Process, shortname
from cwltool.utils import WorkflowStateItem, aslist, visit_class
from cwltool.workflow import WorkflowStep
from cwltool.workflow_job import object_from_state
from schema_salad.exceptions import ValidationException

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import scatter
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.identity import Identities
from diracx_tasks.cwl.instance import Instances, names_of
from diracx_tasks.cwl.load import process_at, step_at, steps

Values = dict[str, Any]
WRONG = (WorkflowException, ValidationException, InvalidCwl)
_INSTANCES: WeakKeyDictionary[Process, Instances] = WeakKeyDictionary()


@dataclass(frozen=True)
class Plan:
    """The questions about one loaded document; `evaluation` knows the files that may be read."""

    root: Process
    evaluation: Evaluation

    @property
    def instances(self) -> Instances:
        """What makes instances of this document, and knows what it has made before."""
        if self.root not in _INSTANCES:
            _INSTANCES[self.root] = Instances(Identities(self.evaluation.bundle))
        return _INSTANCES[self.root]

    def start(self, inputs: Values) -> Values:
        """The root process as an instance `{"kind", "inputs", ...}`; raises InvalidCwl for wrong inputs."""
        declared: Any = self.root.metadata.get("$namespaces", {})
        namespaces = {**inputs.get("$namespaces", {}), **declared}
        given = self.evaluation.from_user({key: inputs[key] for key in inputs if not key.startswith("$")})
        visit_class(given, ("File",), partial(_expand_format, namespaces))
        return self.instances.of_process(self.evaluation, self.root, given, toplevel=True)

    def restart(self, inputs: Values) -> Values:
        """The root process as an instance, from inputs that `start` has filled in."""
        return self.instances.of_process(
            self.evaluation, self.root, self.evaluation.inward(inputs), toplevel=True
        )

    def release(self, path: str, inputs: Values, done: Values, started: list[str]) -> Values:
        """Which steps of the workflow at `path` can start, given what is done.

        `done` maps a step to `{"status": "success" | "skipped", "outputs"}`; failed and running steps are in
        `started` only. Answers `{"ready": {step: instance}, "broken": {step: reason}}`; an instance of kind
        `scatter` has `total`, `dims`, `keys`, `names` and `method`, one of kind `skipped` is over.
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
            except WRONG as error:
                broken[name] = self.evaluation.words(error)
        return {"ready": ready, "broken": broken}

    def expand(self, path: str, inputs: Values, columns: dict[str, list[Any]]) -> Values:
        """Slots of a scatter step: `columns` has the elements that they take, `inputs` what all have.

        Answers `{"slots": [...], "shared": [...]}`. A slot is an instance, or `{"kind": "broken", "reason"}`;
        `requirements` and `facts` of an instance are places in `shared`.
        """
        step, parent = step_at(self.root, path), process_at(self.root, path.rpartition("/")[0])
        fixed = self.evaluation.inward({f"{step.id}/{name}": value for name, value in inputs.items()})
        taken = self.evaluation.inward({f"{step.id}/{name}": column for name, column in columns.items()})
        shared, instances = _Shared(), self.instances
        slots: list[Values] = []
        for row in zip(*taken.values(), strict=True):
            given = {**fixed, **dict(zip(taken, row, strict=True))}
            try:
                found = instances.of_step(self.evaluation, parent, step, given)
                slots.append(shared.out_of(found))
            except WRONG as error:
                slots.append({"kind": "broken", "reason": self.evaluation.words(error)})
        return {"slots": slots, "shared": shared.values}

    def repeat(self, path: str, inputs: Values, outputs: Values | None) -> Values:
        """The next iteration of a loop step from its last inputs and outputs (None: there was none yet).

        Answers `{"inputs", "next": instance}`, without `next` when `when` says that it is over. The same as
        cwltool's WorkflowJobLoopStep.
        """
        step = step_at(self.root, path)
        before = self.evaluation.inward({f"{step.id}/{name}": value for name, value in inputs.items()})
        given = before if outputs is None else self._looped(step, before, self.evaluation.inward(outputs))
        found: Values = {
            "inputs": self.evaluation.outward({shortname(key): value for key, value in given.items()})
        }
        if self.evaluation.is_wanted(step, given, step.requirements):
            found["next"] = self.instances.of_process(
                self.evaluation, step.embedded_tool, self.instances.connected(step, given)
            )
        return found

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
            return self.instances.of_step(self.evaluation, parent, step, given)
        method, keys, dims = _scattering(step, given)
        inputs = {shortname(key): value for key, value in given.items()}
        return {
            "kind": "scatter",
            "inputs": self.evaluation.outward(inputs),
            "method": method,
            "keys": [shortname(key) for key in keys],
            "names": names_of(step.tool["outputs"]),
            "dims": dims,
            "total": scatter.size(method, dims),
        }

    def _looped(self, step: WorkflowStep, before: Values, outputs: Values) -> Values:
        state: dict[str, WorkflowStateItem | None] = {
            output["id"]: WorkflowStateItem(output, outputs.get(shortname(output["id"])), "success")
            for output in step.tool["outputs"]
        }
        loop: Any = [{**source, "type": "Any"} for source in step.tool["loop"]]
        merges = bool(step.get_requirement("MultipleInputFeatureRequirement")[0])
        found: Any = object_from_state(state, loop, False, merges, "outputSource")
        given = {**before, **found}
        plain = {shortname(key): value for key, value in before.items()}
        for parameter in loop:
            if "valueFrom" in parameter:
                key = parameter["id"]
                given[key] = self.evaluation.value(
                    parameter["valueFrom"], plain, step.requirements, given[key]
                )
        return given


@dataclass
class _Shared:
    """What many slots have in common, once."""

    values: list[Values] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)

    def out_of(self, found: Values) -> Values:
        """An instance with places in the place of what it shares."""
        for name in ("requirements", "facts"):
            if name in found:
                found[name] = self._place(found[name])
        return found

    def _place(self, value: Values) -> int:
        # By identity: those of a process without expressions are one object.
        if id(value) not in self.places:
            self.places[id(value)] = len(self.values)
            self.values.append(value)
        return self.places[id(value)]


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
