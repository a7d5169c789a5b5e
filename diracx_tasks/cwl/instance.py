"""A process with its inputs, as it is stored: what is run, skipped, scattered or repeated."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from cwltool.process import Process, shortname
from cwltool.workflow import WorkflowStep

from diracx_tasks.cwl import hints
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.fill import filled
from diracx_tasks.cwl.graph import kind_of
from diracx_tasks.cwl.identity import Identities
from diracx_tasks.cwl.values import without_listings

Values = dict[str, Any]
# Nothing in these has to be rewritten at the border, nor in an ASCII text.
SIMPLE = frozenset({int, float, bool, type(None)})
# What has to be evaluated of a step before it runs.
EVALUATED = ("valueFrom", "loadContents")


class Traits(NamedTuple):
    """What is the same for all instances of a process."""

    kind: str
    record: Values | None
    facts: Values


class Instances:
    """Makes the instances of one loaded document; keeps what is the same for all of a process."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._traits: WeakKeyDictionary[Process, Traits] = WeakKeyDictionary()
        self._connected: WeakKeyDictionary[WorkflowStep, list[tuple[str, str]]] = WeakKeyDictionary()
        self._is_plain: WeakKeyDictionary[WorkflowStep, bool] = WeakKeyDictionary()

    def of_step(self, evaluation: Evaluation, parent: Process, step: WorkflowStep, given: Values) -> Values:
        """What a step runs with these inputs; of kind `skipped` when `when` says no."""
        chosen = given if self._needs_nothing(step) else evaluation.step_inputs(parent, step, given)
        if chosen is None:
            return {"kind": "skipped", "outputs": dict.fromkeys(names_of(step.tool["outputs"]), empty(step))}
        if step.tool.get("loop"):
            return {"kind": "loop", "inputs": evaluation.outward(_short(chosen)), **loop_facts(step)}
        return self.of_process(evaluation, step.embedded_tool, self.connected(step, chosen))

    def _needs_nothing(self, step: WorkflowStep) -> bool:
        if step not in self._is_plain:
            parts = [part for one in step.tool["in"] for part in EVALUATED if one.get(part)]
            self._is_plain[step] = not parts and "when" not in step.tool
        return self._is_plain[step]

    def connected(self, step: WorkflowStep, given: Values) -> Values:
        """Those inputs of a step that its process has."""
        if step not in self._connected:
            mine = [inp["id"] for inp in step.tool["inputs"] if not inp.get("not_connected")]
            self._connected[step] = [(key, shortname(key)) for key in mine]
        return {name: given[key] for key, name in self._connected[step] if key in given}

    def of_process(
        self, evaluation: Evaluation, process: Process, inputs: Values, *, toplevel: bool = False
    ) -> Values:
        """An instance `{"kind", "inputs", ...}`; a tool's has `requirements`, `facts` and `key`."""
        traits = self._traits_of(process)
        context = evaluation.context(toplevel=toplevel)
        if traits.kind == "workflow" or toplevel:
            inputs = filled(process, without_listings(inputs), context)
        found: Values = {"kind": traits.kind, "inputs": inputs}
        if not all(map(_is_simple, inputs.values())):
            # Where a tool runs, they are read as its own LoadListingRequirement says.
            listed = inputs if traits.kind == "workflow" else without_listings(inputs)
            found["inputs"] = evaluation.outward(listed)
        if traits.kind == "tool":
            found["requirements"] = traits.record or hints.requirements(process, inputs, context)
            found["facts"] = traits.facts
            found["key"] = self._identities.key(process, inputs, context)
        if traits.kind == "expression" and not toplevel:
            found["outputs"] = evaluation.express(process, found["inputs"])
        return found

    def _traits_of(self, process: Process) -> Traits:
        if process not in self._traits:
            kind = kind_of(process)
            is_static = kind == "tool" and hints.is_static(process)
            record = hints.requirements(process, {}, None) if is_static else None
            self._traits[process] = Traits(kind, record, hints.job_facts(process) if kind == "tool" else {})
        return self._traits[process]


def _is_simple(value: Any) -> bool:
    # Other texts may hold half a character.
    return value.isascii() if type(value) is str else type(value) in SIMPLE


def names_of(outputs: Iterable[Values]) -> list[str]:
    """The short names of outputs."""
    return [shortname(output["id"]) for output in outputs]


def empty(step: WorkflowStep) -> list[Any] | None:
    """An output of a step that is skipped (CWL v1.2) or that was never repeated (v1.3, `loop`)."""
    return [] if step.tool.get("loop") and is_kept(step) else None


def is_kept(step: WorkflowStep) -> bool:
    """Whether a loop gives the outputs of all iterations."""
    return str(step.tool.get("outputMethod", "")).startswith("all")


def loop_facts(step: WorkflowStep) -> Values:
    """What has to be known of a loop to gather its outputs."""
    return {"names": names_of(step.tool["outputs"]), "method": "all" if is_kept(step) else "last"}


def _short(values: Values) -> Values:
    return {shortname(key): value for key, value in values.items()}
