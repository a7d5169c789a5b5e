"""Periodic cleaning of logins and refresh tokens."""

from diracx_tasks.auth.clean import AT_ONCE, clean_flows, clean_tokens
from diracx_tasks.core.database import session
from diracx_tasks.engine.task import task


@task(size="small", priority="background", every=600)
def clean_logins() -> str:
    """Remove logins and refresh tokens that have expired, page by page until none is left."""
    totals = [0, 0]
    for number, clean in enumerate((clean_flows, clean_tokens)):
        found = AT_ONCE
        while found >= AT_ONCE:
            with session() as db:
                found = clean(db)
            totals[number] += found
    return f"{totals[0]} logins and {totals[1]} refresh tokens removed"
