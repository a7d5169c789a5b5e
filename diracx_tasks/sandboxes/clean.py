"""Removing files that nothing uses any more: first the object, then the row."""

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.settings import settings
from diracx_tasks.sandboxes.metadata import key_of
from diracx_tasks.sandboxes.store import DELETE_AT_ONCE, store
from diracx_tasks.sandboxes.tables import Mapping, Sandbox

DAY = 86400


def clean(db: Session) -> int:
    """Remove up to DELETE_AT_ONCE files: assigned once and to nothing now, or never and long unused."""
    unmapped = ~select(Mapping.sandbox_id).where(Mapping.sandbox_id == Sandbox.sandbox_id).exists()
    is_old = Sandbox.accessed_at < utc_now(-settings().sandbox_days * DAY)
    rows = db.execute(
        select(Sandbox.sandbox_id, Sandbox.pfn)
        .where(unmapped, or_(Sandbox.is_assigned, is_old))
        .order_by(Sandbox.sandbox_id)
        .limit(DELETE_AT_ONCE)
        .with_for_update()
    ).all()
    if rows:
        store().delete([key_of(row.pfn) for row in rows])
        changed(db, delete(Sandbox).where(Sandbox.sandbox_id.in_([row.sandbox_id for row in rows])))
    return len(rows)
