"""Periodic cleaning of what was said of sites and resources."""

from diracx_tasks.core.database import session
from diracx_tasks.engine.task import task
from diracx_tasks.resources.clean import SPOKEN, forget


@task(priority="background", cron="29 4 * * *")
def forget_history() -> str:
    """Forget the statuses that sites and resources had three years ago, page by page."""
    total = 0
    for table in SPOKEN:
        found = 1
        while found:
            with session() as db:
                found = forget(db, table)
            total += found
    return f"{total} forgotten"
