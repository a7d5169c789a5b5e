"""How a VO's queues stand: what waits and runs there, how fast pilots started lately, how many failed."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, case, func, not_, or_, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, database_time, utc_now
from diracx_tasks.pilots.register import ENDED
from diracx_tasks.pilots.tables import Pilot, PilotJob, Submission

PLANNED = "Planned"
# Before a pilot runs, in DIRAC's words.
WAITING = (PLANNED, "Submitted", "Ready", "Scheduled", "Waiting")
RUNNING = "Running"
HOUR = 3600.0
# What pilots that run took within so many seconds says how many jobs they will take.
RECENT = 120.0
MOST_STARTS = 5000
# A pilot that nobody needs is left where it is for so long: jobs may arrive.
KEPT_WAITING = 300.0
# What is taken for the wait of a queue of which little is known, and how many starts that counts.
USUAL_WAIT, PRIOR = 300.0, 2
# A pilot that has waited for longer is not counted on: another queue may be faster.
LATE_SECONDS = 600.0
Key = tuple[str, str]


@dataclass
class Standing:
    """Of one queue: the ages in seconds of pilots that have not begun, how many run, and what was lately.

    `waits` are the seconds that pilots of the last hour waited; `taken` counts the jobs that running pilots
    took after their first within RECENT, `starting` pilots began within that time and have had no job yet.
    `aborted` are those of the last hour that came to nothing.
    """

    ages: list[float] = field(default_factory=list)
    running: int = 0
    waits: list[float] = field(default_factory=list)
    taken: int = 0
    starting: int = 0
    aborted: int = 0

    @property
    def waiting(self) -> int:
        """Pilots that are planned, submitted or wait."""
        return len(self.ages)

    @property
    def wait(self) -> float:
        """The seconds that a new pilot is expected to wait: as lately, or as those that wait still."""
        known = (USUAL_WAIT * PRIOR + sum(self.waits)) / (PRIOR + len(self.waits))
        return max(known, sum(self.ages) / len(self.ages)) if self.ages else known

    @property
    def late(self) -> int:
        """Those that have waited for so long that others should come in their place."""
        return sum(age > LATE_SECONDS for age in self.ages)

    @property
    def is_stuck(self) -> bool:
        """Whether pilots are late and none has started within the hour."""
        return bool(self.late) and not self.waits

    @property
    def failing(self) -> float:
        """The part of the pilots of the last hour that came to nothing."""
        known = self.aborted + len(self.waits)
        return self.aborted / known if known else 0.0

    def surplus(self, unneeded: float, *, is_met: bool) -> int:
        """How many waiting pilots may be withdrawn when so many of those that are to come are not needed.

        Those that are not counted on may go when all jobs have others.
        """
        most = self.waiting if is_met else self.waiting - self.late
        count = unneeded + self.late if is_met else unneeded
        return min(int(count + 1e-6), most, sum(age > KEPT_WAITING for age in self.ages))

    @property
    def coming(self) -> int:
        """Pilots that are to have jobs and need not be planned: those that wait, and those that begin."""
        return self.waiting - self.late + self.starting

    def turns(self, processors: int) -> float:
        """Pilots' worth of jobs that running pilots will take until a new one could start."""
        return self.taken / RECENT * min(self.wait, LATE_SECONDS) / max(1, processors)


class _Age(NamedTuple):
    ce: str
    queue: str
    moment: datetime


def standings(db: Session, vo: str) -> dict[Key, Standing]:
    """How the queues stand to which pilots of a VO were sent; others are left out."""
    found: dict[Key, Standing] = defaultdict(Standing)
    now = database_time(db)
    for ce, queue, planned in _unstarted(db, vo):
        found[ce, queue].ages.append(max(0.0, (now - planned).total_seconds()))
    query = select(Pilot.destination, Pilot.queue, func.count())
    active = query.where(Pilot.vo == vo, Pilot.status.not_in((*ENDED, *WAITING)))
    for ce, queue, count in db.execute(active.group_by(Pilot.destination, Pilot.queue)):
        found[ce, queue].running = count
    columns = (Submission.ce, Submission.queue, Submission.planned_at, Submission.started_at)
    started = select(*columns).where(Submission.vo == vo, Submission.started_at > utc_now(-HOUR))
    good = started.join(Pilot, Pilot.stamp == Submission.stamp).where(not_(came_to_nothing()))
    newest = good.order_by(Submission.started_at.desc()).limit(MOST_STARTS)
    for ce, queue, planned, moment in db.execute(newest):
        found[ce, queue].waits.append(max(0.0, ((moment or now) - planned).total_seconds()))
    aborted = query.where(Pilot.vo == vo, came_to_nothing(), Pilot.updated_at > utc_now(-HOUR))
    for ce, queue, count in db.execute(aborted.group_by(Pilot.destination, Pilot.queue)):
        found[ce, queue].aborted = count
    for ce, queue, taken, starting in _busy(db, vo):
        found[ce, queue].taken, found[ce, queue].starting = int(taken or 0), int(starting or 0)
    return dict(found)


def came_to_nothing() -> ColumnElement[bool]:
    """Pilots that were aborted, or that failed before they had a job: how they began says nothing good."""
    return or_(Pilot.status == "Aborted", (Pilot.status == "Failed") & (Pilot.initial_job == 0))


def note_starts(db: Session, vo: str) -> int:
    """Note of pilots of which was heard within the hour that they began; answers how many.

    Twice is harmless.
    """
    begun = (
        select(Submission.stamp)
        .join(Pilot, Pilot.stamp == Submission.stamp)
        .where(Submission.vo == vo, Submission.started_at.is_(None), Submission.claim.is_not(None))
        .where(Pilot.vo == vo, Pilot.status.in_((RUNNING, "Done", "Failed")))
        # Most of a month's pilots have been noted: only who moved lately is looked at.
        .where(Pilot.updated_at > utc_now(-HOUR))
    )
    stamps = list(db.scalars(begun.limit(MOST_STARTS)))
    if not stamps:
        return 0
    fresh = update(Submission).where(Submission.stamp.in_(stamps), Submission.started_at.is_(None))
    return changed(db, fresh.values(started_at=utc_now()))


def _unstarted(db: Session, vo: str) -> Iterable[_Age]:
    """Pilots that have not begun; of those that others have sent since when they are known."""
    since = func.coalesce(Submission.planned_at, Pilot.submitted_at, Pilot.updated_at, utc_now())
    query = select(Pilot.destination, Pilot.queue, since).outerjoin(
        Submission, Submission.stamp == Pilot.stamp
    )
    rows = db.execute(query.where(Pilot.vo == vo, Pilot.status.in_(WAITING)))
    return (_Age(ce, queue, _moment(moment)) for ce, queue, moment in rows)


def _moment(value: datetime | str) -> datetime:
    # SQLite tells no types of what it has worked out.
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _busy(db: Session, vo: str) -> Iterable[tuple[str, str, int, int]]:
    """By queue: how many further jobs running pilots took just now, and how many pilots have just begun."""
    lately = utc_now(-RECENT)
    job = (PilotJob.pilot_id == Pilot.pilot_id) & (PilotJob.started_at > lately)
    begun = (Submission.stamp == Pilot.stamp) & (Submission.started_at > lately)
    taken = func.sum(case((PilotJob.job_id != Pilot.initial_job, 1), else_=0))
    starting = func.sum(case((Submission.stamp.is_not(None) & (Pilot.initial_job == 0), 1), else_=0))
    query = select(Pilot.destination, Pilot.queue, taken, starting).outerjoin(PilotJob, job)
    where = (Pilot.vo == vo, Pilot.status == RUNNING, Pilot.updated_at > lately)
    rows = db.execute(
        query.outerjoin(Submission, begun).where(*where).group_by(Pilot.destination, Pilot.queue)
    )
    return ((row[0], row[1], row[2], row[3]) for row in rows)
