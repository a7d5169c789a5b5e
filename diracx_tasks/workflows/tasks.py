"""The task that moves workflows."""

import time

from diracx_tasks.core.database import reading, session
from diracx_tasks.engine.task import task
from diracx_tasks.workflows import advance as advancing
from diracx_tasks.workflows import submit
from diracx_tasks.workflows.decide import decide
from diracx_tasks.workflows.look import look
from diracx_tasks.workflows.states import Status

# A wide workflow gives others their turn after so many seconds.
TURN = 20.0


@task(size="medium", priority="realtime", lock="workflow:{workflow_id}", timeout=300)
def advance(workflow_id: int) -> str:
    """Take note of ended jobs, release the steps whose inputs are complete, and end what is complete."""
    until, count = time.monotonic() + TURN, 0
    while time.monotonic() < until:
        with reading() as db:
            glance = look(db, workflow_id)
        if glance is None:
            return f"{count} changes"
        decision = decide(glance) if glance.node else None
        with session() as db:
            if decision:
                advancing.apply(db, glance.workflow, decision)
            elif glance.workflow.status == Status.KILLING:
                advancing.kill(db, glance.workflow)
            else:
                advancing.note_ended(db, glance.workflow)
        count += 1
    with session() as db:
        submit.ask_to_advance(db, workflow_id)
    return f"{count} changes, more to come"
