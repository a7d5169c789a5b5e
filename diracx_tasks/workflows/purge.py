"""Old workflows: first a workflow goes from everybody's sight, then page by page all that belongs to it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs import purge as jobs
from diracx_tasks.jobs.remove import remove_owned
from diracx_tasks.sandboxes import assigned
from diracx_tasks.workflows.look import TASK
from diracx_tasks.workflows.tables import Chunk, Collection, Node, NodeValues, Workflow, WorkflowEvent

# Rows that are removed in one transaction; chunks are large.
AT_ONCE = 50
PAGE = 900
CHUNKS = 50


def purge(db: Session, vo: str) -> int:
    """Remove a page of a VO's workflows that ended as long ago as jobs of their status are kept; how many.

    What belongs to them goes by `clear`, which is asked for in the same transaction: nobody can read it any
    more, and nothing can begin it anew.
    """
    found: list[int] = []
    for status, seconds in jobs.delays(vo).items():
        old = (Workflow.vo == vo, Workflow.status == status.value, Workflow.ended_at < utc_now(-seconds))
        # SQLite would give the number of the newest one again.
        query = select(Workflow.workflow_id).where(*old, Workflow.workflow_id < _newest())
        held = query.order_by(Workflow.ended_at).limit(AT_ONCE - len(found)).with_for_update()
        found += db.scalars(held)
    if found:
        changed(db, delete(Workflow).where(Workflow.workflow_id.in_(found)))
        assigned.forget(db, [f"Workflow:{workflow_id}" for workflow_id in found])
    for workflow_id in found:
        ask_to_clear(db, workflow_id)
    return len(found)


def ask_to_clear(db: Session, workflow_id: int) -> None:
    """Have everything removed, after this transaction, that a workflow has left which is gone."""
    enqueue(db, "workflows.clear", f"workflow-{workflow_id}.clear", workflow_id=workflow_id)


def clear(db: Session, workflow_id: int, after: int) -> int | None:
    """Remove the next page of what a workflow has left: its jobs above the number `after`, then the rest.

    Answers how far the jobs have come, None when nothing is left. Twice is harmless; nothing happens to a
    workflow that is there.
    """
    if db.get(Workflow, workflow_id) is not None:
        return None
    reached = remove_owned(db, TASK, workflow_id, f"{workflow_id:08d}", after)
    if reached is not None:
        return reached
    return _LAST_JOB if any(remove(db, workflow_id) for remove in _REST) else None


def _nodes(db: Session, workflow_id: int) -> int:
    ids = _page(db, Node.node_id, Node.workflow_id == workflow_id, PAGE)
    changed(db, delete(NodeValues).where(NodeValues.node_id.in_(ids)))
    changed(db, delete(Node).where(Node.node_id.in_(ids)))
    return len(ids)


def _events(db: Session, workflow_id: int) -> int:
    ids = _page(db, WorkflowEvent.event_id, WorkflowEvent.workflow_id == workflow_id, PAGE)
    changed(db, delete(WorkflowEvent).where(WorkflowEvent.event_id.in_(ids)))
    return len(ids)


def _collections(db: Session, workflow_id: int) -> int:
    """Remove some chunks of one collection, and the collection with the last of them."""
    query = select(Collection.collection_id).where(Collection.workflow_id == workflow_id)
    found = db.scalar(query.order_by(Collection.collection_id).limit(1))
    if found is None:
        return 0
    numbers = _page(db, Chunk.chunk, Chunk.collection_id == found, CHUNKS)
    changed(db, delete(Chunk).where(Chunk.collection_id == found, Chunk.chunk.in_(numbers)))
    if len(numbers) < CHUNKS:
        changed(db, delete(Collection).where(Collection.collection_id == found))
    return 1


def _page(db: Session, key: Any, mine: ColumnElement[bool], limit: int) -> list[int]:
    # Without an order: a million rows would be sorted for each page.
    return list(db.scalars(select(key).where(mine).limit(limit)))


def _newest() -> Any:
    return select(func.max(Workflow.workflow_id)).scalar_subquery()


_REST: tuple[Callable[[Session, int], int], ...] = (_nodes, _events, _collections)
# Behind every job.
_LAST_JOB = 2**32
