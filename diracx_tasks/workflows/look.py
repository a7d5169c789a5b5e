"""What `advance` sees of a workflow: the one thing to do next, read without locks."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.packed import unpacked
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.jobs import ends
from diracx_tasks.workflows.states import FINAL, GOOD, Status
from diracx_tasks.workflows.tables import Node, NodeValues, StoredBundle, Workflow

TASK = "workflows.advance"
# Bundles never change under their hash, so each process keeps a few.
_BUNDLES: dict[str, Bundle] = {}
KEPT = 64


@dataclass(frozen=True)
class Child:
    """An instance below the node looked at; `outputs` only where they are needed."""

    name: str
    status: Status
    reason: str
    outputs: dict[str, Any] | None


@dataclass(frozen=True)
class Glance:
    """A workflow, and the node to look at: none when jobs ended or the workflow is to be killed."""

    workflow: Workflow
    bundle: Bundle
    node: Node | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    counts: dict[Status, int] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)

    @property
    def has_failed(self) -> bool:
        """Whether something below the node failed or was killed."""
        return bool(self.counts.get(Status.FAILED) or self.counts.get(Status.KILLED))

    @property
    def is_busy(self) -> bool:
        """Whether something below the node is not over."""
        return bool(self.counts.get(Status.RUNNING))


def look(db: Session, workflow_id: int) -> Glance | None:
    """The next thing to do; None when there is nothing."""
    workflow = db.get(Workflow, workflow_id)
    if workflow is None:
        return None
    stored = bundle(db, workflow.bundle)
    if ends.has_ended(db, TASK, workflow_id):
        return Glance(workflow, stored)
    if workflow.status in FINAL:
        return None
    if workflow.status == Status.KILLING:
        return Glance(workflow, stored)
    node = db.scalar(
        select(Node)
        .where(Node.workflow_id == workflow_id, Node.is_dirty, Node.status == Status.RUNNING)
        .order_by(Node.node_id.desc())
        .limit(1)
    )
    return _node_glance(db, workflow, stored, node) if node else None


def bundle(db: Session, key: str) -> Bundle:
    """A stored bundle."""
    if key not in _BUNDLES:
        while len(_BUNDLES) >= KEPT:
            _BUNDLES.pop(next(iter(_BUNDLES)), None)
        _BUNDLES[key] = _read(db, key)
    return _BUNDLES[key]


def _node_glance(db: Session, workflow: Workflow, stored: Bundle, node: Node) -> Glance:
    stored_inputs = db.scalar(select(NodeValues.inputs).where(NodeValues.node_id == node.node_id))
    inputs = unpacked(stored_inputs) if stored_inputs else {}
    grouped = select(Node.status, func.count()).where(Node.parent_id == node.node_id).group_by(Node.status)
    counts = {Status(status): count for status, count in db.execute(grouped).all()}
    glance = Glance(workflow, stored, node, inputs, counts)
    if node.kind == "scatter" and (node.cursor < node.total or glance.is_busy):
        # The outputs of a wide scatter are read once, when all of them are there.
        wanted = (
            select(Node, NodeValues.outputs).where(Node.status.in_((Status.FAILED, Status.KILLED))).limit(1)
        )
    else:
        wanted = select(Node, NodeValues.outputs)
    query = wanted.outerjoin(NodeValues, NodeValues.node_id == Node.node_id).where(
        Node.parent_id == node.node_id
    )
    rows = db.execute(query.order_by(Node.path, Node.slot)).all()
    return Glance(workflow, stored, node, inputs, counts, [_child(row.Node, row.outputs) for row in rows])


def _child(node: Node, outputs: bytes | None) -> Child:
    status = Status(node.status)
    values = unpacked(outputs) if outputs and status in GOOD else None
    return Child(node.path.rpartition("/")[2], status, node.reason or "", values)


def _read(db: Session, key: str) -> Bundle:
    data = db.execute(select(StoredBundle.data).where(StoredBundle.hash == key)).scalar()
    if data is None:
        raise NotFound(f"there is no bundle {key}")
    return Bundle.from_json(unpacked(data))
