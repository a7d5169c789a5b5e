"""The sites to which a VO's pilots are sent: how their queues stand; and banning and allowing them."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.config import config
from diracx_tasks.core.database import utc
from diracx_tasks.core.errors import BadRequest, NotFound
from diracx_tasks.pilots import breaker, site_tests
from diracx_tasks.pilots.breaker import Gate
from diracx_tasks.pilots.queues import stated
from diracx_tasks.pilots.standing import Standing, standings
from diracx_tasks.pilots.tables import Pilot
from diracx_tasks.resources.status import SITE, Element, state

CE = "ComputeElement"
BANNED, ALLOWED = "Banned", "Active"


class Stated(NamedTuple):
    """What was said of a site or computing element; `closed` queues of it get pilots again at once."""

    name: str
    kind: str
    status: str
    reason: str
    closed: int


def sites(db: Session, vo: str) -> list[dict[str, Any]]:
    """The queues of a VO's sites: whether they may be used, their breakers, pilots and last tests."""
    stands, gates = standings(db, vo), breaker.gates(db, vo)
    tests = {(one.ce, one.queue): one for one in site_tests.tested(db, vo)}
    found = []
    # The configuration may just have changed.
    known = [one for one in stated(vo) if one.key in tests]
    for queue in sorted(known, key=lambda one: (one.site, one.ce, one.name)):
        standing, gate = stands.get(queue.key, Standing()), gates.get(queue.key, Gate())
        test = tests[queue.key]
        row = {
            "site": queue.site,
            "ce": queue.ce,
            "queue": queue.name,
            "kind": queue.ce_type,
            "is_allowed": not queue.barred,
            "barred": queue.barred,
            "breaker": gate.breaker,
            "breaker_reason": gate.reason,
            "breaker_until": utc(gate.until),
            "waiting": standing.waiting,
            "running": standing.running,
            "test": test.status,
            "test_reason": test.reason,
            "test_ended_at": test.ended_at,
        }
        found.append(row)
    return found


def ban(db: Session, *, site: str, ce: str, reason: str, by: User) -> Stated:
    """Have no pilots sent to a site or computing element, and no jobs given there, for somebody's VO."""
    element = _meant(db, by.vo, site, ce)
    state(db, element, BANNED, reason, by=by.name)
    return Stated(element.name, element.kind, BANNED, reason, 0)


def allow(db: Session, *, site: str, ce: str, reason: str, by: User) -> Stated:
    """Have a site or computing element used again by somebody's VO; breakers of its queues are closed."""
    element = _meant(db, by.vo, site, ce)
    state(db, element, ALLOWED, reason, by=by.name)
    gates = breaker.gates(db, by.vo)
    there = [one.key for one in stated(by.vo) if element.name in (one.site, one.ce)]
    shut = [key for key in there if gates.get(key, Gate()).breaker is not breaker.Breaker.CLOSED]
    breaker.reset(db, by.vo, shut)
    return Stated(element.name, element.kind, ALLOWED, reason, len(shut))


def _meant(db: Session, vo: str, site: str, ce: str) -> Element:
    """The site, or the element when one is named; NotFound when nobody has heard of it."""
    known = {name: about for grid in config().Resources.Sites.values() for name, about in grid.items()}
    if not ce:
        if not site:
            raise BadRequest("say which site or computing element")
        if site not in known and not _has_pilots(db, vo, site):
            raise NotFound(f"there is no site {site} in the configuration{_like(site, known)}")
        return Element(site, SITE, vo=vo)
    there = known[site].CEs if site in known else {one: 1 for about in known.values() for one in about.CEs}
    if ce not in there:
        where = f"at {site}" if site else "in the configuration"
        raise NotFound(f"there is no computing element {ce} {where}{_like(ce, there)}")
    return Element(ce, CE, vo=vo)


def _has_pilots(db: Session, vo: str, site: str) -> bool:
    """Whether pilots that others have started there were seen."""
    query = select(Pilot.pilot_id).where(Pilot.site == site, Pilot.vo == vo).limit(1)
    return db.execute(query).first() is not None


def _like(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"; is {close[0]} meant?" if close else ""
