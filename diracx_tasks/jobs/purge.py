"""Old jobs: page by page, the oldest first, each page and how far it has come in one transaction.

What belongs to a workflow or a transformation is passed over: its owner removes it.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core import operations
from diracx_tasks.core.database import changed, database_time, utc_now
from diracx_tasks.core.unless_there import add_unless_there
from diracx_tasks.jobs import control, to_count
from diracx_tasks.jobs.remove import PAGE, forget_heartbeats, newest, remove
from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.tables import Cleaned, Job, Payload

DAY = 86400
# A pilot may still speak of a job for so many seconds.
NEWS_SECONDS = 3600
# What was passed over is looked at again so many seconds later: the configuration may say otherwise.
AGAIN_SECONDS = DAY
LONG_AGO = datetime(1970, 1, 1)
ENDINGS = (Status.DONE, Status.KILLED, Status.FAILED)


class Deed(StrEnum):
    """What is done to old jobs."""

    REMOVE = "remove"
    FORGET_BEATS = "forget beats"
    KILL = "kill"


class Rule(NamedTuple):
    """What is done to a VO's jobs of a status to which nothing has happened for so many seconds."""

    vo: str
    deed: Deed
    status: Status
    seconds: float


class Page(NamedTuple):
    """How many jobs something was done to, and whether there may be more."""

    changed: int
    is_full: bool


def rules(vo: str) -> list[Rule]:
    """What is done to a VO's jobs, as its configuration says; Deleted ones go in any case."""
    cleaning = operations.job_cleaning(vo)
    days, beats = cleaning.RemoveStatusDelay, cleaning.RemoveStatusDelayHB
    found = [Rule(vo, Deed.REMOVE, Status.DELETED, NEWS_SECONDS)]
    found += [Rule(vo, Deed.REMOVE, one, delay) for one, delay in delays(vo).items()]
    for status in ENDINGS:
        if (kept := getattr(beats, status.value)) >= 0:
            found.append(Rule(vo, Deed.FORGET_BEATS, status, max(kept * DAY, NEWS_SECONDS)))
    if days.Any >= 0:
        unended = [status for status in Status if status not in FINAL]
        found += [Rule(vo, Deed.KILL, one, max(days.Any * DAY, NEWS_SECONDS)) for one in unended]
    return found


def delays(vo: str) -> dict[Status, float]:
    """After how many seconds what has ended so is removed; what is kept for ever is left out."""
    days = operations.job_cleaning(vo).RemoveStatusDelay
    stated = {one: [delay for delay in (getattr(days, one.value), days.Any) if delay >= 0] for one in ENDINGS}
    return {one: max(min(found) * DAY, NEWS_SECONDS) for one, found in stated.items() if found}


def purge(db: Session, rule: Rule) -> Page:
    """Do what the rule says to the next page of jobs; twice is harmless."""
    reached = _reached(db, rule)
    rows = db.execute(_old(rule, reached).limit(PAGE)).all()
    if not rows:
        return Page(0, False)
    others = operations.data_processing_types(rule.vo) if rule.status is not Status.DELETED else frozenset()
    free = [row.job_id for row in rows if row.owner_task is None and row.job_type not in others]
    done = _do(db, rule, free)
    values = {"reached": rows[-1].updated_at, "number": rows[-1].job_id}
    changed(db, update(Cleaned).where(*_place(rule)).values(values))
    return Page(done, len(rows) == PAGE)


def told(done: Mapping[Deed, int]) -> str:
    """What was done in words: `900 removed, heartbeats of 0 forgotten, 0 killed`."""
    beats = f"heartbeats of {done[Deed.FORGET_BEATS]} forgotten"
    return f"{done[Deed.REMOVE]} removed, {beats}, {done[Deed.KILL]} killed"


def _do(db: Session, rule: Rule, job_ids: list[int]) -> int:
    # Read again under lock: a job that is rescheduled or deleted meanwhile has another status.
    held = select(Job.job_id).where(Job.job_id.in_(job_ids), Job.status == rule.status)
    mine = list(db.scalars(held.order_by(Job.job_id).with_for_update())) if job_ids else []
    if rule.deed is Deed.KILL:
        return control.kill_all(db, mine, f"after {rule.seconds / DAY:g} days as {rule.status}")
    if rule.deed is Deed.FORGET_BEATS:
        forget_heartbeats(db, mine)
        return len(mine)
    # What they used would be lost: they are looked at again with what was passed over.
    kept = to_count.uncounted(db, mine)
    remove(db, gone := [job_id for job_id in mine if job_id not in kept])
    return len(gone)


def _old(rule: Rule, reached: tuple[datetime, int]) -> Any:
    """The jobs behind the last that was looked at, the oldest first, along the index JobsByAge."""
    moment, number = reached
    before = utc_now(-rule.seconds)
    columns = (Job.job_id, Job.updated_at, Job.job_type, Payload.owner_task)
    found = select(*columns).outerjoin(Payload, Payload.job_id == Job.job_id)
    found = found.where(
        Job.vo == rule.vo,
        Job.status == rule.status,
        Job.updated_at >= moment,
        Job.updated_at < before,
        or_(Job.updated_at > moment, Job.job_id > number),
        Job.job_id < newest(),
    )
    if rule.deed is Deed.KILL:
        found = found.where(or_(Job.heartbeat_at.is_(None), Job.heartbeat_at < before))
    # Left to itself, MariaDB may read all that was passed over for each page anew, or all VOs' jobs.
    hinted = found.with_hint(Job, "FORCE INDEX (JobsByAge)", "mysql")
    return hinted.order_by(Job.updated_at, Job.job_id)


def _reached(db: Session, rule: Rule) -> tuple[datetime, int]:
    """The time and number of the last job that was looked at; the row is held, so that of two one waits."""
    query = select(Cleaned.reached, Cleaned.number, Cleaned.begun_at < utc_now(-AGAIN_SECONDS))
    held = query.where(*_place(rule)).with_for_update()
    row = db.execute(held).one_or_none()
    if row is None:
        place = {"VO": rule.vo, "Deed": rule.deed.value, "Status": rule.status.value}
        first = {"ReachedTime": LONG_AGO, "ReachedNumber": 0, "BegunAt": database_time(db)}
        add_unless_there(db, Cleaned, [place | first])
        row = db.execute(held).one()
    reached, number, is_old = row
    if is_old:
        changed(db, update(Cleaned).where(*_place(rule)).values(begun_at=utc_now()))
        return LONG_AGO, 0
    return reached, number


def _place(rule: Rule) -> tuple[Any, ...]:
    return Cleaned.vo == rule.vo, Cleaned.deed == rule.deed, Cleaned.status == rule.status
