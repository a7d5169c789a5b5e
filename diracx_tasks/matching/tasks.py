"""Tasks that keep the matcher's queue in step with the database."""

from diracx_tasks.core.database import reading
from diracx_tasks.engine.task import task
from diracx_tasks.matching import queue


@task(size="medium", priority="realtime", lock="task:matching.rebuild@{vo}", timeout=600)
def rebuild(vo: str) -> str:
    """Make a VO's queue in Redis from the database."""
    with reading() as db:
        return f"{queue.rebuild(db, vo)} jobs queued"


@task(every=10)
def expire_leases() -> str:
    """Return jobs that were taken from the queue and never claimed."""
    back = 0
    with reading() as db:
        for vo in queue.vos(db):
            back += queue.put_back(db, vo, queue.overdue_leases(vo))
    return f"{back} returned"


@task(size="medium", every=60, timeout=600)
def reconcile() -> str:
    """Bring what waits in the database and is missing in Redis back into the queue."""
    with reading() as db:
        return f"{sum(queue.rebuild(db, vo) for vo in queue.vos(db))} waiting"
