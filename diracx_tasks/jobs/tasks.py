"""Tasks of the life of a job."""

from diracx_tasks.core.database import reading, session
from diracx_tasks.engine.task import task
from diracx_tasks.jobs import optimize as optimizing
from diracx_tasks.jobs import recover


@task(size="medium", priority="realtime", every=30)
def optimize() -> str:
    """Bring received jobs into the matcher's queue, batch by batch; the period is a safety net."""
    total = 0
    while True:
        with session() as db:
            found = optimizing.optimize(db)
        total += found
        if found < optimizing.BATCH:
            return f"{total} optimized"


@task(every=5)
def check_stalled() -> str:
    """Find jobs whose pilot has gone silent."""
    with reading() as db:
        found = recover.overdue(db)
    for job_id in found:
        with session() as db:
            recover.check(db, job_id)
    return f"{len(found)} overdue"
