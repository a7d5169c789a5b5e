"""A pilot asks for work: Redis chooses in one step, the database decides."""

import json
from dataclasses import asdict, dataclass, field

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from diracx_tasks.core.database import after_commit
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.core.redis import redis, script
from diracx_tasks.core.settings import settings
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs import status
from diracx_tasks.jobs.describe import Work, describe
from diracx_tasks.matching import keys, queue

ROUNDS = 5


@dataclass(frozen=True)
class Pilot:
    """What a pilot says of its slot; RAM in MB."""

    site: str
    ce: str
    cores: int
    ram_mb: int
    platform: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Match:
    """A job given to a pilot, with everything it needs to run it."""

    job_id: int
    attempt: int
    work: Work


def match(db: Session, vo: str, pilot: Pilot, *, stamp: str, count: int = 1) -> list[Match]:
    """Up to `count` waiting jobs of the VO that fit the pilot, claimed for it; soonest first.

    Raises Unavailable when Redis does not answer: the jobs keep waiting.
    """
    found: list[Match] = []
    for _ in range(ROUNDS):
        taken = _take(db, vo, pilot, count - len(found))
        claims = [(job_id, _claim(db, job_id, pilot, stamp)) for job_id in taken]
        found += [Match(job_id, attempt, describe(db, job_id)) for job_id, attempt in claims if attempt]
        # Jobs that were killed meanwhile leave room: ask again.
        if len(found) == count or len(taken) < count:
            break
    return found


def _take(db: Session, vo: str, pilot: Pilot, count: int) -> list[int]:
    prefix = keys.jobs(vo, "")
    arguments: list[str | int] = [
        json.dumps(asdict(pilot), sort_keys=True),
        count,
        int(settings().lease_seconds),
        prefix,
    ]
    try:
        is_ready, *jobs = script("diracx_tasks.matching", "match")(keys=keys.all_of(vo), args=arguments)
    except RedisError as error:
        raise Unavailable(f"the matcher's Redis does not answer: {error}") from error
    if not is_ready:
        enqueue(db, "matching.rebuild", f"vo-{vo}.rebuild", vo=vo)
    taken = [int(job) for job in jobs]
    if taken:
        after_commit(db, lambda: _confirm(vo, taken))
    return taken


def _confirm(vo: str, jobs: list[int]) -> None:
    redis().zrem(keys.leases(vo), *jobs)


def _claim(db: Session, job_id: int, pilot: Pilot, stamp: str) -> int | None:
    attempt = status.claim(db, job_id, pilot=stamp, site=pilot.site, deadline=settings().matched_seconds)
    queue.remove(db, [job_id])
    return attempt
