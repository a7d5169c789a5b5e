"""A workflow from its file to its outputs without a server: its nodes are in memory.

What `workflows.advance` and `workflows.look` do with rows is done here with objects; `decide`, the isolate
and the node's code are the product's.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from diracx_tasks.core.errors import DiracXError, UnsupportedCwl
from diracx_tasks.core.packed import packed
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.sandboxes import metadata
from diracx_tasks.workflows import isolate
from diracx_tasks.workflows.decide import End, Instance, Step, decide
from diracx_tasks.workflows.look import Child, Glance
from diracx_tasks.workflows.states import GOOD, Status
from diracx_tasks.workflows.tables import Node as Row
from diracx_tasks.workflows.tables import Workflow
from tests.cwl.bundling import bundled
from tests.cwl.tools import Node, Store, Values, materialized

OWNER = ("tester", "users", "local")
ENDS = {"skipped": Status.SKIPPED, "expression": Status.DONE, "broken": Status.FAILED}


@dataclass(frozen=True)
class Ended:
    """How a workflow ended; the outputs' files are on disk."""

    status: str
    outputs: Values | None = None
    reason: str = ""
    kind: str = ""


@dataclass
class Life:
    """A node with its values."""

    row: Row
    inputs: Values
    outputs: Values | None = None


@dataclass
class Nodes:
    """The nodes of one workflow."""

    workflow: Workflow
    bundle: Bundle
    lives: list[Life] = field(default_factory=list)

    def add(self, parent: int, one: Instance) -> None:
        """A node for an instance; a tool waits for its turn."""
        kind = one.given["kind"]
        row = Row(
            node_id=len(self.lives) + 1,
            parent_id=parent,
            path=one.path,
            slot=one.slot,
            kind="tool" if kind in ("skipped", "broken") else kind,
            status=ENDS.get(kind, Status.RUNNING),
            is_dirty=kind in ("workflow", "scatter"),
            total=one.given.get("total", 0),
            cursor=0,
            dims=one.given.get("dims"),
            reason=one.given.get("reason"),
        )
        self.lives.append(Life(row, one.given.get("inputs", {}), one.given.get("outputs")))

    def glance(self) -> Glance | None:
        """What `look` gives: the youngest node that has to be looked at."""
        dirty = [life for life in self.lives if life.row.is_dirty and life.row.status == Status.RUNNING]
        if not dirty:
            return None
        life = dirty[-1]
        below = [one for one in self.lives if one.row.parent_id == life.row.node_id]
        below.sort(key=lambda one: (one.row.path, one.row.slot))
        counts = Counter(Status(one.row.status) for one in below)
        children = [self._child(one) for one in below]
        return Glance(self.workflow, self.bundle, life.row, life.inputs, dict(counts), children)

    def end(self, row: Row, end: End) -> None:
        """Close a node and have its parent looked at."""
        row.status, row.is_dirty, row.reason = end.status, False, end.reason
        self.lives[row.node_id - 1].outputs = end.outputs
        if row.parent_id:
            self.lives[row.parent_id - 1].row.is_dirty = True

    def apply(self, step: Step) -> None:
        """Carry out a decision, as `advance.apply` does."""
        row = step.node
        if row.kind == "tool":
            row.is_dirty = False
            return
        for one in step.instances:
            self.add(row.node_id, one)
        if step.end:
            self.end(row, step.end)
            return
        row.is_dirty = step.is_dirty
        row.cursor = row.cursor if step.cursor is None else step.cursor

    def next_tool(self) -> Life | None:
        """A tool that has not run."""
        return next(
            (one for one in self.lives if one.row.kind == "tool" and one.row.status == Status.RUNNING), None
        )

    def _child(self, life: Life) -> Child:
        status = Status(life.row.status)
        outputs = life.outputs if status in GOOD else None
        return Child(life.row.path.rpartition("/")[2], status, life.row.reason or "", outputs)


class Engine:
    """Runs workflows one after the other, with one isolate and one worker node. For one process at a time."""

    def __init__(self, work: Path) -> None:
        # The real store of an embedded installation reads what this one writes.
        os.environ["DIRACX_DATA"] = str(work)
        name, group, vo = OWNER
        prefix = f"sandbox:{metadata.Owner(name, group, vo).prefix}"
        self.store = Store(work / "sandboxes", prefix)
        self._node = Node(work / "node", self.store)

    def close(self) -> None:
        """End what runs below."""
        self._node.close()

    def run(self, document: str, job: Path | None, out: Path, seconds: float = 60) -> Ended:
        """The end of a workflow that was submitted with all its files; `seconds` is each tool's limit."""
        unsupported: list[str] = []
        try:
            bundle, inputs = bundled(document, job)
            nodes = self._submitted(bundle, inputs)
            self._advance(nodes, seconds, unsupported)
        except DiracXError as error:
            kind = "unsupported" if isinstance(error, UnsupportedCwl) else "invalid"
            return Ended("Failed", None, str(error), kind)
        root = nodes.lives[0]
        if root.row.status not in GOOD:
            return Ended("Failed", None, root.row.reason or "", "unsupported" if unsupported else "failed")
        return Ended("Done", materialized(root.outputs or {}, bundle, self.store, out))

    def _submitted(self, bundle: Bundle, inputs: Values) -> Nodes:
        owner = metadata.Owner(*OWNER)
        found = isolate.check(bundle, inputs, lambda location: metadata.contents(location, owner))
        name, group, vo = OWNER
        workflow = Workflow(owner=name, group=group, vo=vo, graph=packed(found["graph"]))
        nodes = Nodes(workflow, bundle)
        start = found["start"]
        nodes.add(0, Instance("", 0, {"kind": start["kind"], "inputs": start["inputs"]}))
        nodes.lives[0].row.status = Status.RUNNING
        nodes.lives[0].row.is_dirty = True
        return nodes

    def _advance(self, nodes: Nodes, seconds: float, unsupported: list[str]) -> None:
        while nodes.lives[0].row.status == Status.RUNNING:
            if glance := nodes.glance():
                nodes.apply(decide(glance))
            elif life := nodes.next_tool():
                result = self._node.run(nodes.bundle, life.row.path, life.inputs, seconds)
                if result.is_unsupported:
                    unsupported.append(result.reason)
                status = Status.DONE if result.is_success else Status.FAILED
                nodes.end(life.row, End(status, result.outputs, result.reason))
            else:
                raise AssertionError("nothing is left to do, and the workflow has not ended")
