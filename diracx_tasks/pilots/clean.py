"""Pilots of which nobody hears any more, and rows that are old: DIRAC's PilotStatusAgent."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, reading, session, utc_now
from diracx_tasks.core.errors import DiracXError
from diracx_tasks.jobs.holders import holders
from diracx_tasks.pilots import logs, register, secrets
from diracx_tasks.pilots.elements import element
from diracx_tasks.pilots.queues import options_of
from diracx_tasks.pilots.tables import Pilot, PilotJob, PilotOutput, Submission

log = logging.getLogger(__name__)
DAY = 86400
# DIRAC's PilotStalledDays, ClearPilotsDelay, and ClearAbortedPilotsDelay.
STALLED_DAYS, KEPT_DAYS, KEPT_ABORTED_DAYS = 3, 30, 7
PAGE = 500


def end_stalled(vo: str) -> int:
    """End a VO's pilots that have been silent for three days and hold no job; answers how many.

    They are killed at their computing elements, where these answer.
    """
    total, after = 0, 0
    while True:
        with reading() as db:
            rows = _silent(db, vo, after)
            busy = holders(db, vo, [row[1] for row in rows])
        if not rows:
            return total
        after = rows[-1][0]
        idle = [row for row in rows if row[1] not in busy]
        _kill(idle)
        with session() as db:
            words = f"it has been silent for {STALLED_DAYS} days"
            register.ended(db, vo, [row[1] for row in idle], status="Deleted", reason=words)
        total += len(idle)


def forget_old(db: Session, vo: str) -> int:
    """Forget a page of pilots that ended long ago, with all that is stored of them; 0 when there are none."""
    aborted = Pilot.status.in_(("Aborted", "Deleted")) & (
        Pilot.updated_at < utc_now(-KEPT_ABORTED_DAYS * DAY)
    )
    ended = Pilot.status.in_(register.ENDED) & (Pilot.updated_at < utc_now(-KEPT_DAYS * DAY))
    query = select(Pilot.pilot_id, Pilot.stamp).where(Pilot.vo == vo, or_(aborted, ended)).limit(PAGE)
    rows = db.execute(query).all()
    if not rows:
        return 0
    ids, stamps = [row.pilot_id for row in rows], [row.stamp for row in rows]
    logs.forget(vo, stamps)
    for table in (PilotJob, PilotOutput):
        changed(db, delete(table).where(table.pilot_id.in_(ids)))
    changed(db, delete(Submission).where(Submission.stamp.in_(stamps)))
    secrets.forget(db, stamps)
    return changed(db, delete(Pilot).where(Pilot.pilot_id.in_(ids)))


def _silent(db: Session, vo: str, after: int) -> Sequence[tuple[int, str, str, str]]:
    columns = (Pilot.pilot_id, Pilot.stamp, Pilot.reference, Pilot.destination)
    where = (Pilot.vo == vo, Pilot.status.not_in(register.ENDED), Pilot.pilot_id > after)
    silent = select(*columns).where(*where, Pilot.updated_at < utc_now(-STALLED_DAYS * DAY))
    return [
        (row[0], row[1], row[2], row[3]) for row in db.execute(silent.order_by(Pilot.pilot_id).limit(PAGE))
    ]


def _kill(rows: Sequence[tuple[int, str, str, str]]) -> None:
    by_element: Mapping[str, list[str]] = defaultdict(list)
    for _, stamp, reference, ce in rows:
        # One that has no reference was never submitted: elements refuse what they have not named.
        if reference != stamp:
            by_element[ce].append(reference)
    for ce, references in by_element.items():
        try:
            element(ce, options_of(ce)).kill(references)
        except (DiracXError, OSError) as error:
            # Pilots of others, and of elements that are gone, are here as well: they end in the books only.
            log.warning("%d silent pilots of %s are not killed: %s", len(references), ce, error)
