"""The task that moves workflows."""

from diracx_tasks.core.database import session
from diracx_tasks.engine.task import task
from diracx_tasks.workflows import submit
from diracx_tasks.workflows.turn import turn

# A wide workflow gives others their turn after so many seconds.
TURN = 20.0


@task(size="medium", priority="realtime", lock="workflow:{workflow_id}", timeout=300)
def advance(workflow_id: int) -> str:
    """Take note of ended jobs, release the steps whose inputs are complete, and end what is complete."""
    done = turn(workflow_id, TURN)
    if done.more_in is not None:
        with session() as db:
            submit.ask_to_advance(db, workflow_id, delay=done.more_in)
    return f"{done.changes} changes" + ("" if done.more_in is None else f", more in {done.more_in:.0f} s")
