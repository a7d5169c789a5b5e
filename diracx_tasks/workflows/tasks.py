"""The tasks that move workflows."""

import time
from functools import partial

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from diracx_tasks.core.database import session
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.engine import dead_letters
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.task import task
from diracx_tasks.workflows import lost_ends, submit
from diracx_tasks.workflows import purge as purging
from diracx_tasks.workflows import sweep as sweeping
from diracx_tasks.workflows.turn import turn

# A wide workflow gives others their turn after so many seconds.
TURN = 20.0
# What is not the workflow's fault: a machine with too much to do, a database that restarts.
PATIENT = Backoff(first=2, times=200, cap=60)
# After some two hours the workflow ends as Failed: time to mend what was deployed.
RETRY = Backoff(times=30, by_class=dict.fromkeys((Unavailable, OperationalError, NoConnection), PATIENT))


@task(
    size="medium",
    priority="realtime",
    lock="workflow:{workflow_id}",
    timeout=300,
    retry=RETRY,
)
def advance(workflow_id: int) -> str:
    """Take note of ended jobs, release the steps whose inputs are complete, and end what is complete."""
    done = turn(workflow_id, TURN)
    with session() as db:
        # What was dead has been done now.
        dead_letters.supersede(db, submit.keys_of(workflow_id), by="workflows.advance")
        if done.more_in is not None:
            submit.ask_to_advance(db, workflow_id, delay=done.more_in)
    return f"{done.changes} changes" + ("" if done.more_in is None else f", more in {done.more_in:.0f} s")


@task(size="medium", every=300)
def sweep() -> str:
    """Find workflows that nothing moves; those whose `advance` is a dead letter end as Failed."""
    # First: what is stuck must not wait for a look at all steps that run.
    asked, given_up = sweeping.sweep()
    lost = lost_ends.put_back()
    return f"{asked} asked for again, {given_up} given up, {lost} ends put back"


@task(size="medium", priority="background", every=600, per_vo=True)
def purge(vo: str) -> str:
    """Find a VO's old workflows and have them cleared, page by page."""
    total, found, until = 0, purging.AT_ONCE, time.monotonic() + TURN
    while found == purging.AT_ONCE and time.monotonic() < until:
        with session() as db:
            found = patiently(db, partial(purging.purge, db, vo))
        total += found
    return f"{total} to be cleared"


@task(size="medium", priority="background", lock="workflow:{workflow_id}")
def clear(workflow_id: int) -> str:
    """Remove what a workflow that is gone has left, page by page; it comes again while there is more."""
    reached: int | None = 0
    pages, until = 0, time.monotonic() + TURN
    while reached is not None and time.monotonic() < until:
        with session() as db:
            reached = patiently(db, partial(purging.clear, db, workflow_id, reached))
        pages += 1
    if reached is not None:
        with session() as db:
            purging.ask_to_clear(db, workflow_id)
    return f"{pages} pages" + ("" if reached is None else ", more to come")
