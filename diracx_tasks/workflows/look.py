"""What `advance` sees of a workflow: the one thing to do next, read without locks."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.packed import unpacked
from diracx_tasks.cwl import scatter
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.jobs import ends
from diracx_tasks.workflows import collections
from diracx_tasks.workflows.states import FINAL, Status
from diracx_tasks.workflows.tables import Node, NodeValues, StoredBundle, Workflow

TASK = "workflows.advance"
# So many slots of a scatter are made in one transaction.
CHUNK = 1000
# Bundles never change under their hash, so each process keeps a few.
_BUNDLES: dict[str, Bundle] = {}
KEPT = 64
# Where nothing is decided.
NO_BUNDLE = Bundle({}, "")
Values = dict[str, Any]


class Task(StrEnum):
    """What is to be done with a workflow."""

    NOTE_ENDED = "note what has ended"
    KILL = "kill"
    RETRY = "try again"
    DECIDE = "decide"


@dataclass(frozen=True)
class Child:
    """An instance below the node looked at; `outputs` only where they are needed."""

    name: str
    status: Status
    reason: str
    outputs: Values | None


@dataclass(frozen=True)
class Slots:
    """Slots of a scatter to be made: their numbers and, by input, the elements that they take."""

    numbers: range
    columns: dict[str, list[Any]]


@dataclass(frozen=True)
class Glance:
    """A workflow, and the node to decide about; `more` is what is known of a scatter or loop."""

    workflow: Workflow
    task: Task
    bundle: Bundle = NO_BUNDLE
    node: Node | None = None
    inputs: Values = field(default_factory=dict)
    more: Values = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)
    slots: Slots | None = None

    @property
    def has_failed(self) -> bool:
        """Whether something below the node failed or was killed."""
        return any(child.status in (Status.FAILED, Status.KILLED) for child in self.children)

    @property
    def is_busy(self) -> bool:
        """Whether something below the node is not over."""
        return any(child.status == Status.RUNNING for child in self.children)


def look(db: Session, workflow_id: int) -> Glance | None:
    """The next thing to do; None when there is nothing."""
    workflow = db.get(Workflow, workflow_id)
    if workflow is None:
        return None
    if ends.has_ended(db, TASK, workflow_id):
        return Glance(workflow, Task.NOTE_ENDED)
    if workflow.status in FINAL:
        return None
    if workflow.status == Status.KILLING:
        return Glance(workflow, Task.KILL)
    if db.execute(due(workflow).limit(1)).first():
        return Glance(workflow, Task.RETRY)
    dirty = (Node.workflow_id == workflow_id, Node.is_dirty, Node.status == Status.RUNNING)
    node = db.scalar(select(Node).where(*dirty).order_by(Node.node_id.desc()).limit(1))
    return _glance(db, workflow, bundle(db, workflow.bundle), node) if node else None


def due(workflow: Workflow) -> Any:
    """The nodes of a workflow whose next try may begin; all that wait for one when nothing is to begin."""
    waits = Node.retry_at.is_not(None) if workflow.stops else Node.retry_at <= utc_now()
    return select(Node).where(Node.workflow_id == workflow.workflow_id, waits, Node.status == Status.RUNNING)


def slots_of(db: Session, node: Node, inputs: Values, more: Values, numbers: range) -> tuple[Values, Slots]:
    """What all slots of a scatter have in common, and the elements that these slots take."""
    method, dims, keys = more["method"], node.dims or [], more["keys"]
    places = [scatter.indices(method, dims, slot) for slot in numbers]
    columns = {
        key: collections.pick(db, node.workflow_id, inputs[key], [place[number] for place in places])
        for number, key in enumerate(keys)
    }
    fixed = {name: value for name, value in inputs.items() if name not in keys}
    return fixed, Slots(numbers, columns)


def bundle(db: Session, key: str) -> Bundle:
    """A stored bundle."""
    if key not in _BUNDLES:
        while len(_BUNDLES) >= KEPT:
            _BUNDLES.pop(next(iter(_BUNDLES)), None)
        _BUNDLES[key] = _read(db, key)
    return _BUNDLES[key]


def values_of(db: Session, node_id: int) -> tuple[Values, Values]:
    """The inputs of a node, and what else is known of a scatter or loop."""
    stored = db.scalar(select(NodeValues.inputs).where(NodeValues.node_id == node_id))
    more = unpacked(stored) if stored else {"inputs": {}}
    inputs = more.pop("inputs")
    return inputs, more


def _glance(db: Session, workflow: Workflow, stored: Bundle, node: Node) -> Glance:
    inputs, more = values_of(db, node.node_id)
    if node.kind == "scatter":
        return _scatter(db, Glance(workflow, Task.DECIDE, stored, node, inputs, more))
    if node.kind == "tool" and node.parent_id:
        return _slot(db, workflow, stored, node)
    children = select(Node).where(Node.workflow_id == node.workflow_id, Node.parent_id == node.node_id)
    if node.kind == "loop":
        # Only the last iteration says how it goes on.
        rows = db.scalars(children.order_by(Node.slot.desc()).limit(1)).all()
    else:
        rows = db.scalars(children.order_by(Node.path)).all()
    return Glance(workflow, Task.DECIDE, stored, node, inputs, more, _children(db, rows))


def _scatter(db: Session, glance: Glance) -> Glance:
    node = glance.node
    assert node is not None
    common = (glance.workflow, Task.DECIDE, glance.bundle, node)
    if node.cursor < node.total and not glance.workflow.stops:
        stop = min(node.cursor + CHUNK, node.total)
        fixed, slots = slots_of(db, node, glance.inputs, glance.more, range(node.cursor, stop))
        return Glance(*common, fixed, glance.more, slots=slots)
    query = select(Node).where(Node.workflow_id == node.workflow_id, Node.parent_id == node.node_id)
    if node.bad:
        # The first one that went wrong says why.
        for status in (Status.FAILED, Status.KILLED):
            first = db.scalars(query.where(Node.status == status).order_by(Node.slot).limit(1)).all()
            if first:
                return Glance(*common, glance.inputs, glance.more, _children(db, first))
    if node.ended < node.total or node.total > collections.LONG:
        return Glance(*common, glance.inputs, glance.more)
    rows = db.scalars(query.order_by(Node.slot)).all()
    return Glance(*common, glance.inputs, glance.more, _children(db, rows))


def _slot(db: Session, workflow: Workflow, stored: Bundle, node: Node) -> Glance:
    """A slot of a scatter that is made once more, because it could not be evaluated."""
    parent = db.get_one(Node, node.parent_id)
    inputs, more = values_of(db, parent.node_id)
    fixed, slots = slots_of(db, parent, inputs, more, range(node.slot, node.slot + 1))
    return Glance(workflow, Task.DECIDE, stored, node, fixed, more, slots=slots)


def _children(db: Session, rows: Any) -> list[Child]:
    found = collections.outputs(db, rows)
    return [
        Child(node.path.rpartition("/")[2], Status(node.status), node.reason or "", found.get(node.node_id))
        for node in rows
    ]


def _read(db: Session, key: str) -> Bundle:
    data = db.execute(select(StoredBundle.data).where(StoredBundle.hash == key)).scalar()
    if data is None:
        raise NotFound(f"there is no bundle {key}")
    return Bundle.from_json(unpacked(data))
