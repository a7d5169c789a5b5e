"""Recent use: core seconds by hour, group, owner and job type, of attempts that have ended."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, database_time, plain, utc_now
from diracx_tasks.jobs.use import Position, ended_since
from diracx_tasks.matching.tables import Cursor, Use

PAGE = 2000
DAY = 86400
# What ended longer ago is forgotten; no slice of time that corrects shares is longer.
KEPT = 30 * DAY
# Ends are counted so many seconds later: until then a transaction that ended an attempt may still be open.
SETTLED = 120
Kind = tuple[datetime, str, str, str]


def count(db: Session, vo: str) -> int:
    """Add a page of ended attempts to what was used, each exactly once; answers how many there were.

    Attempts are taken in the order in which they ended, two minutes late: an end that is committed later than
    that is not counted. The cursor moves in the same transaction, also when there were none: what other VOs
    ended is not read again.
    """
    cursor = _cursor(db, vo)
    settled = database_time(db) - timedelta(seconds=SETTLED)
    ended = ended_since(db, vo, cursor, PAGE, until=settled)
    used: Counter[Kind] = Counter()
    for one in ended:
        hour = one.ended_at.replace(minute=0, second=0, microsecond=0)
        used[hour, one.group, one.owner, one.job_type] += round(one.seconds * one.cores)
    if used:
        _add(db, vo, used)
    last = ended[-1].position if ended else cursor
    reached = last if len(ended) == PAGE else max(last, Position(settled))
    names = zip(("ended_at", "job_id", "attempt"), reached, strict=True)
    changed(db, update(Cursor).where(Cursor.vo == vo).values(dict(names)))
    return len(ended)


def recent(db: Session, vo: str, seconds: float) -> dict[tuple[str, str], int]:
    """Core seconds that were used in the last so many seconds, to the hour: (group, owner) -> how many."""
    query = select(Use.group, Use.owner, func.sum(Use.seconds)).where(
        Use.vo == vo, Use.hour >= utc_now(-seconds - 3600)
    )
    rows = db.execute(query.group_by(Use.group, Use.owner))
    return {(group, owner): int(total) for group, owner, total in rows}


def forget(db: Session, vo: str) -> int:
    """Forget what was used more than 30 days ago; answers how many rows."""
    return changed(db, delete(Use).where(Use.vo == vo, Use.hour < utc_now(-KEPT)))


def _cursor(db: Session, vo: str) -> Position:
    """How far was counted; the row is held, so that of two who count one waits."""
    query = select(Cursor.ended_at, Cursor.job_id, Cursor.attempt).where(Cursor.vo == vo).with_for_update()
    row = db.execute(query).one_or_none()
    if row is None:
        start = database_time(db) - timedelta(seconds=KEPT)
        first = {"VO": vo, "EndedAt": start, "JobID": 0, "Attempt": 0}
        made: Any = insert(plain(Cursor))
        if db.get_bind().dialect.name != "sqlite":
            # Two may be first; on SQLite there is one writer at a time.
            made = made.prefix_with("IGNORE")
        db.execute(made, first)
        row = db.execute(query).one()
    return Position(*row)


def _add(db: Session, vo: str, used: Mapping[Kind, int]) -> None:
    names = ("Hour", "OwnerGroup", "Owner", "JobType")
    # In one order, or two transactions would wait for each other.
    rows = [
        {"VO": vo, **dict(zip(names, kind, strict=True)), "Seconds": seconds}
        for kind, seconds in sorted(used.items())
    ]
    total = plain(Use).c.Seconds
    if db.get_bind().dialect.name == "sqlite":
        made = sqlite.insert(plain(Use))
        more = {"Seconds": total + made.excluded.Seconds}
        db.execute(made.on_conflict_do_update(index_elements=["VO", *names], set_=more), rows)
    else:
        stated = mysql.insert(plain(Use))
        db.execute(stated.on_duplicate_key_update(Seconds=total + stated.inserted.Seconds), rows)
