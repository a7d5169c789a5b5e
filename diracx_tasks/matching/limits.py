"""Running limits and matching delays: what the configuration says, and counts that fail closed.

`match.lua` keeps the limits; here is counted what runs. A count begins in Redis, reads the database, and ends
in Redis: what is matched meanwhile is counted on both sides rather than on none, so that a limit is never
exceeded. While nothing has been counted, everything that is limited waits.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from diracx_tasks.core.config import Config, config
from diracx_tasks.core.operations import job_scheduling
from diracx_tasks.core.scheduling import ByAttribute, SiteDelays
from diracx_tasks.jobs import use
from diracx_tasks.matching import store

# Counts hold for so many seconds: without a new one, what is limited waits.
HOLDS = 30
# A count that takes longer than so many seconds is void.
LONGEST = 300
ATTRIBUTES = {"type": "JobType", "group": "OwnerGroup", "owner": "Owner"}

Limit = tuple[str, str, str, int]
Delay = tuple[str, str, str, float, int]


class Rules(NamedTuple):
    """What holds for a node: limits (scope, attribute, value, most), and delays (..., seconds, burst).

    A scope is a site, or a site and its computing element with a slash between them.
    """

    limits: tuple[Limit, ...] = ()
    delays: tuple[Delay, ...] = ()


class Counted(StrEnum):
    """What became of a count."""

    HOLDS = "counted"
    EARLY = "too early after a restart of Redis"
    OVERTAKEN = "another count has begun"
    UNLIMITED = "nothing is limited"


def rules(vo: str, site: str, ce: str = "") -> Rules:
    """The limits and delays for a node of a VO, as the configuration in force has them."""
    return _rules(config(), vo, site, ce)


def limited(vo: str) -> dict[str, dict[str, int]]:
    """All running limits of a VO: scope -> `attribute=value` -> most."""
    scheduling = job_scheduling(vo)
    found: dict[str, dict[str, int]] = {}
    for site, stated in scheduling.RunningLimit.items() if scheduling.CheckJobLimits else ():
        places = {site: stated, **{f"{site}/{ce}": one for ce, one in stated.CEs.items()}}
        for scope, limits in places.items():
            for _, attribute, value, most in _limits(scope, limits):
                found.setdefault(scope, {})[f"{attribute}={value}"] = most
    return found


def recount(db: Session, vo: str, *, patience: float = 0) -> Counted:
    """Count anew what runs under limits. Raises what Redis and the database raise: the counts then run out.

    After a restart of Redis the first counts do not hold before `patience` seconds have passed: a match that
    was under way may not be in the database yet, and Redis may not know of it any more.
    """
    scopes = limited(vo)
    if not scopes:
        return Counted.UNLIMITED
    if db.info.get("is_reading"):
        # What it has read before would hide what was matched before the count began.
        db.rollback()
    token = secrets.token_hex(8)
    leased = store.run("count", vo, "begin", token, LONGEST, json.dumps(sorted(scopes)))
    counts = _held(db, vo, {scope.partition("/")[0] for scope in scopes})
    for scope, field, count in zip(leased[::3], leased[1::3], leased[2::3], strict=True):
        counts[scope, field] += int(count)
    found = {scope: {field: counts[scope, field] for field in fields} for scope, fields in scopes.items()}
    said = store.run("count", vo, "finish", token, HOLDS, patience, json.dumps(found))
    return (Counted.OVERTAKEN, Counted.HOLDS, Counted.EARLY)[int(said)]


def _held(db: Session, vo: str, sites: set[str]) -> Counter[tuple[str, str]]:
    """What the database says: (scope, `attribute=value`) -> how many."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in use.running(db, vo, sites):
        values = {"type": one.job_type, "group": one.group, "owner": one.owner}
        for scope in (one.site, f"{one.site}/{one.ce}"):
            counts.update({(scope, f"{name}={value}"): one.jobs for name, value in values.items()})
    return counts


@lru_cache(8192)
def _rules(found: Config, vo: str, site: str, ce: str) -> Rules:
    scheduling = job_scheduling(vo)
    limits: list[Limit] = []
    delays: list[Delay] = []
    if scheduling.CheckJobLimits and (stated := scheduling.RunningLimit.get(site)):
        limits += _limits(site, stated)
        limits += _limits(f"{site}/{ce}", stated.CEs.get(ce, ByAttribute()))
    if scheduling.CheckMatchingDelay and (pauses := scheduling.MatchingDelay.get(site)):
        delays += _delays(site, pauses)
    return Rules(tuple(limits), tuple(delays))


def _limits(scope: str, stated: ByAttribute) -> Iterator[Limit]:
    for attribute, name in ATTRIBUTES.items():
        for value, most in sorted(getattr(stated, name).items()):
            yield scope, attribute, value, most


def _delays(scope: str, stated: SiteDelays) -> Iterator[Delay]:
    for attribute, name in ATTRIBUTES.items():
        bursts: dict[str, Any] = getattr(stated.Burst, name)
        for value, seconds in sorted(getattr(stated, name).items()):
            # DIRAC: a delay of nothing is none.
            if seconds > 0:
                yield scope, attribute, value, seconds, bursts.get(value, 1)
