"""From what is to what should be: the change that a glance at a workflow calls for. No database here."""

from dataclasses import dataclass, field
from typing import Any

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.core.packed import unpacked
from diracx_tasks.cwl.phrases import ELSE
from diracx_tasks.sandboxes import metadata
from diracx_tasks.workflows import isolate
from diracx_tasks.workflows.look import Child, Glance
from diracx_tasks.workflows.states import CWL_NAMES, GOOD, Status
from diracx_tasks.workflows.tables import Node

CHUNK = 200
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
    """A change of one node: instances to make below it, how far a scatter has come, or its end."""

    node: Node
    instances: list[Instance] = field(default_factory=list)
    cursor: int | None = None
    is_dirty: bool = False
    end: End | None = None


def decide(glance: Glance) -> Step:
    """What to do with the node that was looked at; an expression or document that fails ends it as Failed."""
    assert glance.node is not None
    decisions = {"workflow": _workflow, "scatter": _scatter, "expression": _expression, "tool": _root_tool}
    try:
        return decisions[glance.node.kind](glance, glance.node)
    except InvalidCwl as error:
        return Step(glance.node, end=End(Status.FAILED, reason=_words(error)))


def _workflow(glance: Glance, node: Node) -> Step:
    done = {
        child.name: {"status": CWL_NAMES[child.status], "outputs": child.outputs}
        for child in glance.children
        if child.status in GOOD
    }
    if not glance.has_failed:
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
        return Step(node, end=End(Status.FAILED, outputs, _why(glance.children)))
    if len(done) < _number_of_steps(glance, node):
        waiting = "steps wait for values that never come: their sources do not lead back to an input"
        return Step(node, end=End(Status.FAILED, outputs, waiting))
    return Step(node, end=End(Status.DONE, outputs))


def _collected(glance: Glance, node: Node, done: Values) -> Values:
    try:
        return _plan(glance, "collect", path=node.path, inputs=glance.inputs, done=done)
    except InvalidCwl:
        if not glance.has_failed:
            raise
        # pickValue misses what failed steps owe: why they failed says more.
        return {}


def _scatter(glance: Glance, node: Node) -> Step:
    if node.cursor < node.total and not glance.has_failed:
        stop = min(node.cursor + CHUNK, node.total)
        found = _plan(glance, "expand", path=node.path, inputs=glance.inputs, start=node.cursor, stop=stop)
        slots = [
            Instance(node.path, node.cursor + place, given) for place, given in enumerate(found["slots"])
        ]
        return Step(node, slots, cursor=stop, is_dirty=True)
    if glance.is_busy:
        return Step(node)
    if glance.has_failed:
        count = glance.counts.get(Status.FAILED, 0) + glance.counts.get(Status.KILLED, 0)
        reason = f"{count} of {node.total} failed, first: {_why(glance.children)}"
        return Step(node, end=End(Status.FAILED, reason=reason))
    results = [child.outputs for child in glance.children]
    outputs = _plan(glance, "gather", path=node.path, dims=node.dims or [0], results=results)
    # One skipped element makes the whole step count as skipped (cwltool, ReceiveScatterOutput).
    is_skipped = bool(glance.counts.get(Status.SKIPPED))
    return Step(node, end=End(Status.SKIPPED if is_skipped else Status.DONE, outputs))


def _expression(glance: Glance, node: Node) -> Step:
    outputs = _plan(glance, "express", path=node.path, inputs=glance.inputs)
    return Step(node, end=End(Status.DONE, outputs))


def _root_tool(glance: Glance, node: Node) -> Step:
    return Step(node, [Instance("", 0, _plan(glance, "start", inputs=glance.inputs))])


def _plan(glance: Glance, operation: str, **arguments: Any) -> Values:
    workflow = glance.workflow
    owner = metadata.Owner(workflow.owner, workflow.group, workflow.vo)

    def contents(location: str) -> str:
        return metadata.contents(location, owner)

    return isolate.plan(glance.bundle, operation, contents, **arguments)


def _number_of_steps(glance: Glance, node: Node) -> int:
    graph = unpacked(glance.workflow.graph)
    return sum(1 for one in graph["nodes"] if one["parent"] == node.path and one["path"] != node.path)


def _broken(path: str, slot: int, reason: str) -> Instance:
    return Instance(path, slot, {"kind": "broken", "reason": reason})


def _is_over(instance: Instance) -> bool:
    return instance.given["kind"] in ("broken", "skipped", "expression")


def _below(node: Node, name: str) -> str:
    return f"{node.path}/{name}" if node.path else name


def _why(children: list[Child]) -> str:
    failed = next((child for child in children if child.status not in (*GOOD, Status.RUNNING)), None)
    return f"{failed.name}: {failed.reason or failed.status}" if failed else "unknown"


def _words(error: InvalidCwl) -> str:
    first = error.diagnostics[0] if error.diagnostics else {}
    advice = f" ({first['advice']})" if first.get("advice", ELSE) != ELSE else ""
    return f"{error}{advice}"
