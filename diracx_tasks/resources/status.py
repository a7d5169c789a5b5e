"""The status of sites and resources is set here, and what was said before is kept as DIRAC keeps it."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core.database import after_commit, changed, utc_now
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.resources import view
from diracx_tasks.resources.tables import (
    ResourceHistory,
    ResourceLog,
    ResourceStatus,
    SiteHistory,
    SiteLog,
    SiteStatus,
)

SITE = "Site"
EVERYBODY = "all"
STATUSES = ("Active", "Degraded", "Probing", "Banned", "Error", "Unknown")
Current = type[SiteStatus] | type[ResourceStatus]


@dataclass(frozen=True)
class Element:
    """What has a status: a site, or a resource of a kind (`StorageElement`, `ComputeElement`, `FTS`, ...).

    `status_type` is the kind of access to a storage element; `vo` is whom it concerns, by default everybody.
    """

    name: str
    kind: str
    status_type: str = "all"
    vo: str = EVERYBODY


def state(db: Session, element: Element, status: str, reason: str, *, by: str = "rs_svc") -> bool:
    """Set a status; False when it is the one in force for the same reason: only its check is noted then.

    Every change is a row of the log, and a change of the status itself one of the history as well.
    """
    _must_fit(element, status)
    now, log, history = _tables(element)
    key = _key(now, element)
    _make_place(db, now, element)
    row = db.execute(select(now.status, now.reason).where(*key).with_for_update()).one()
    said = {"status": status, "reason": reason[:512], "by": by[:16], "kind": element.kind}
    is_new = (row.status, row.reason) != (said["status"], said["reason"])
    times = {"checked_at": utc_now(), **({"effective_at": utc_now()} if row.status != status else {})}
    changed(db, update(now).where(*key).values({**said, **times}))
    who = {"name": element.name, "status_type": element.status_type, "vo": element.vo}
    moments = {"checked_at": utc_now(), "effective_at": utc_now()}
    for table in ((log,) if is_new else ()) + ((history,) if row.status != status else ()):
        db.execute(insert(table).values({**who, **said, **moments}))
    after_commit(db, view.forget)
    return is_new


def _must_fit(element: Element, status: str) -> None:
    if status not in STATUSES:
        raise BadRequest(f"{status!r} is no status of {element.name}: it is one of {', '.join(STATUSES)}")
    for value, most in ((element.name, 64), (element.kind, 32), (element.status_type, 128), (element.vo, 64)):
        if not 0 < len(value) <= most:
            raise BadRequest(f"{value!r} has {len(value)} characters: 1 to {most} are allowed")


def _tables(
    element: Element,
) -> tuple[Current, type[SiteLog] | type[ResourceLog], type[SiteHistory] | type[ResourceHistory]]:
    if element.kind == SITE:
        return SiteStatus, SiteLog, SiteHistory
    return ResourceStatus, ResourceLog, ResourceHistory


def _key(now: Current, element: Element) -> list[ColumnElement[bool]]:
    return [now.name == element.name, now.status_type == element.status_type, now.vo == element.vo]


def _make_place(db: Session, now: Current, element: Element) -> None:
    """A row without a status, unless there is one: of two who are first, the second finds the first's."""
    given = {
        "name": element.name,
        "status_type": element.status_type,
        "vo": element.vo,
        "effective_at": utc_now(),
    }
    if db.get_bind().dialect.name == "sqlite":
        db.execute(sqlite.insert(now).values(given).on_conflict_do_nothing())
    else:
        ignoring = insert(now).prefix_with("IGNORE", dialect="mysql").prefix_with("IGNORE", dialect="mariadb")
        db.execute(ignoring.values(given))
