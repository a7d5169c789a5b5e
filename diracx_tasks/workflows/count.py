"""Closing nodes, and counting at their parents how many are over: a wide scatter is never counted anew."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import case, or_, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed
from diracx_tasks.workflows.events import LONGEST
from diracx_tasks.workflows.notify import tell_of_failure
from diracx_tasks.workflows.states import GOOD, Status
from diracx_tasks.workflows.tables import Node, Workflow


def close(db: Session, workflow: Workflow, nodes: Sequence[Any], status: Status, reason: str) -> None:
    """End nodes of a workflow alike; each has `node_id` and `parent_id`."""
    values = {"status": status, "is_dirty": False, "reason": reason[:LONGEST] or None, "retry_at": None}
    changed(db, update(Node).where(Node.node_id.in_([node.node_id for node in nodes])).values(values))
    by_parent: dict[int, int] = {}
    for node in nodes:
        by_parent[node.parent_id] = by_parent.get(node.parent_id, 0) + 1
    alike: dict[int, list[int]] = {}
    for parent_id, ended in by_parent.items():
        alike.setdefault(ended, []).append(parent_id)
    for ended, parents in alike.items():
        bad = 0 if status in GOOD else ended
        skipped = ended if status is Status.SKIPPED else 0
        note(db, workflow, parents, ended=ended, bad=bad, skipped=skipped, reason=reason)


def note(
    db: Session,
    workflow: Workflow,
    parents: Collection[int],
    *,
    ended: int,
    bad: int,
    skipped: int,
    reason: str = "",
) -> None:
    """Count children that are over; a parent is looked at when it may have something to do."""
    if bad and not workflow.is_broken:
        whole = (Workflow.workflow_id == workflow.workflow_id, Workflow.is_broken.is_(False))
        if changed(db, update(Workflow).where(*whole).values(is_broken=True)):
            tell_of_failure(db, workflow, reason)
    complete = Node.ended + ended >= Node.cursor
    wakes = case((or_(Node.kind != "scatter", complete), True), else_=Node.is_dirty)
    # The conditions look at the old numbers, so they come first (MariaDB assigns from left to right).
    changed(
        db,
        update(Node)
        .where(Node.node_id.in_(parents))
        .ordered_values(
            (Node.is_dirty, wakes),
            (Node.ended, Node.ended + ended),
            (Node.bad, Node.bad + bad),
            (Node.skipped, Node.skipped + skipped),
        ),
    )
