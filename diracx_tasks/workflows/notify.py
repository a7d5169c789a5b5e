"""What the owner of a workflow is told by mail or webhook, if he wants to be."""

from sqlalchemy.orm import Session

from diracx_tasks.notices.events import Event
from diracx_tasks.notices.note import About, note
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Workflow

EVENTS = {Status.DONE: Event.DONE, Status.FAILED: Event.FAILED, Status.KILLED: Event.KILLED}


def tell_of_end(db: Session, workflow: Workflow, status: Status, reason: str) -> None:
    """Note that a workflow has ended, in the transaction in which it ends."""
    note(db, EVENTS[status], _about(workflow, status, reason))


def tell_of_failure(db: Session, workflow: Workflow, reason: str) -> None:
    """Note that something in a workflow has failed for the first time, while the rest may go on."""
    goes_on = "what does not need it goes on" if workflow.on_error == "continue" else "nothing new begins"
    words = f"a step has failed, {goes_on}" + (f": {reason}" if reason else "")
    note(db, Event.ATTENTION, _about(workflow, Status.RUNNING, words))


def _about(workflow: Workflow, status: Status, reason: str) -> About:
    subject = f"workflow-{workflow.workflow_id}"
    return About(workflow.vo, workflow.owner, subject, workflow.name, status, reason)
