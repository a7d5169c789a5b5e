"""What happened to a workflow, for its owner."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now
from diracx_tasks.workflows.tables import WorkflowEvent

LONGEST = 4000


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


def since(db: Session, workflow_id: int, after: int, limit: int) -> list[WorkflowEvent]:
    """Events with higher numbers than `after`, oldest first."""
    query = select(WorkflowEvent).where(
        WorkflowEvent.workflow_id == workflow_id, WorkflowEvent.event_id > after
    )
    return list(db.scalars(query.order_by(WorkflowEvent.event_id).limit(limit)))
