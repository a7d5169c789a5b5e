"""Cleaning: what is used stays, what is not used goes with its file."""

from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import utc_now
from diracx_tasks.core.errors import Forbidden
from diracx_tasks.sandboxes import assigned, metadata
from diracx_tasks.sandboxes.clean import clean
from diracx_tasks.sandboxes.metadata import Owner
from diracx_tasks.sandboxes.store import FolderStore, store
from diracx_tasks.sandboxes.tables import Mapping, Sandbox
from tests.builders import HEX, VO

ALICE = Owner("alice", "user", VO)


def a_sandbox(db: Session, checksum: str = HEX, *, days: float = 0, used_by: str = "") -> str:
    """The location of a stored file that was last used so many days ago."""
    grant = metadata.initiate(db, ALICE, checksum=checksum, size=3)
    path_of(grant["pfn"]).parent.mkdir(parents=True, exist_ok=True)
    path_of(grant["pfn"]).write_bytes(b"hey")
    location = metadata.location_of(grant["pfn"])
    if used_by:
        metadata.assign(db, used_by, [location], "Input")
    pfn = location.removeprefix("sandbox:")
    db.execute(update(Sandbox).where(Sandbox.pfn == pfn).values(accessed_at=utc_now(-days * 86400)))
    return location


def path_of(pfn: str) -> Path:
    found = store()
    assert isinstance(found, FolderStore)
    return found.folder / metadata.key_of(pfn.removeprefix("SB:SandboxSE|").removeprefix("sandbox:"))


def left(db: Session) -> list[str]:
    return [f"sandbox:{pfn}" for pfn in db.scalars(select(Sandbox.pfn).order_by(Sandbox.sandbox_id))]


def test_what_a_job_uses_stays_however_old(db: Session) -> None:
    used = a_sandbox(db, days=1000, used_by="Job:1")
    assert clean(db) == 0
    assert left(db) == [used] and path_of(used).exists()


def test_what_nothing_uses_any_more_goes_at_once_with_its_file(db: Session) -> None:
    gone = a_sandbox(db, used_by="Job:1")
    assigned.forget(db, ["Job:1"])
    assert clean(db) == 1
    assert left(db) == [] and not path_of(gone).exists()


def test_what_was_never_used_goes_after_a_while(db: Session) -> None:
    young, old = a_sandbox(db, "a" * 64, days=14), a_sandbox(db, "b" * 64, days=16)
    assert clean(db) == 1
    assert left(db) == [young] and not path_of(old).exists()


def test_a_row_whose_file_never_came_goes_as_well(db: Session) -> None:
    path_of(a_sandbox(db, days=16)).unlink()
    assert clean(db) == 1 and left(db) == []


def test_what_two_entities_use_stays_until_both_are_gone(db: Session) -> None:
    shared = a_sandbox(db, used_by="Job:1")
    metadata.assign(db, "Workflow:2", [shared, shared], "Input")
    metadata.assign(db, "Workflow:2", [shared], "Input")
    assigned.forget(db, ["Job:1"])
    assert clean(db) == 0
    assigned.forget(db, ["Workflow:2"])
    assert clean(db) == 1


def test_what_jobs_have_let_go_that_are_still_there_stays_for_a_while(db: Session) -> None:
    kept = a_sandbox(db, "a" * 64, used_by="Job:1")
    a_sandbox(db, "b" * 64, used_by="Job:1", days=16)
    assigned.unassign(db, [1])
    assert clean(db) == 1 and left(db) == [kept]


def test_what_lost_its_job_to_somebody_else_is_found(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assigned, "PAGE", 2)
    files = [a_sandbox(db, letter * 64, used_by=f"Job:{letter}") for letter in "abc"]
    young = a_sandbox(db, "d" * 64)
    db.execute(delete(Mapping).where(Mapping.entity != "Job:b"))
    assert clean(db) == 0
    reached: int | None = 0
    while reached is not None:
        reached = assigned.find_orphans(db, reached)
    assert clean(db) == 2 and left(db) == [files[1], young]


def test_a_file_that_is_announced_again_is_young_again(db: Session) -> None:
    a_sandbox(db, days=16)
    metadata.initiate(db, ALICE, checksum=HEX, size=3)
    assert clean(db) == 0


def test_a_foreign_file_is_refused_by_its_name_alone(db: Session) -> None:
    location = f"sandbox:/S3/local/{VO}/user/bob/sha256:{HEX}.file"
    with pytest.raises(Forbidden, match="must start with"):
        metadata.refuse_foreign([location], ALICE)
    with pytest.raises(Forbidden):
        metadata.contents(location, ALICE)
    metadata.refuse_foreign(["bundle:x", "http://x"], ALICE)
