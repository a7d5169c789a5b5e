"""What happened to a workflow: told as it happens, read by whoever may."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now
from diracx_tasks.core.packed import unpacked
from diracx_tasks.workflows.tables import Workflow, WorkflowEvent

# Characters that are kept of a message or reason.
LONGEST = 4000
# Of the elements of one scatter that fare alike at once, so many are told one by one.
MOST = 20


class Told(NamedTuple):
    """An event as it is read."""

    event_id: int
    at: datetime
    path: str
    slot: int | None
    status: str
    message: str
    job_id: int | None


COLUMNS = [getattr(WorkflowEvent, name) for name in Told._fields]


def tell(
    db: Session,
    workflow_id: int,
    status: str,
    message: str = "",
    *,
    path: str = "",
    slot: int | None = None,
    job_id: int | None = None,
) -> None:
    """Add an event."""
    db.add(
        WorkflowEvent(
            workflow_id=workflow_id,
            at=now(),
            path=path,
            slot=slot,
            status=status,
            message=message[:LONGEST],
            job_id=job_id,
        )
    )


class Teller:
    """Tells what happens to nodes of one workflow."""

    def __init__(self, db: Session, workflow: Workflow) -> None:
        self._db = db
        self._workflow = workflow
        self._scattered: set[str] | None = None

    def tell(self, status: str, message: str = "", **more: Any) -> None:
        """Add an event of the workflow, or of what `more` says."""
        tell(self._db, self._workflow.workflow_id, status, message, **more)

    def began(self, node: Any, message: str) -> None:
        """A node goes on running, for a reason."""
        self._of(node, "Running", message)

    def ended(self, nodes: Sequence[Any], status: str, reason: str) -> None:
        """Nodes have ended alike; of many elements of a scatter only the first are told one by one."""
        counts: Counter[str] = Counter()
        for node in nodes:
            counts[node.path] += 1
            if counts[node.path] <= MOST:
                self._of(node, status, reason)
        for path, count in counts.items():
            if count > MOST:
                self.tell(status, f"{count - MOST} more: {reason}", path=path)

    def _of(self, node: Any, status: str, message: str) -> None:
        self.tell(status, message, path=node.path, slot=self.slot(node), job_id=node.job_id)

    def slot(self, node: Any) -> int | None:
        """The element of a scatter, or the iteration of a loop, that a node is of; None for others."""
        if self._scattered is None:
            steps = unpacked(self._workflow.graph)["nodes"]
            self._scattered = {step["path"] for step in steps if step["scatter"] or step.get("loop")}
        kind = getattr(node, "kind", "tool")
        return node.slot if node.path in self._scattered and kind not in ("scatter", "loop") else None


def since(db: Session, workflow_id: int, after: int, limit: int, *, sees_jobs: bool) -> list[Told]:
    """Events with higher numbers than `after`, oldest first; see `newest` for `sees_jobs`."""
    query = _of(workflow_id, sees_jobs).where(WorkflowEvent.event_id > after)
    rows = db.execute(query.order_by(WorkflowEvent.event_id).limit(limit))
    return _told(rows, sees_jobs)


def newest(
    db: Session,
    workflow_id: int,
    *,
    before: int | None,
    limit: int,
    path: str | None = None,
    sees_jobs: bool,
) -> list[Told]:
    """Events with lower numbers than `before`, newest first; of one step if a path is stated.

    Those of single elements, words and numbers of jobs are left out for those who do not see the jobs: what
    happened to the workflow and its steps is left.
    """
    query = _of(workflow_id, sees_jobs)
    if before is not None:
        query = query.where(WorkflowEvent.event_id < before)
    if path is not None:
        query = query.where(WorkflowEvent.path == path)
    rows = db.execute(query.order_by(WorkflowEvent.event_id.desc()).limit(limit))
    return _told(rows, sees_jobs)


def _of(workflow_id: int, sees_jobs: bool) -> Any:
    query = select(*COLUMNS).where(WorkflowEvent.workflow_id == workflow_id)
    if not sees_jobs:
        query = query.where(WorkflowEvent.slot.is_(None))
    return query


def _told(rows: Iterable[Any], sees_jobs: bool) -> list[Told]:
    every = [Told(*row) for row in rows]
    # Why a step failed is what one of its jobs says.
    return every if sees_jobs else [one._replace(message="", job_id=None) for one in every]
