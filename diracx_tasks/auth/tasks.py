"""Periodic cleaning of logins and refresh tokens."""

from diracx_tasks.auth.clean import AT_ONCE, clean_flows, clean_tokens
from diracx_tasks.core.database import session
from diracx_tasks.engine.task import task

PAGES = 100


@task(size="small", priority="background", every=3600)
def clean_logins() -> str:
    """Remove logins and refresh tokens that have expired, page by page."""
    totals = [0, 0]
    for number, clean in enumerate((clean_flows, clean_tokens)):
        for _ in range(PAGES):
            with session() as db:
                found = clean(db)
            totals[number] += found
            if found < AT_ONCE:
                break
    return f"{totals[0]} logins and {totals[1]} refresh tokens removed"
