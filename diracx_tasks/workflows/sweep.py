"""Workflows in which something is to be done that nothing will do: asked for again, or ended."""

from collections.abc import Iterator

from sqlalchemy import Select, exists, or_, select

from diracx_tasks.core.database import reading, session, utc_now
from diracx_tasks.engine import dead_letters, outbox
from diracx_tasks.jobs import ends
from diracx_tasks.workflows import control
from diracx_tasks.workflows.count import LONGEST
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
    for workflow_id in _stuck():
        with session() as db:
            letters = dead_letters.of_keys(db, keys_of(workflow_id))
            if letters:
                given_up += control.give_up(
                    db, workflow_id, _why(letters[0].letter_id, dead_letters.last_words(letters[0]))
                )
            else:
                ask_to_advance(db, workflow_id)
                asked += 1
    return asked, given_up


def _stuck() -> Iterator[int]:
    last = 0
    while True:
        with reading() as db:
            found = list(db.scalars(_in_want().where(Workflow.workflow_id > last).limit(PAGE)))
            known = outbox.known(db, [key for one in found for key in keys_of(one)])
        if not found:
            return
        yield from (one for one in found if known.isdisjoint(keys_of(one)))
        last = found[-1]


def _in_want() -> Select[int]:
    """Workflows in which something has ended, is to be decided, or is to be tried again."""
    ended = ends.are_there(TASK, Workflow.workflow_id)
    mine = (Node.workflow_id == Workflow.workflow_id, Node.status == Status.RUNNING)
    dirty = exists().where(*mine, Node.is_dirty)
    due = exists().where(*mine, Node.retry_at < utc_now(-PATIENCE))
    wanted = or_(Workflow.status.in_((Status.RECEIVED, Status.KILLING)), ended, dirty, due)
    query = select(Workflow.workflow_id).where(Workflow.status.in_(GOING_ON), wanted)
    return query.order_by(Workflow.workflow_id)


def _why(letter_id: int, words: str) -> str:
    return f"it could not be advanced: {words} (dead letter {letter_id})"[:LONGEST]
