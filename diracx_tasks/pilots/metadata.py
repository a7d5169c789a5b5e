"""What is known of pilots is corrected: by an administrator of many, by a pilot of itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import case, literal, select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.errors import Forbidden, NotFound
from diracx_tasks.jobs import recover
from diracx_tasks.pilots.register import ENDED, must_be
from diracx_tasks.pilots.tables import Pilot

COLUMNS = {
    "StatusReason": Pilot.reason,
    "Status": Pilot.status,
    "BenchMark": Pilot.benchmark,
    "DestinationSite": Pilot.destination,
    "Queue": Pilot.queue,
    "GridSite": Pilot.site,
    "GridType": Pilot.grid_type,
    "AccountingSent": Pilot.accounted,
    "CurrentJobID": Pilot.current_job,
}
# Each pilot of a statement is one branch of a CASE, which the database looks through for each row.
PAGE = 500


def correct(db: Session, updates: Mapping[str, Mapping[str, Any]], *, by: User) -> None:
    """Set columns (DIRAC's names) of pilots (by stamp): all of them or none.

    A pilot that has ended does not take that back: its status and the reason stay. NotFound when there is no
    such pilot, Forbidden when one is of another VO or somebody else.
    """
    if SERVICE not in by.properties and len(updates) > 1:
        raise Forbidden("Insufficient permissions to modify more than one pilot.")
    for stamp in updates:
        must_be(by, stamp)
    held = _held(db, updates, by)
    stated = {number: _allowed(updates[stamp], status, by) for number, (stamp, status) in held.items()}
    changes = {number: change for number, change in stated.items() if change}
    for page in _pages(sorted(changes)):
        _write(db, {number: changes[number] for number in page})
    gone = [
        stamp
        for stamp, change in updates.items()
        if change.get("Status") in ENDED and (SERVICE in by.properties or stamp == by.pilot_stamp)
    ]
    if gone:
        # What they held goes to other pilots at once, not when its heartbeats have been missed.
        recover.pilots_ended(db, by.vo, gone)


def _allowed(change: Mapping[str, Any], status: str, by: User) -> Mapping[str, Any]:
    if SERVICE in by.properties or status not in ENDED:
        return change
    return {name: value for name, value in change.items() if name not in ("Status", "StatusReason")}


def _held(db: Session, updates: Mapping[str, Any], by: User) -> dict[int, tuple[str, str]]:
    """The pilots' numbers with stamps and statuses; their rows are held until the transaction ends."""
    given = {stamp.lower(): stamp for stamp in updates}
    columns = (Pilot.pilot_id, Pilot.stamp, Pilot.vo, Pilot.status)
    query = select(*columns).where(Pilot.stamp.in_(list(updates)))
    # In one order everywhere, or two who correct the same pilots could wait for each other.
    rows = db.execute(query.order_by(Pilot.pilot_id).with_for_update()).all()
    if any(row.vo != by.vo for row in rows):
        raise Forbidden("Insufficient permissions to access all of the provided pilots.")
    # Databases that take letters for the same which Python does not may find more than was asked for.
    known = [row for row in rows if row.stamp.lower() in given]
    found = {row.pilot_id: (given[row.stamp.lower()], row.status) for row in known}
    if {stamp for stamp, _ in found.values()} != set(updates):
        raise NotFound("At least one pilot does not exist.")
    return found


def _pages(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), PAGE):
        yield numbers[start : start + PAGE]


def _write(db: Session, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """One UPDATE, in which each pilot may have other columns and values."""
    values: dict[Any, Any] = {Pilot.updated_at: utc_now()}
    for name in sorted({name for change in changes.values() for name in change}):
        column = COLUMNS[name]
        branches = [
            (Pilot.pilot_id == number, literal(_stored(change[name]), column.type))
            for number, change in changes.items()
            if name in change
        ]
        values[column] = case(*branches, else_=column)
    changed(db, update(Pilot).where(Pilot.pilot_id.in_(changes)).values(values))


def _stored(value: Any) -> Any:
    return str(value) if isinstance(value, bool) else value
