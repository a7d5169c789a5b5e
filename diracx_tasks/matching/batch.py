"""Jobs for computing elements whose nodes cannot call out: matched here, handed over many at once.

How to talk to an element is an extension's: an entry point of the group `diracx.batches`, which
makes a `ComputingElement` of the element's name and its `Options`.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, NamedTuple, Protocol

from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User, issue_pilot
from diracx_tasks.core.database import session
from diracx_tasks.core.errors import Conflict, NotFound, SettingsError, Unavailable
from diracx_tasks.core.operations import matching
from diracx_tasks.core.scheduling import Batch
from diracx_tasks.jobs import control
from diracx_tasks.matching.dirac import node_of_description
from diracx_tasks.matching.match import Match, match
from diracx_tasks.matching.node import Node
from diracx_tasks.pilots import register

GROUP = "diracx.batches"
GRID_TYPE = "Batch"
# Whoever runs the jobs reports on them with this token; each batch brings a new one.
TOKEN_SECONDS = 7 * 86400


class Handover(NamedTuple):
    """Jobs for an element, and as which pilot it reports on them."""

    jobs: Sequence[Match]
    stamp: str
    token: str


class ComputingElement(Protocol):
    """What an extension offers."""

    def room(self) -> int:
        """How many more jobs it takes now."""

    def submit(self, batch: Handover) -> Collection[int]:
        """Take jobs over; answers which it has. A job that comes again under the same attempt is the same."""


class Handed(NamedTuple):
    """How many jobs an element has taken, and how many it has not, which wait again."""

    taken: int
    given_back: int


def elements(vo: str) -> list[str]:
    """The computing elements of a VO whose jobs are matched here."""
    return sorted(matching(vo).Batches)


def match_batch(vo: str, ce: str) -> Handed:
    """Match as many jobs as a computing element has room for, and hand them over.

    Those that it does not take wait again, as a new attempt; if this process dies in between,
    `jobs.check_stalled` does that. Raises what the element raises: it has taken none then. When the matcher
    is away in the middle, what was matched before is handed over.
    """
    stated = matching(vo).Batches.get(ce)
    if stated is None:
        raise NotFound(f"no batches are matched for {ce} in {vo}")
    element = _element(ce, stated)
    room = min(element.room(), stated.MaxJobs)
    if room <= 0:
        return Handed(0, 0)
    node = node_of_description({**stated.Node, "GridCE": ce})
    stamp = _enrolled(vo, ce, node.site)
    jobs: list[Match] = []
    taken: Collection[int] = ()
    try:
        for one in _matched(vo, node, stamp, room):
            jobs.append(one)
        if jobs:
            taken = element.submit(Handover(jobs, stamp, issue_pilot(vo, stamp, seconds=TOKEN_SECONDS)))
    finally:
        refused = [one for one in jobs if one.job_id not in taken]
        with session() as db:
            for one in refused:
                _give_back(db, one, ce)
    return Handed(len(jobs) - len(refused), len(refused))


def _matched(vo: str, node: Node, stamp: str, room: int) -> Iterator[Match]:
    # One at a time: each job has a slot of its own, where a pilot's jobs share one.
    for number in range(room):
        try:
            found = match(vo, node, stamp=stamp).jobs
        except Unavailable:
            if not number:
                raise
            return
        if not found:
            return
        yield from found


def _give_back(db: Session, one: Match, ce: str) -> None:
    reason = f"{ce} did not take it"
    control.reschedule(db, one.job_id, attempt=one.work.attempt, reason=reason, source="Matcher")


def _enrolled(vo: str, ce: str, site: str) -> str:
    """The stamp of the pilot that stands for an element; it is the same for ever."""
    stamp = hashlib.sha256(f"{vo}/{ce}".encode()).hexdigest()[:32]
    pilot = register.NewPilot(stamp, site=site, destination=ce, grid_type=GRID_TYPE, status="Running")
    with session() as db:
        try:
            register.enrol(db, vo, pilot, by=User("matcher", "matcher", vo, "matcher", frozenset()))
        except Conflict:
            # It is there since the first batch.
            db.rollback()
            register.keep_alive(db, vo, stamp)
    return stamp


def _element(ce: str, stated: Batch) -> ComputingElement:
    kinds = {point.name: point for point in entry_points(group=GROUP)}
    if stated.Kind not in kinds:
        known = ", ".join(sorted(kinds)) or "none"
        raise SettingsError(
            f"there is no kind {stated.Kind} of computing elements for {ce}; entry points of {GROUP}: {known}"
        )
    options: Mapping[str, Any] = stated.Options
    made: ComputingElement = kinds[stated.Kind].load()(ce, options)
    return made
