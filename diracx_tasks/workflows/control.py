"""Killing a workflow."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import must_own
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed
from diracx_tasks.core.errors import Conflict
from diracx_tasks.workflows.events import tell
from diracx_tasks.workflows.search import find
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.submit import ask_to_advance
from diracx_tasks.workflows.tables import Workflow


def kill(db: Session, workflow_id: int, *, by: User) -> Workflow:
    """Have a workflow and its jobs killed; twice is harmless, Conflict when it has ended otherwise."""
    workflow = find(db, workflow_id, by=by)
    must_own(by, owner=workflow.owner, vo=workflow.vo, what=f"workflow {workflow_id}")
    words = f"killed by {by.name}"
    found = changed(
        db,
        update(Workflow)
        .where(Workflow.workflow_id == workflow_id, Workflow.status.in_((Status.RECEIVED, Status.RUNNING)))
        .values(status=Status.KILLING, reason=words, version=Workflow.version + 1),
    )
    db.refresh(workflow)
    if found:
        tell(db, workflow_id, Status.KILLING, words)
        ask_to_advance(db, workflow_id)
    elif workflow.status not in (Status.KILLING, Status.KILLED):
        raise Conflict(f"workflow {workflow_id} is {workflow.status}: it cannot become Killed")
    return workflow
