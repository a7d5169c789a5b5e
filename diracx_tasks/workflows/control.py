"""Ending workflows before their time."""

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
    found = _begin(db, workflow_id, f"killed by {by.name}", Status.KILLED)
    db.refresh(workflow)
    if not found and workflow.status not in (Status.KILLING, Status.KILLED):
        raise Conflict(f"workflow {workflow_id} is {workflow.status}: it cannot become Killed")
    return workflow


def give_up(db: Session, workflow_id: int, reason: str) -> bool:
    """Have a workflow that cannot be advanced end as Failed, and its jobs killed; False unless it goes on."""
    return _begin(db, workflow_id, reason, Status.FAILED)


def _begin(db: Session, workflow_id: int, words: str, ends_as: Status) -> bool:
    mine = (Workflow.workflow_id == workflow_id, Workflow.status.in_((Status.RECEIVED, Status.RUNNING)))
    values = {
        "status": Status.KILLING,
        "ends_as": ends_as,
        "reason": words,
        "version": Workflow.version + 1,
    }
    if not changed(db, update(Workflow).where(*mine).values(values)):
        return False
    tell(db, workflow_id, Status.KILLING, words)
    ask_to_advance(db, workflow_id)
    return True
