"""From what is to what should be: the change that a glance at a workflow calls for. No database here."""

from dataclasses import dataclass, field
from typing import Any

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.core.packed import plain, unpacked
from diracx_tasks.cwl import scatter
from diracx_tasks.cwl.phrases import ELSE
from diracx_tasks.workflows import collections, isolate
from diracx_tasks.workflows.contents import contents_for
from diracx_tasks.workflows.look import Child, Glance, Slots
from diracx_tasks.workflows.states import CWL_NAMES, GOOD, Status
from diracx_tasks.workflows.tables import Node

MOST_ITERATIONS = 100_000
STOPPED = "not finished, because another step of the workflow failed"
Values = dict[str, Any]


@dataclass(frozen=True)
class Instance:
    """A node to be made below another one: `given` is what `cwl.plan` says of it."""

    path: str
    slot: int
    given: Values


@dataclass(frozen=True)
class End:
    """How a node ends."""

    status: Status
    outputs: Values | None = None
    reason: str = ""


@dataclass(frozen=True)
class Step:
    """A change of one node: instances to make below it, how far it has come, its new inputs, or its end."""

    node: Node
    instances: list[Instance] = field(default_factory=list)
    cursor: int | None = None
    is_dirty: bool = False
    end: End | None = None
    inputs: Values | None = None


def decide(glance: Glance, slots: list[Values] | None = None) -> Step:
    """What to do with the node that was looked at; an expression or document that fails ends it as Failed.

    `slots` are those of a scatter if they have been evaluated before.
    """
    node = glance.node
    assert node is not None
    try:
        if node.kind == "scatter":
            return _scatter(glance, node, slots)
        decisions = {"workflow": _workflow, "loop": _loop, "expression": _expression, "tool": _tool}
        return decisions[node.kind](glance, node)
    except InvalidCwl as error:
        return Step(node, end=End(Status.FAILED, reason=_words(error)))


def evaluated(glance: Glance, inputs: Values, slots: Slots) -> list[Values]:
    """Slots of the scatter looked at as instances; what they share is one object."""
    assert glance.node is not None
    contents, path = contents_for(glance.workflow), glance.node.path
    found = isolate.plan(glance.bundle, "expand", contents, path=path, inputs=inputs, columns=slots.columns)
    for slot in found["slots"]:
        for name in ("requirements", "facts"):
            if name in slot:
                slot[name] = found["shared"][slot[name]]
    instances: list[Values] = found["slots"]
    return instances


def _workflow(glance: Glance, node: Node) -> Step:
    done = {
        child.name: {"status": CWL_NAMES[child.status], "outputs": child.outputs}
        for child in glance.children
        if child.status in GOOD
    }
    if not glance.workflow.stops:
        started = [child.name for child in glance.children]
        found = _plan(glance, "release", path=node.path, inputs=glance.inputs, done=done, started=started)
        instances = [Instance(_below(node, name), 0, given) for name, given in sorted(found["ready"].items())]
        instances += [
            _broken(_below(node, name), 0, reason) for name, reason in sorted(found["broken"].items())
        ]
        if instances:
            return Step(node, instances, is_dirty=any(_is_over(one) for one in instances))
    if glance.is_busy:
        return Step(node)
    outputs = _collected(glance, node, done)
    if glance.has_failed:
        return Step(node, end=_bad_end(glance, node, _why(glance.children), outputs))
    if len(done) < _number_of_steps(glance, node):
        if glance.workflow.stops:
            return Step(node, end=End(Status.KILLED, outputs, STOPPED))
        waiting = "steps wait for values that never come: their sources do not lead back to an input"
        return Step(node, end=End(Status.FAILED, outputs, waiting))
    return Step(node, end=End(Status.DONE, outputs))


def _collected(glance: Glance, node: Node, done: Values) -> Values:
    try:
        return _plan(glance, "collect", path=node.path, inputs=glance.inputs, done=done)
    except InvalidCwl:
        if not (glance.has_failed or glance.workflow.stops):
            raise
        # pickValue misses what failed steps owe: why they failed says more.
        return {}


def _scatter(glance: Glance, node: Node, slots: list[Values] | None) -> Step:
    if glance.slots is not None:
        given = evaluated(glance, glance.inputs, glance.slots) if slots is None else slots
        instances = [
            Instance(node.path, number, one) for number, one in zip(glance.slots.numbers, given, strict=True)
        ]
        return Step(node, instances, cursor=glance.slots.numbers.stop, is_dirty=True)
    if node.ended < node.cursor:
        return Step(node)
    if node.bad:
        reason = f"{node.bad} of {node.total} failed, first: {_why(glance.children)}"
        return Step(node, end=_bad_end(glance, node, reason))
    if node.cursor < node.total:
        return Step(node, end=End(Status.KILLED, reason=STOPPED))
    # One skipped element makes the whole step count as skipped (cwltool, ReceiveScatterOutput).
    return Step(node, end=End(Status.SKIPPED if node.skipped else Status.DONE, _gathered(glance, node)))


def _gathered(glance: Glance, node: Node) -> Values:
    """The outputs of a scatter: as they are when they are short, otherwise what stands for them."""
    method, names, dims = glance.more["method"], glance.more["names"], node.dims or [0]
    if len(glance.children) == node.total:
        results = [child.outputs or {} for child in glance.children]
        found = {
            name: scatter.shaped(method, dims, [result.get(name) for result in results]) for name in names
        }
        if len(plain(found)) <= collections.INLINE:
            return found
    return {name: collections.of_slots(node.node_id, name, dims, method) for name in names}


def _loop(glance: Glance, node: Node) -> Step:
    if glance.is_busy:
        return Step(node)
    if glance.has_failed:
        reason = f"iteration {node.cursor} failed: {_why(glance.children)}"
        return Step(node, end=_bad_end(glance, node, reason))
    if node.cursor >= MOST_ITERATIONS:
        reason = f"the loop did not end within {MOST_ITERATIONS} iterations"
        return Step(node, end=End(Status.FAILED, reason=reason))
    last = glance.children[0].outputs if glance.children else None
    found = _plan(glance, "repeat", path=node.path, inputs=glance.inputs, outputs=last)
    if "next" not in found:
        return Step(node, end=End(Status.DONE, _of_iterations(glance, node, last)))
    if glance.workflow.stops:
        return Step(node, end=End(Status.KILLED, reason=STOPPED))
    following = Instance(node.path, node.cursor, found["next"])
    inputs = {**glance.more, "inputs": found["inputs"]}
    return Step(node, [following], node.cursor + 1, _is_over(following), inputs=inputs)


def _of_iterations(glance: Glance, node: Node, last: Values | None) -> Values:
    names = glance.more["names"]
    if glance.more["method"] != "all":
        return last or dict.fromkeys(names)
    return {name: collections.of_slots(node.node_id, name, [node.cursor], scatter.DOT) for name in names}


def _expression(glance: Glance, node: Node) -> Step:
    outputs = _plan(glance, "express", path=node.path, inputs=glance.inputs)
    return Step(node, end=End(Status.DONE, outputs))


def _tool(glance: Glance, node: Node) -> Step:
    """A root that is a tool, or a slot that is made once more: the instance that it becomes."""
    if glance.slots:
        (given,) = evaluated(glance, glance.inputs, glance.slots)
    else:
        given = _plan(glance, "restart", inputs=glance.inputs)
    return Step(node, [Instance(node.path, node.slot, given)])


def _plan(glance: Glance, operation: str, **arguments: Any) -> Values:
    return isolate.plan(glance.bundle, operation, contents_for(glance.workflow), **arguments)


def _number_of_steps(glance: Glance, node: Node) -> int:
    graph = unpacked(glance.workflow.graph)
    return sum(1 for one in graph["nodes"] if one["parent"] == node.path and one["path"] != node.path)


def _broken(path: str, slot: int, reason: str) -> Instance:
    return Instance(path, slot, {"kind": "broken", "reason": reason})


def _is_over(instance: Instance) -> bool:
    return instance.given["kind"] in ("broken", "skipped", "expression")


def _below(node: Node, name: str) -> str:
    return f"{node.path}/{name}" if node.path else name


def _bad_end(glance: Glance, node: Node, reason: str, outputs: Values | None = None) -> End:
    """Of a node below which something went wrong; what was only stopped below it has not failed itself."""
    has_failed = any(child.status is Status.FAILED for child in glance.children)
    if has_failed or node.parent_id == 0 or not glance.workflow.stops:
        return End(Status.FAILED, outputs, reason)
    return End(Status.KILLED, outputs, STOPPED)


def _why(children: list[Child]) -> str:
    bad = [child for child in children if child.status in (Status.FAILED, Status.KILLED)]
    # What failed is the reason why others were stopped.
    first = min(bad, key=lambda child: child.status != Status.FAILED, default=None)
    return f"{first.name}: {first.reason or first.status}" if first else "unknown"


def _words(error: InvalidCwl) -> str:
    first = error.diagnostics[0] if error.diagnostics else {}
    advice = f" ({first['advice']})" if first.get("advice", ELSE) != ELSE else ""
    return f"{error}{advice}"
