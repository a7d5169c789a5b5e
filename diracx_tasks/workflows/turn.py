"""Moving one workflow as far as it goes, in steps of one transaction each."""

import time
from contextlib import closing
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, reading, session
from diracx_tasks.workflows import advance
from diracx_tasks.workflows.ahead import Ahead
from diracx_tasks.workflows.decide import decide
from diracx_tasks.workflows.look import Glance, Task, look
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Node


class Turn(NamedTuple):
    """How many changes were made, and in how many seconds there is more to do; None: when something ends."""

    changes: int
    more_in: float | None


def turn(workflow_id: int, seconds: float) -> Turn:
    """Take note of ended jobs, release the steps whose inputs are complete, and end what is complete."""
    until, changes = time.monotonic() + seconds, 0
    with closing(Ahead()) as ahead:
        while time.monotonic() < until:
            with reading() as db:
                glance = look(db, workflow_id)
                if glance is None:
                    return Turn(changes, _next_try(db, workflow_id))
            _step(glance, ahead)
            changes += 1
    return Turn(changes, 0)


def _step(glance: Glance, ahead: Ahead) -> None:
    if glance.task is not Task.DECIDE:
        carry_out = {
            Task.NOTE_ENDED: advance.note_ended,
            Task.KILL: advance.kill,
            Task.RETRY: advance.retry,
        }[glance.task]
        with session() as db:
            carry_out(db, glance.workflow)
        return
    slots = ahead.take(glance)
    ahead.begin(glance)
    decision = decide(glance, slots)
    with session() as db:
        advance.apply(db, glance.workflow, decision)


def _next_try(db: Session, workflow_id: int) -> float | None:
    query = select(func.min(Node.retry_at)).where(
        Node.workflow_id == workflow_id, Node.retry_at.is_not(None), Node.status == Status.RUNNING
    )
    at = db.scalar(query)
    return None if at is None else max(1.0, (at - now()).total_seconds() + 1)
