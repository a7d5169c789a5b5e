"""The schedule: what is due when, from decorators, configuration and operators; who looks after it.

A due entry is moved on and its task enqueued in one transaction, by a compare-and-swap on its time: of
several beats one succeeds. What was missed is run once.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from diracx_tasks.core import config
from diracx_tasks.core.database import changed, database_time, utc_now
from diracx_tasks.core.errors import BadRequest, NotFound
from diracx_tasks.engine import outbox
from diracx_tasks.engine.declared import REGISTRY, Declared, InvalidArguments
from diracx_tasks.engine.overrides import override_of
from diracx_tasks.engine.tables import Leader, Schedule
from diracx_tasks.engine.timing import NEVER, Timing, timing_of

log = logging.getLogger(__name__)
ON, PAUSED, DRY_RUN = "On", "Paused", "DryRun"
# The outcome of an entry whose task does not take its arguments.
REFUSED = "Refused"
# Beside an entry's timing: the state that code and configuration say, unless it is On.
STATED = "state"
CODE, CONFIGURATION = "code", "configuration"
ROLE = "beat"
# A beat that does not say so for so long leads no more.
LEAD_SECONDS = 8.0
WORDS = 4000


@dataclass(frozen=True)
class Entry:
    """What the schedule should hold."""

    name: str
    task: str
    timing: Timing
    origin: str
    state: str = ON
    arguments: dict[str, Any] = field(default_factory=dict)


# Further entries of extensions, by name.
EXTRA: dict[str, Entry] = {}


def schedule(name: str, task: str, timing: Timing, **arguments: Any) -> None:
    """Add an entry for a task with arguments; a name that exists is replaced."""
    EXTRA[name] = Entry(name, task, timing, CODE, arguments=arguments)


def wanted() -> dict[str, Entry]:
    """Every entry that code and configuration state, by name: the task's, with `@VO` for tasks per VO."""
    found = {entry.name: entry for entry in EXTRA.values() if _is_enabled(entry)}
    for declared in list(REGISTRY.values()):
        for vo in config.vos() if declared.per_vo else [None]:
            if entry := _entry(declared, vo):
                found[entry.name] = entry
    return found


def synchronize(db: Session) -> int:
    """Make the stored schedule what is wanted; unchanged entries keep their times. How many changed."""
    stored = {row.name: row for row in db.scalars(select(Schedule))}
    entries = wanted()
    count = 0
    for name in stored.keys() - entries.keys():
        count += changed(db, delete(Schedule).where(Schedule.name == name))
    moment = database_time(db)
    for entry in entries.values():
        count += _store(db, entry, stored.get(entry.name), moment)
    return count


def run_due(db: Session) -> int:
    """Enqueue what is due and set its next time; answers how many entries."""
    moment = database_time(db)
    due = db.scalars(
        select(Schedule)
        .where(Schedule.state != PAUSED, Schedule.next_at <= moment)
        .order_by(Schedule.next_at)
    ).all()
    return sum(_run(db, row, moment) for row in due)


def lead(db: Session, holder: str) -> bool:
    """Whether this beat is the one that works now; to be called again within LEAD_SECONDS."""
    renewed = changed(
        db,
        update(Leader)
        .where(Leader.role == ROLE, Leader.holder == holder)
        .values(until=utc_now(LEAD_SECONDS)),
    )
    if renewed:
        return True
    values = {"holder": holder, "since": utc_now(), "until": utc_now(LEAD_SECONDS)}
    if changed(db, update(Leader).where(Leader.role == ROLE, Leader.until < utc_now()).values(**values)):
        return True
    if db.get(Leader, ROLE):
        return False
    try:
        with db.begin_nested():
            db.execute(insert(Leader).values(role=ROLE, **values))
    except IntegrityError:
        return False
    return True


def resign(db: Session, holder: str) -> None:
    """Let another beat take over at once."""
    changed(db, update(Leader).where(Leader.role == ROLE, Leader.holder == holder).values(until=utc_now(-1)))


def leader(db: Session) -> tuple[str, bool] | None:
    """Who leads, and whether it still says so; None when there has never been a beat."""
    found = db.get(Leader, ROLE)
    return (found.holder, found.until >= database_time(db)) if found else None


def note(db: Session, row: Mapping[str, Any]) -> None:
    """Keep how the last run of an entry went; the history's row says it."""
    values = {
        "last_started_at": row["started_at"],
        "last_seconds": row["seconds"],
        "last_outcome": row["outcome"],
        "last_words": row["words"][-WORDS:],
    }
    changed(db, update(Schedule).where(Schedule.name == row["key"]).values(**values))


def entries(db: Session) -> list[Schedule]:
    """The whole schedule by name."""
    return list(db.scalars(select(Schedule).order_by(Schedule.name)))


def find(db: Session, name: str) -> Schedule:
    """One entry; NotFound when there is none."""
    found = db.get(Schedule, name)
    if found is None:
        raise NotFound(f"there is no entry {name!r} in the schedule: see `diracx tasks schedule`")
    return found


def set_state(db: Session, name: str, state: str) -> Schedule:
    """Have an entry run, pause, or only say what it would do."""
    if state not in (ON, PAUSED, DRY_RUN):
        raise BadRequest(f"an entry is {ON}, {PAUSED} or {DRY_RUN}, not {state!r}")
    found = find(db, name)
    # After a pause it is due at its next time, not at those that it has missed.
    if found.state == PAUSED and state != PAUSED:
        found.next_at = timing_of(found.own_timing or found.timing).after(database_time(db))
    found.state = state
    return found


def set_timing(db: Session, name: str, timing: Timing | None) -> Schedule:
    """Have an entry be due at other times than code and configuration say; None: as they say.

    BadRequest when the timing has ended already.
    """
    found, moment = find(db, name), database_time(db)
    if timing and timing.after(moment) == NEVER:
        raise BadRequest(f"{timing} is not due any more")
    found.own_timing = timing.stored() if timing else None
    found.next_at = timing_of(found.own_timing or found.timing).after(moment)
    return found


def run_now(db: Session, name: str) -> str:
    """Enqueue an entry's task now; its next time stays. Answers the task's key."""
    found = find(db, name)
    outbox.enqueue(db, found.task, found.name, **found.arguments)
    return found.name


def preview(row: Schedule, count: int = 5) -> list[datetime]:
    """The next times of an entry; fewer when it ends before."""
    timing, moment, found = timing_of(row.own_timing or row.timing), row.next_at, list[datetime]()
    while len(found) < count and moment < NEVER:
        found.append(moment)
        moment = timing.after(moment)
    return found


def lag(db: Session) -> float:
    """By how many seconds the entry that waits longest is late."""
    oldest = db.scalar(
        select(Schedule.next_at).where(Schedule.state != PAUSED).order_by(Schedule.next_at).limit(1)
    )
    return max(0.0, (database_time(db) - oldest).total_seconds()) if oldest else 0.0


def _is_enabled(entry: Entry) -> bool:
    vo = entry.arguments.get("vo")
    return entry.task in REGISTRY and override_of(entry.task, vo).enabled is not False


def _entry(declared: Declared, vo: str | None) -> Entry | None:
    override = override_of(declared.name, vo)
    timing = override.timing() or declared.timing
    if timing is None or override.enabled is False:
        return None
    stated = override.timing() or override.dry_run is not None
    name = f"{declared.name}@{vo}" if vo else declared.name
    state = DRY_RUN if override.dry_run else ON
    arguments = {"vo": vo} if vo else {}
    return Entry(name, declared.name, timing, CONFIGURATION if stated else CODE, state, arguments)


def _store(db: Session, entry: Entry, row: Schedule | None, moment: datetime) -> int:
    values: dict[str, Any] = {
        "task": entry.task,
        "arguments": entry.arguments,
        "timing": entry.timing.stored() | ({STATED: entry.state} if entry.state != ON else {}),
        "origin": entry.origin,
    }
    if row is None:
        return _add(db, entry, values, moment)
    if all(getattr(row, name) == value for name, value in values.items()):
        return 0
    if timing_of(row.timing) != entry.timing and not row.own_timing:
        values["next_at"] = entry.timing.after(moment)
    # What an operator has set stays until code and configuration say something new.
    if row.timing.get(STATED, ON) != entry.state and row.state != PAUSED:
        values["state"] = entry.state
    return changed(db, update(Schedule).where(Schedule.name == entry.name).values(**values))


def _add(db: Session, entry: Entry, values: dict[str, Any], moment: datetime) -> int:
    # An interval is due at once, a time of the day when it comes.
    first = moment if entry.timing.every else entry.timing.after(moment)
    try:
        with db.begin_nested():
            db.execute(insert(Schedule).values(name=entry.name, next_at=first, state=entry.state, **values))
    except IntegrityError:
        return 0
    return 1


def _run(db: Session, row: Schedule, moment: datetime) -> int:
    timing = timing_of(row.own_timing or row.timing)
    # From its time and not from now: an interval would grow by the time that it takes to look.
    following = timing.after(row.next_at)
    if following <= moment:
        following = timing.after(moment)
    swap = update(Schedule).where(
        Schedule.name == row.name, Schedule.next_at == row.next_at, Schedule.state == row.state
    )
    if not changed(db, swap.values(next_at=following, last_due_at=row.next_at)):
        return 0
    if row.state == DRY_RUN:
        words = f"would enqueue {row.task} {row.arguments or ''}".strip()
        _note(db, row, moment, DRY_RUN, words)
        return 1
    try:
        outbox.enqueue(db, row.task, row.name, **row.arguments)
    except InvalidArguments as error:
        # The others go on.
        log.error("the entry %s of the schedule cannot be enqueued: %s", row.name, error)
        _note(db, row, moment, REFUSED, str(error))
    return 1


def _note(db: Session, row: Schedule, moment: datetime, outcome: str, words: str) -> None:
    note(db, {"key": row.name, "started_at": moment, "seconds": 0.0, "outcome": outcome, "words": words})
