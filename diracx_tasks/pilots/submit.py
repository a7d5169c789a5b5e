"""Planned pilots are handed to their computing elements: claimed first, so that each is submitted once."""

import logging
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, plain, reading, session, utc_now
from diracx_tasks.core.errors import DiracXError, Unavailable
from diracx_tasks.core.many import Columns, update_many
from diracx_tasks.pilots import breaker, register, site_tests, withdraw
from diracx_tasks.pilots.breaker import Breaker
from diracx_tasks.pilots.elements import ComputingElement, PilotScript, element
from diracx_tasks.pilots.queues import Queue, options_of, stated
from diracx_tasks.pilots.script import script
from diracx_tasks.pilots.secrets import give
from diracx_tasks.pilots.standing import PLANNED
from diracx_tasks.pilots.tables import Pilot, Submission

log = logging.getLogger(__name__)
PAGE = 100
SUBMITTED = "Submitted"
# What is planned and not submitted within so many seconds is planned anew.
KEPT_SECONDS = 900.0


class Submitted(NamedTuple):
    """How many pilots a computing element has taken, and how many not."""

    taken: int
    refused: int


def submit_page(vo: str, ce: str) -> Submitted | None:
    """Submit a page of the pilots that are planned for an element; None when there are none.

    When this process dies in between, or the element does not answer, `sync` finds out what became of them.
    """
    with session() as db:
        claimed = _claim(db, vo, ce)
    if not claimed:
        return None
    by_queue = defaultdict(list)
    for stamp, name in claimed:
        by_queue[name].append(stamp)
    known = _open_queues(vo, ce)
    taken = 0
    for name, stamps in sorted(by_queue.items()):
        if name not in known:
            _withdraw(vo, stamps, f"pilots of {vo} may not go to {name} of {ce} now")
            continue
        try:
            made = element(ce, options_of(ce))
        except DiracXError as error:
            _refused(vo, known[name], stamps, error)
        else:
            taken += _submit(made, vo, known[name], stamps)
    return Submitted(taken, len(claimed) - taken)


def _open_queues(vo: str, ce: str) -> dict[str, Queue]:
    """The queues of an element that may be used, if for a test only, and whose breakers are not open."""
    with reading() as db:
        gates, tests = breaker.gates(db, vo), site_tests.under_way(db, vo)
    shut = {key for key, gate in gates.items() if gate.breaker is Breaker.OPEN}
    usable = [one for one in stated(vo) if one.ce == ce and (not one.barred or one.key in tests)]
    return {one.name: one for one in usable if one.key not in shut}


def _claim(db: Session, vo: str, ce: str) -> list[tuple[str, str]]:
    """Stamps and queues of a page of planned pilots, which nobody else submits from now on."""
    mine = (Submission.vo == vo, Submission.ce == ce)
    query = select(Submission.stamp).join(Pilot, Pilot.stamp == Submission.stamp)
    planned = query.where(*mine, Submission.claimed_at.is_(None), Pilot.status == PLANNED)
    fresh = planned.where(Submission.planned_at > utc_now(-KEPT_SECONDS))
    stamps = list(db.scalars(fresh.order_by(Submission.planned_at, Submission.stamp).limit(PAGE)))
    if not stamps:
        return []
    claim = secrets.token_hex(16)
    free = update(Submission).where(Submission.stamp.in_(stamps), Submission.claimed_at.is_(None))
    changed(db, free.values(claim=claim, claimed_at=utc_now()))
    rows = db.execute(select(Submission.stamp, Submission.queue).where(*mine, Submission.claim == claim))
    return [(row.stamp, row.queue) for row in rows]


def _submit(made: ComputingElement, vo: str, queue: Queue, stamps: Sequence[str]) -> int:
    """Submit pilots to one queue; answers how many it has taken."""
    with session() as db:
        # One that starts before its submission is noted must be able to begin.
        given = give(db, vo, stamps, wall_seconds=queue.max_wall_seconds)
    try:
        scripts = [script(vo, queue, stamp, given[stamp]) for stamp in stamps]
    except DiracXError as error:
        _withdraw(vo, stamps, f"no script can be made for it: {error}")
        _note_failure(vo, queue, f"no script for pilots: {error}")
        return 0
    try:
        references = _taken(made, queue, scripts)
    except (Unavailable, OSError) as error:
        # It may have taken some: they stay as they are until that is known.
        _note_failure(vo, queue, f"{queue.ce} does not answer: {error}")
        return 0
    except DiracXError as error:
        _refused(vo, queue, stamps, error)
        return 0
    with session() as db:
        note_submitted(db, vo, queue.ce, references)
        if references:
            breaker.note_taken(db, vo, queue.key)
        else:
            breaker.note_failure(db, vo, queue.key, f"none of {len(stamps)} pilots was taken")
    _withdraw(vo, [stamp for stamp in stamps if stamp not in references], f"{queue.ce} has not taken it")
    return len(references)


def _taken(made: ComputingElement, queue: Queue, scripts: Sequence[PilotScript]) -> dict[str, str]:
    """The references of those that an element has taken, if it refuses the rest; raises what it raises."""
    stamps = [one.stamp for one in scripts]
    try:
        references = made.submit(queue.name, scripts)
    except Unavailable:
        raise
    except DiracXError:
        references = made.find(stamps)
        if not references:
            raise
    return {stamp: references[stamp] for stamp in stamps if stamp in references}


def note_submitted(db: Session, vo: str, ce: str, references: Mapping[str, str]) -> None:
    """Note that a batch system has pilots, under which references; those that were given up go again."""
    ids = dict(db.execute(select(Pilot.stamp, Pilot.pilot_id).where(Pilot.stamp.in_(references))).all())
    rows = [(ids[stamp], reference[:255]) for stamp, reference in references.items() if stamp in ids]
    update_many(db, plain(Pilot), ("PilotID", "PilotJobReference"), _referred, sorted(rows))
    where = (Pilot.stamp.in_(references), Pilot.status == PLANNED)
    told = {"status": SUBMITTED, "reason": "", "submitted_at": utc_now(), "updated_at": utc_now()}
    changed(db, update(Pilot).where(*where).values(told))
    given_up = (Pilot.stamp.in_(references), Pilot.status.in_(("Aborted", "Deleted")))
    withdraw.mark(db, vo, ce, list(db.scalars(select(Pilot.stamp).where(*given_up))))


def _referred(new: Columns) -> dict[str, object]:
    return {"PilotJobReference": new["PilotJobReference"]}


def _withdraw(vo: str, stamps: Sequence[str], words: str) -> None:
    if stamps:
        with session() as db:
            register.ended(db, vo, stamps, status="Deleted", reason=words)


def _refused(vo: str, queue: Queue, stamps: Sequence[str], error: DiracXError) -> None:
    _withdraw(vo, stamps, f"{queue.ce} does not take it: {error}")
    _note_failure(vo, queue, str(error))


def _note_failure(vo: str, queue: Queue, words: str) -> None:
    log.warning("no pilots to %s of %s: %s", queue.name, queue.ce, words)
    with session() as db:
        breaker.note_failure(db, vo, queue.key, words)
