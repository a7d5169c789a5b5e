"""Jobs that have been on hold for long: their owners may be able to mend what holds them."""

from collections.abc import Iterator

from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import Session

from diracx_tasks.core.database import utc_now
from diracx_tasks.jobs import groups
from diracx_tasks.notices.events import Event
from diracx_tasks.notices.note import About, note
from diracx_tasks.notices.tables import Notice, Wishes

# So long a job is held before its owner is told, and so long before he is told of its group again.
LONG = 3600
AGAIN = 86400
PAGE = 500
PREFIX = "held-"


def concerned(db: Session) -> Iterator[tuple[str, str]]:
    """VO and name of everybody who wants to know what needs him."""
    key = (Wishes.vo, Wishes.owner)
    reached = or_(Wishes.mail != "", Wishes.webhook != "")
    last: tuple[str, ...] = ("", "")
    query = select(*key, Wishes.events).where(reached).order_by(*key).limit(PAGE)
    while rows := db.execute(query.where(tuple_(*key) > last)).all():
        yield from ((vo, owner) for vo, owner, events in rows if Event.ATTENTION in events)
        last = tuple(rows[-1][:2])


def look(db: Session, vo: str, owner: str) -> int:
    """Note which groups of somebody's jobs have been on hold for long, each once a day; how many are new."""
    found = {one.group: one for one in reversed(groups.long_held(db, vo, owner, LONG))}
    subjects = {group: f"{PREFIX}{group}" for group in found}
    told = select(Notice.subject).where(
        Notice.vo == vo,
        Notice.owner == owner,
        Notice.subject.in_(subjects.values()),
        Notice.happened_at > utc_now(-AGAIN),
    )
    known = set(db.scalars(told)) if subjects else set()
    new = [one for group, one in found.items() if subjects[group] not in known]
    for one in new:
        jobs = f"{one.jobs} jobs have" if one.jobs > 1 else f"job {one.job_id} has"
        words = f"{jobs} been on hold for more than {LONG // 60} min: {one.reason}"
        first = f" (the first is job {one.job_id})" if one.jobs > 1 else ""
        note(db, Event.ATTENTION, About(vo, owner, subjects[one.group], one.group, "Checking", words + first))
    return len(new)
