"""Who may use what, as DiracX tells it: the status for everybody, and over it that for the VO."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now
from diracx_tasks.core.settings import settings
from diracx_tasks.resources.tables import ResourceStatus, SiteStatus

# What was read is given out for so many seconds at most.
KEPT = 1.0
# Between two looks that are further apart, something may have been changed and changed back.
GAP = 2.0
ACCESS = {
    "ReadAccess": "read",
    "WriteAccess": "write",
    "CheckAccess": "check",
    "RemoveAccess": "remove",
}
ALL = {"all": "all"}
# Which resources a view shows and what the kinds of status are called in it; None stands for sites.
VIEWS: dict[str, tuple[str | None, dict[str, str]]] = {
    "storage": ("StorageElement", ACCESS),
    "compute": ("ComputeElement", ALL),
    "site": (None, ALL),
    "fts": ("FTS", ALL),
}
BAD = ("Banned", "Probing", "Error", "Unknown")


@dataclass(frozen=True)
class View:
    """The answer as JSON; its tag, which changes with it; the newest DateEffective.

    Since `since` this process has seen exactly this, looking every GAP seconds at least. `barred` has, for
    each kind of use, why a resource is not to be used so; also of those that the answer leaves out, as
    DiracX does, because not all of their uses have a status.
    """

    body: bytes
    tag: str
    modified: datetime | None
    since: datetime
    barred: Mapping[str, Mapping[str, str]]


@dataclass
class _Read:
    lock: threading.Lock
    view: View | None = None
    looked: float = 0
    until: float = 0


_READ: dict[tuple[str, str, str], _Read] = {}
_LOCK = threading.Lock()
_CHANGES = [0]


def view(name: str, vo: str, open_session: Callable[[], Session]) -> View:
    """What a VO sees; several who ask within a second are answered from one look at the database."""
    with _LOCK:
        read = _READ.setdefault((settings().database, name, vo), _Read(threading.Lock()))
    with read.lock:
        if read.view is None or time.monotonic() >= read.until:
            # From before the look: whoever changes something during it is seen within the time.
            began, before = time.monotonic(), read.view
            found = _look(open_session(), name, vo)
            is_same = before and (before.tag, before.barred) == (found.tag, found.barred)
            if before and is_same and began - read.looked < GAP:
                found = before
            read.view, read.looked, read.until = found, began, began + KEPT
        return read.view


def changes() -> int:
    """How often this process has been told that something was changed."""
    return _CHANGES[0]


def forget() -> None:
    """Look again at the next question."""
    with _LOCK:
        _CHANGES[0] += 1
        for read in _READ.values():
            read.until = 0


def is_unchanged(found: View, tags: str | None, since: datetime | None) -> bool:
    """Whether somebody has this already: tags as in If-None-Match; else a time as in If-Modified-Since.

    The time must be later than the newest DateEffective and than what this process has seen change: DIRAC
    leaves DateEffective alone when it changes a reason or deletes a row.
    """
    if tags is not None:
        given = {tag.strip().removeprefix("W/").strip('"') for tag in tags.split(",")}
        return "*" in given or found.tag in given
    if since is None or found.modified is None:
        return False
    return since > found.modified and (since - found.since).total_seconds() > KEPT


def _look(db: Session, name: str, vo: str) -> View:
    kind, access = VIEWS[name]
    table = SiteStatus if kind is None else ResourceStatus
    query = select(
        table.name, table.status_type, table.vo, table.status, table.reason, table.effective_at
    ).where(table.vo.in_(["", "all", vo]), table.status_type.in_(access))
    if kind is not None:
        query = query.where(ResourceStatus.kind == kind)
    # Databases may take VOs for the same that differ in capitals; we do not.
    visible = [row for row in db.execute(query.order_by(table.name)) if row.vo in ("", "all", vo)]
    told = _told_of_all(visible, access)
    body, barred = orjson.dumps(_whole(told, access)), _barred(told)
    modified = max((row.effective_at for row in visible), default=None)
    if modified is None:
        return View(body, f"empty-0-{vo}", None, now(), barred)
    digest = hashlib.sha256(body).hexdigest()[:16]
    return View(body, f"{modified.isoformat()}-{len(visible)}-{vo}-{digest}", modified, now(), barred)


def _told_of_all(rows: Sequence[Any], access: dict[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    # What is for everybody first: the VO's own goes over it.
    for row in sorted(rows, key=lambda row: row.vo not in ("", "all")):
        found.setdefault(row.name, {})[access[row.status_type]] = _told(row.status, row.reason)
    return found


def _whole(found: dict[str, dict[str, Any]], access: dict[str, str]) -> dict[str, dict[str, Any]]:
    names: Iterable[str] = access.values()
    whole = {name: kinds for name, kinds in found.items() if len(kinds) == len(access)}
    return {name: {kind: kinds[kind] for kind in names} for name, kinds in whole.items()}


def _barred(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    barred: dict[str, dict[str, str]] = {}
    for name, kinds in found.items():
        for kind, said in kinds.items():
            if not said["allowed"]:
                barred.setdefault(kind, {})[name] = said["reason"]
    return barred


def _told(status: str, reason: str) -> dict[str, Any]:
    if status in ("Active", "Degraded"):
        return {"allowed": True, "warnings": reason if status == "Degraded" else None}
    return {"allowed": False, "reason": reason if status in BAD else f"Unknown status: {status}"}
