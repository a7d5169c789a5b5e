"""Groups of jobs whose end somebody wants to hear of: looked at from time to time, told once."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.errors import Conflict, NotFound
from diracx_tasks.jobs import groups
from diracx_tasks.notices.events import Event
from diracx_tasks.notices.note import About, note
from diracx_tasks.notices.tables import Watch, Wishes
from diracx_tasks.notices.wishes import must_have

# Each is looked at every minute.
MOST = 20
PAGE = 500


class Watched(NamedTuple):
    """A group, and who wants to hear of its end."""

    vo: str
    owner: str
    group: str


def watch(db: Session, group: str, *, by: User) -> None:
    """Have a user told when his jobs of a group have all ended; twice is harmless.

    NotFound when he has none there, Conflict beyond MOST groups or without a way to tell him.
    """
    wishes: Wishes = must_have(db, by)
    if not wishes.mail and not wishes.webhook:
        raise Conflict("there is nowhere to tell you: no confirmed mail address, and no webhook")
    if not groups.has_any(db, by.vo, by.name, group):
        raise NotFound(f"{by.name} has no jobs in the group {group!r}")
    mine = (Watch.vo == by.vo, Watch.owner == by.name, Watch.group != group)
    if (count := db.scalar(select(func.count()).select_from(Watch).where(*mine)) or 0) >= MOST:
        raise Conflict(f"{count} groups of jobs are watched for {by.name}: {MOST} are allowed")
    # The user's row is held: two of his requests do not meet here.
    if db.get(Watch, (by.vo, by.name, group)) is None:
        db.add(Watch(vo=by.vo, owner=by.name, group=group, asked_at=utc_now()))
        db.flush()


def stop(db: Session, group: str, *, by: User) -> None:
    """Say nothing of a group any more; twice is harmless."""
    changed(db, delete(Watch).where(*_the(Watched(by.vo, by.name, group))))


def watched(db: Session) -> Iterator[Watched]:
    """All groups that are watched, page by page."""
    key = (Watch.vo, Watch.owner, Watch.group)
    last: tuple[str, ...] = ("", "", "")
    while rows := db.execute(select(*key).where(tuple_(*key) > last).order_by(*key).limit(PAGE)).all():
        yield from (Watched(*row) for row in rows)
        last = tuple(rows[-1])


def look(db: Session, one: Watched) -> bool:
    """Have a group's end told if it has ended, and watch it no more; whether it has."""
    counts = groups.ended(db, one.vo, one.owner, one.group)
    if counts is None:
        return False
    # Of two that look at once, one finds the row gone.
    if changed(db, delete(Watch).where(*_the(one))):
        is_good = set(counts) <= {"Done"}
        status = "Done" if is_good else "Failed" if "Failed" in counts else "Killed"
        words = "" if counts else "its jobs are gone"
        about = About(one.vo, one.owner, f"group-{one.group}", one.group, status, words)
        note(db, Event.JOBS, about)
    return True


def _the(one: Watched) -> tuple[ColumnElement[bool], ...]:
    return Watch.vo == one.vo, Watch.owner == one.owner, Watch.group == one.group
