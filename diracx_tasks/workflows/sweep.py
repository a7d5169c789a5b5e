"""Workflows in which something is to be done that nothing will do: asked for again, or ended."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading, session, utc_now
from diracx_tasks.engine import dead_letters, outbox
from diracx_tasks.jobs import ends
from diracx_tasks.workflows import control
from diracx_tasks.workflows.events import LONGEST
from diracx_tasks.workflows.look import TASK
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.submit import ask_to_advance, keys_of
from diracx_tasks.workflows.tables import Node, Workflow

PAGE = 500
# A try that is due for so many seconds has been forgotten.
PATIENCE = 60
GOING_ON = (Status.RECEIVED, Status.RUNNING, Status.KILLING)


def sweep() -> tuple[int, int]:
    """How many were asked for again, and how many end as Failed now because their task is a dead letter."""
    asked = given_up = 0
    for workflow_id in _candidates():
        with session() as db:
            if not _is_stuck(db, workflow_id):
                continue
            letters = dead_letters.of_keys(db, keys_of(workflow_id))
            words = [f"{dead_letters.last_words(one)} (dead letter {one.letter_id})" for one in letters]
            if words and control.give_up(db, workflow_id, f"it could not be advanced: {words[0]}"[:LONGEST]):
                given_up += 1
            else:
                ask_to_advance(db, workflow_id)
                asked += 1
    return asked, given_up


def _candidates() -> Iterator[int]:
    """Workflows in which something is to be done; most of them are being advanced."""
    for wants in (_goes_on(), _has_ends()):
        last = 0
        while True:
            mine = select(Workflow.workflow_id).where(wants, Workflow.workflow_id > last)
            with reading() as db:
                found = list(db.scalars(mine.order_by(Workflow.workflow_id).limit(PAGE)))
                known = outbox.known(db, [key for one in found for key in keys_of(one)])
            if not found:
                break
            yield from (one for one in found if known.isdisjoint(keys_of(one)))
            last = found[-1]


def _is_stuck(db: Session, workflow_id: int) -> bool:
    """Whether something is to be done and nothing asks for it, at one moment."""
    mine = select(Workflow.workflow_id).where(Workflow.workflow_id == workflow_id)
    mine = mine.where(or_(_goes_on(), _has_ends()), ~outbox.has_any(keys_of(workflow_id)))
    return db.scalar(mine) is not None


def _goes_on() -> ColumnElement[bool]:
    """A workflow begins or ends, a node is to be looked at, or a tool is to be tried again."""
    dirty = exists().where(Node.workflow_id == Workflow.workflow_id, Node.is_dirty)
    due = exists().where(Node.workflow_id == Workflow.workflow_id, Node.retry_at < utc_now(-PATIENCE))
    changes = Workflow.status.in_((Status.RECEIVED, Status.KILLING))
    return Workflow.status.in_(GOING_ON) & or_(changes, dirty, due)


def _has_ends() -> ColumnElement[bool]:
    """Jobs of a workflow have ended: also of one that is over, which cannot be done again meanwhile."""
    return Workflow.workflow_id.in_(ends.owners(TASK))
