"""Steps that run although their jobs have ended, and of whose ends nobody will hear: told once more."""

from collections.abc import Iterator

from sqlalchemy import Integer, Select, select, type_coerce

from diracx_tasks.core.database import reading, session
from diracx_tasks.engine import repairs
from diracx_tasks.jobs import ends
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Node, Workflow

INVARIANT = "step_without_end"
# Workflows, and their steps, that are looked at together.
TOGETHER, AT_ONCE = 100, 500
GOING_ON = (Status.RECEIVED, Status.RUNNING)


def put_back() -> int:
    """Put the lost ends of steps' jobs into the journal, so that `workflows.advance` notes them; how many."""
    total = 0
    for workflow_ids in _going_on():
        count = AT_ONCE
        while count == AT_ONCE:
            with reading() as db:
                found = list(db.scalars(_lost(workflow_ids)))
            with session() as db:
                count = ends.put_back(db, found) if found else 0
                repairs.note(db, {INVARIANT: count})
            total += count
    return total


def _lost(workflow_ids: list[int]) -> Select[int]:
    """The jobs of such steps; a step that is put off goes on after its job.

    One statement, because a step ends in the transaction in which its job's end leaves the journal.
    """
    mine = (Node.workflow_id.in_(workflow_ids), Node.status == Status.RUNNING, Node.retry_at.is_(None))
    number = type_coerce(Node.job_id, Integer)
    return select(number).where(*mine, ends.is_unnoted(Node.job_id)).limit(AT_ONCE)


def _going_on() -> Iterator[list[int]]:
    last = 0
    while True:
        query = select(Workflow.workflow_id).where(Workflow.status.in_(GOING_ON), Workflow.workflow_id > last)
        with reading() as db:
            found = list(db.scalars(query.order_by(Workflow.workflow_id).limit(TOGETHER)))
        if not found:
            return
        yield found
        last = found[-1]
