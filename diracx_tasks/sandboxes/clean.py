"""Removing files that nothing uses any more: first the object, then the row."""

from sqlalchemy import delete, false, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.settings import settings
from diracx_tasks.sandboxes.metadata import key_of
from diracx_tasks.sandboxes.store import DELETE_AT_ONCE, store
from diracx_tasks.sandboxes.tables import Mapping, Sandbox

DAY = 86400


def clean(db: Session) -> int:
    """Remove up to DELETE_AT_ONCE files that nothing has, and that are long unused or lost their job."""
    # Assigned at this very moment, a file may still be marked as unused.
    unmapped = ~select(Mapping.sandbox_id).where(Mapping.sandbox_id == Sandbox.sandbox_id).exists()
    is_old = Sandbox.accessed_at < utc_now(-settings().sandbox_days * DAY)
    rows = db.execute(
        select(Sandbox.sandbox_id, Sandbox.pfn)
        # `IS false` would be looked for in every row, `= false` is in the index.
        .where(Sandbox.is_assigned == false(), is_old, unmapped)
        .order_by(Sandbox.accessed_at)
        .limit(DELETE_AT_ONCE)
        .with_for_update()
    ).all()
    if rows:
        store().delete([key_of(row.pfn) for row in rows])
        changed(db, delete(Sandbox).where(Sandbox.sandbox_id.in_([row.sandbox_id for row in rows])))
    return len(rows)
