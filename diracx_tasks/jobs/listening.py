"""Whose output somebody is reading right now: their pilots send it more often.

It stands in Redis, for speed only: without it the output comes with each heartbeat, as it always does.
"""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import select

from diracx_tasks.core.database import reading
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs.tables import Job

# Jobs and, after a mark, groups of jobs, each with the time until which somebody listens.
KEY = "diracx:listened"
GROUP = "group:"
# Whoever listens says so again before this is over.
SECONDS = 20.0
# A process asks Redis so often, however many heartbeats it gets; and more rarely while Redis is away.
KNOWN_SECONDS = 1.0
REST_SECONDS = 30.0


@dataclass
class _Known:
    lock: threading.Lock = field(default_factory=threading.Lock)
    names: frozenset[str] = frozenset()
    until: float = 0.0
    # Until when nobody tries to say that he listens.
    rests_until: float = 0.0


_KNOWN = _Known()


def listen(job_ids: Collection[int], group: str | None = None) -> None:
    """Say that somebody reads the output of these jobs, and of new ones of a group, for the next SECONDS.

    Nothing while Redis is away.
    """
    names = [str(job_id) for job_id in job_ids] + ([GROUP + group] if group is not None else [])
    if not names or time.monotonic() < _KNOWN.rests_until:
        return
    now = time.time()
    try:
        pipe = redis().pipeline(transaction=False)
        pipe.zadd(KEY, dict.fromkeys(names, now + SECONDS))
        pipe.zremrangebyscore(KEY, "-inf", now)
        pipe.execute()
    except RedisError:
        _KNOWN.rests_until = time.monotonic() + REST_SECONDS


def listened(job_ids: Collection[int], new: Collection[int] = ()) -> list[int]:
    """Those of the jobs that somebody listens to, or did a second ago; none while Redis is away.

    `new` are those of them that have just begun: of these nobody can have said that he listens.
    """
    # One asks, the others go on with what is known: a heartbeat waits for nobody.
    if time.monotonic() >= _KNOWN.until and _KNOWN.lock.acquire(blocking=False):
        try:
            _KNOWN.names, rest = _asked()
            _KNOWN.until = time.monotonic() + rest
        finally:
            _KNOWN.lock.release()
    known = _KNOWN.names
    groups = {name.removeprefix(GROUP) for name in known if name.startswith(GROUP)}
    of_groups = _of_groups([job_id for job_id in new if str(job_id) not in known], groups)
    return [job_id for job_id in job_ids if str(job_id) in known or job_id in of_groups]


def _of_groups(job_ids: Collection[int], groups: Collection[str]) -> set[int]:
    if not job_ids or not groups:
        return set()
    with reading() as db:
        query = select(Job.job_id, Job.job_group).where(Job.job_id.in_(job_ids))
        return {job_id for job_id, group in db.execute(query) if group in groups}


def _asked() -> tuple[frozenset[str], float]:
    """Jobs and groups, and for how many seconds that is to be believed."""
    try:
        found: Any = redis().zrangebyscore(KEY, time.time(), "+inf")
    except RedisError:
        return frozenset(), REST_SECONDS
    return frozenset(found), KNOWN_SECONDS
