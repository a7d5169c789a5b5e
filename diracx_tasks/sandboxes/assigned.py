"""Which sandboxes belong to a job, and whether one still belongs to any."""

from collections.abc import Collection
from collections.abc import Mapping as Mapping_
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.sandboxes import metadata
from diracx_tasks.sandboxes.metadata import SE, Owner
from diracx_tasks.sandboxes.tables import Mapping, Sandbox

KINDS = ("Input", "Output")
PAGE = 900
# What is so old is cleaned next.
UNUSED = {"is_assigned": False, "accessed_at": datetime(1970, 1, 1)}


def of_job(db: Session, job_id: int) -> dict[str, list[str]]:
    """PFNs of a job's sandboxes, without the storage element, by kind."""
    query = (
        select(Mapping.kind, Sandbox.pfn)
        .join(Sandbox, Sandbox.sandbox_id == Mapping.sandbox_id)
        .where(Mapping.entity == f"Job:{job_id}")
        .order_by(Sandbox.sandbox_id)
    )
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for kind, pfn in db.execute(query):
        found.setdefault(kind, []).append(pfn)
    return found


def assign_output(db: Session, job_id: int, pfn: str, owner: Owner, *, is_admin: bool = False) -> None:
    """Make a stored sandbox of this owner an output of a job; an administrator may take any of his VO."""
    metadata.refuse_foreign([metadata.named(pfn)], owner, is_admin=is_admin)
    plain = metadata.plain(pfn)
    query = select(Sandbox.sandbox_id).where(Sandbox.se_name == SE, Sandbox.pfn == plain)
    sandbox_id = db.scalar(query)
    if sandbox_id is None:
        raise BadRequest("Sandbox not found")
    taken = select(Mapping.entity).where(
        Mapping.sandbox_id == sandbox_id, Mapping.entity == f"Job:{job_id}", Mapping.kind == "Output"
    )
    if db.execute(taken).first():
        raise BadRequest("Sandbox already assigned")
    metadata.assign(db, f"Job:{job_id}", [metadata.named(pfn)], "Output")


def unassign(db: Session, job_ids: Collection[int]) -> None:
    """Take all sandboxes from jobs; those of no other job or workflow are cleaned when they are old."""
    _unassign(db, [f"Job:{job_id}" for job_id in job_ids], {"is_assigned": False})


def forget(db: Session, entities: Collection[str]) -> None:
    """Take all sandboxes from jobs (`Job:42`) and workflows (`Workflow:7`) that are removed.

    Those of nobody else are cleaned at once: nobody waits to use them again.
    """
    _unassign(db, entities, UNUSED)


def find_orphans(db: Session, after: int) -> int | None:
    """Have sandboxes cleaned whose jobs DIRAC has removed: a page of those with numbers above `after`.

    Answers how far it has come, None at the end.
    """
    page = select(Sandbox.sandbox_id).where(Sandbox.sandbox_id > after).order_by(Sandbox.sandbox_id)
    ids = list(db.scalars(page.limit(PAGE)))
    mapped = select(Mapping.sandbox_id).where(Mapping.sandbox_id == Sandbox.sandbox_id).exists()
    orphans = select(Sandbox.sandbox_id).where(Sandbox.sandbox_id.in_(ids), Sandbox.is_assigned, ~mapped)
    if found := list(db.scalars(orphans)):
        changed(db, update(Sandbox).where(Sandbox.sandbox_id.in_(found)).values(UNUSED))
    return ids[-1] if len(ids) == PAGE else None


def _unassign(db: Session, entities: Collection[str], values: Mapping_[str, Any]) -> None:
    ids = set(db.scalars(select(Mapping.sandbox_id).where(Mapping.entity.in_(entities))))
    if not ids:
        return
    changed(db, delete(Mapping).where(Mapping.entity.in_(entities)))
    kept = set(db.scalars(select(Mapping.sandbox_id).where(Mapping.sandbox_id.in_(ids))))
    changed(db, update(Sandbox).where(Sandbox.sandbox_id.in_(ids - kept)).values(values))
