"""Periodic cleaning of storage elements."""

from diracx_tasks.core.database import session
from diracx_tasks.engine.task import task
from diracx_tasks.storage.write import clean

# Longer than any job takes from its first upload to its end.
UNCLAIMED_SECONDS = 3 * 86400.0
AT_ONCE = 500
PAGES = 50


@task(size="medium", priority="background", every=3600, timeout=1800)
def clean_storage() -> str:
    """Remove what was uploaded and never registered, or has been removed, three days ago."""
    total = 0
    for _ in range(PAGES):
        with session() as db:
            found = clean(db, UNCLAIMED_SECONDS, AT_ONCE)
        total += found
        if found < AT_ONCE:
            break
    return f"{total} looked at"
