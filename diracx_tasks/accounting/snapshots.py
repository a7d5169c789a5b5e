"""Snapshots of the states of jobs: one for each 300 s, whoever takes it and however often."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from diracx_tasks.accounting.tables import StateBucket, StateCount
from diracx_tasks.core.database import changed, plain, utc_now
from diracx_tasks.core.many import insert_many
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import state_counts

SECONDS = 300
DAY = 86400
# A job's end is counted so many seconds later: until then its transaction may still be open.
SETTLED = timedelta(seconds=60)
# After a longer pause, ends before it are in no snapshot.
LONGEST = timedelta(hours=6)
# So many snapshots are forgotten at once.
AT_ONCE = 12
NAMES = (
    "Bucket",
    "Number",
    "VO",
    "Site",
    "Owner",
    "OwnerGroup",
    "JobType",
    "Status",
    "MinorStatus",
    "Jobs",
    "Reschedules",
)


class Snapshot(NamedTuple):
    """How many jobs of each kind were in each state, for a bucket."""

    at: datetime
    counts: Sequence[state_counts.StateCount]

    @property
    def jobs(self) -> int:
        """How many jobs were counted."""
        return sum(one.jobs for one in self.counts)


def bucket_of(moment: datetime) -> datetime:
    """The start of the 300 s that a time is in."""
    seconds = (moment.minute * 60 + moment.second) % SECONDS
    return moment - timedelta(seconds=seconds, microseconds=moment.microsecond)


def look(db: Session, moment: datetime) -> Snapshot | None:
    """The jobs as they are now, for the bucket of this moment; None when there is one already, or a later.

    Jobs that have not ended are all counted, ended ones in the snapshot after their end.
    """
    at = bucket_of(moment)
    last = db.scalar(select(func.max(StateBucket.at)))
    if last is not None and last >= at:
        return None
    since = max(last, at - LONGEST) if last else at - timedelta(seconds=SECONDS)
    ended = state_counts.ended(db, since - SETTLED, at - SETTLED)
    return Snapshot(at, [*state_counts.going_on(db), *ended])


def store(db: Session, found: Snapshot) -> bool:
    """Store a snapshot; False, and nothing has changed, when another has stored one of the same bucket."""
    bucket = {"at": found.at, "taken_at": utc_now(), "kinds": len(found.counts)}
    try:
        with db.begin_nested():
            db.execute(insert(StateBucket).values(**bucket))
    except IntegrityError:
        return False
    rows = [
        (found.at, number, *one.kind, one.jobs, one.reschedules) for number, one in enumerate(found.counts)
    ]
    insert_many(db, plain(StateCount), NAMES, rows)
    return True


def forget(db: Session) -> int:
    """Forget a few snapshots that are older than DIRACX_SNAPSHOT_DAYS, the oldest first; answers how many."""
    old = select(StateBucket.at).where(StateBucket.at < utc_now(-settings().snapshot_days * DAY))
    found = list(db.scalars(old.order_by(StateBucket.at).limit(AT_ONCE)))
    if found:
        changed(db, delete(StateCount).where(StateCount.at.in_(found)))
        changed(db, delete(StateBucket).where(StateBucket.at.in_(found)))
    return len(found)
