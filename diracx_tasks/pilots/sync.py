"""What batch systems know of the pilots that were submitted to them, written into the pilots' rows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, reading, session, utc_now
from diracx_tasks.jobs.holders import holders
from diracx_tasks.pilots import register
from diracx_tasks.pilots.elements import ComputingElement, State, Told, element
from diracx_tasks.pilots.queues import options_of, stated
from diracx_tasks.pilots.standing import PLANNED, RUNNING
from diracx_tasks.pilots.submit import KEPT_SECONDS, note_submitted
from diracx_tasks.pilots.tables import Pilot, Submission
from diracx_tasks.pilots.withdraw import GIVEN_UP

PAGE = 500
# A submission that takes longer was cut off.
CUT_OFF = 120.0
UNKNOWN_SECONDS = 3600.0
UNKNOWN = "Unknown"
# What a pilot says of itself is newer than that a batch system has it waiting.
BEFORE_RUNNING = ("Submitted", "Ready", "Scheduled", "Waiting", UNKNOWN)
# So it is planned; a pilot may begin before its submission, and its reference, are noted.
UNNOTED = Pilot.reference == Pilot.stamp


class _Row(NamedTuple):
    pilot_id: int
    stamp: str
    reference: str
    status: str
    is_lost: bool


def elements_of(db: Session, vo: str) -> list[str]:
    """The computing elements of the configuration that have pilots of a VO, or are to get some."""
    query = select(Pilot.destination).join(Submission, Submission.stamp == Pilot.stamp)
    known = {one.ce for one in stated(vo)}
    return sorted(known.intersection(db.scalars(query.where(*_unfinished(vo)).distinct())))


def sync_pilots(vo: str, ce: str) -> int:
    """Bring a VO's pilots of an element up to date; answers how many have changed.

    Those whose submission was cut off are looked for; what a batch system has not known for an hour, and
    holds no job, is Aborted. What an ended pilot held goes to others.
    """
    made = element(ce, options_of(ce))
    total, after, rows = _find_cut_off(made, vo, ce), 0, [_Row(0, "", "", "", False)]
    while rows:
        with reading() as db:
            rows = _page(db, vo, ce, after)
        if rows:
            told = made.status([row.reference for row in rows])
            with session() as db:
                total += _apply(db, vo, rows, told)
            after = rows[-1].pilot_id
    return total


def _unfinished(vo: str) -> tuple[ColumnElement[bool], ...]:
    return Pilot.vo == vo, Pilot.status.not_in(register.ENDED)


def _page(db: Session, vo: str, ce: str, after: int) -> list[_Row]:
    is_lost = (Pilot.status == UNKNOWN) & (Pilot.updated_at < utc_now(-UNKNOWN_SECONDS))
    query = select(Pilot.pilot_id, Pilot.stamp, Pilot.reference, Pilot.status, is_lost)
    mine = query.join(Submission, Submission.stamp == Pilot.stamp).where(Submission.ce == ce)
    where = (*_unfinished(vo), Pilot.status != PLANNED, ~UNNOTED, Pilot.pilot_id > after)
    return [_Row(*row) for row in db.execute(mine.where(*where).order_by(Pilot.pilot_id).limit(PAGE))]


def _apply(db: Session, vo: str, rows: Sequence[_Row], told: Mapping[str, Told]) -> int:
    """Write what is new; what a pilot has said of itself meanwhile stays."""
    ended: dict[Told, list[str]] = defaultdict(list)
    moved: dict[str, list[int]] = defaultdict(list)
    # A job that a lost pilot holds beats, or is taken from it as stalled: before that, the pilot lives.
    busy = holders(db, vo, [row.stamp for row in rows if row.is_lost])
    for row in rows:
        found = told.get(row.reference, Told(State.UNKNOWN))
        if found.state in (State.DONE, State.FAILED, State.ABORTED):
            ended[found].append(row.stamp)
        elif row.is_lost and found.state is State.UNKNOWN and row.stamp not in busy:
            ended[Told(State.ABORTED, "the batch system has not known it for an hour")].append(row.stamp)
        elif found.state != row.status and (found.state is not State.WAITING or row.status != RUNNING):
            moved[found.state].append(row.pilot_id)
    for one, stamps in ended.items():
        register.ended(db, vo, stamps, status=one.state, reason=one.reason)
    for state, ids in moved.items():
        _move(db, state, ids)
    return sum(map(len, ended.values())) + sum(map(len, moved.values()))


def _move(db: Session, state: str, ids: Sequence[int]) -> None:
    frm = (*BEFORE_RUNNING, RUNNING) if state == UNKNOWN else BEFORE_RUNNING
    where = (Pilot.pilot_id.in_(ids), Pilot.status.in_(frm))
    changed(db, update(Pilot).where(*where).values({"status": state, "updated_at": utc_now()}))


def _find_cut_off(made: ComputingElement, vo: str, ce: str) -> int:
    """Pilots whose submission did not come to its end: those that are there, and those that never were."""
    with reading() as db:
        waiting = dict(_cut_off(db, vo, ce))
    if not waiting:
        return 0
    found = made.find(sorted(waiting))
    lost = [stamp for stamp, is_given_up in waiting.items() if is_given_up and stamp not in found]
    with session() as db:
        note_submitted(db, vo, ce, {stamp: found[stamp] for stamp in waiting if stamp in found})
        words = f"its submission was cut off, and {ce} does not know it"
        register.ended(db, vo, lost, status="Aborted", reason=words)
    return len(found) + len(lost)


def _cut_off(db: Session, vo: str, ce: str) -> Iterable[tuple[str, bool]]:
    """Stamps, and whether they are looked for for the last time: those that have begun are there."""
    is_given_up = (Submission.claimed_at < utc_now(-GIVEN_UP)) & (Pilot.status == PLANNED)
    query = select(Submission.stamp, is_given_up).join(Pilot, Pilot.stamp == Submission.stamp)
    unknown = or_(Pilot.status == PLANNED, UNNOTED)
    mine = query.where(*_unfinished(vo), Submission.vo == vo, Submission.ce == ce, unknown)
    rows = db.execute(mine.where(Submission.claimed_at < utc_now(-CUT_OFF)).limit(PAGE))
    return ((row[0], bool(row[1])) for row in rows)


def forget_planned(db: Session, vo: str) -> int:
    """Withdraw pilots that nobody has come to submit: where they would go now is planned anew."""
    query = select(Submission.stamp).join(Pilot, Pilot.stamp == Submission.stamp)
    old = query.where(Submission.vo == vo, Submission.claimed_at.is_(None), Pilot.status == PLANNED)
    late = old.where(Submission.planned_at < utc_now(-KEPT_SECONDS))
    stamps = list(db.scalars(late.limit(PAGE)))
    # Nobody claims one that is so old: `submit` takes younger ones only.
    register.ended(db, vo, stamps, status="Deleted", reason="nobody has submitted it in time")
    return len(stamps)
