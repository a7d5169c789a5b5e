"""Periodic cleaning of the sandbox store."""

from diracx_tasks.core.database import session
from diracx_tasks.engine.task import task
from diracx_tasks.sandboxes.assigned import find_orphans
from diracx_tasks.sandboxes.clean import clean
from diracx_tasks.sandboxes.store import DELETE_AT_ONCE

PAGES = 50


@task(size="medium", priority="background", every=3600, timeout=1800)
def clean_sandboxes() -> str:
    """Remove sandboxes that no job uses: at once when their job went, after DIRACX_SANDBOX_DAYS otherwise."""
    total = 0
    for _ in range(PAGES):
        with session() as db:
            found = clean(db)
        total += found
        if found < DELETE_AT_ONCE:
            break
    return f"{total} removed"


@task(size="medium", priority="background", cron="53 3 * * *", timeout=1800)
def find_unused() -> str:
    """Find sandboxes whose jobs were removed by others than us, page by page."""
    pages = 0
    reached: int | None = 0
    while reached is not None:
        with session() as db:
            reached = find_orphans(db, reached)
        pages += 1
    return f"{pages} pages looked at"
