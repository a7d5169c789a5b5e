"""Whose output somebody is reading right now: their pilots send it more often.

It stands in Redis, for speed only: without it the output comes with each heartbeat, as it always does.
"""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from diracx_tasks.core.redis import redis

# Jobs, each with the time until which somebody listens to it.
KEY = "diracx:listened"
# Whoever listens says so again before this is over.
SECONDS = 20.0
# A process asks Redis so often, however many heartbeats it gets; and more rarely while Redis is away.
KNOWN_SECONDS = 1.0
REST_SECONDS = 30.0


@dataclass
class _Known:
    lock: threading.Lock = field(default_factory=threading.Lock)
    jobs: frozenset[int] = frozenset()
    until: float = 0.0
    # Until when nobody tries to say that he listens.
    rests_until: float = 0.0


_KNOWN = _Known()


def listen(job_ids: Collection[int]) -> None:
    """Say that somebody reads the output of these jobs, for the next SECONDS; nothing while Redis is away."""
    if not job_ids or time.monotonic() < _KNOWN.rests_until:
        return
    now = time.time()
    try:
        pipe = redis().pipeline(transaction=False)
        pipe.zadd(KEY, {str(job_id): now + SECONDS for job_id in job_ids})
        pipe.zremrangebyscore(KEY, "-inf", now)
        pipe.execute()
    except RedisError:
        _KNOWN.rests_until = time.monotonic() + REST_SECONDS


def listened(job_ids: Collection[int]) -> list[int]:
    """Those of the jobs that somebody listens to, or did a second ago; none while Redis is away."""
    # One asks, the others go on with what is known: a heartbeat waits for nobody.
    if time.monotonic() >= _KNOWN.until and _KNOWN.lock.acquire(blocking=False):
        try:
            _KNOWN.jobs, rest = _asked()
            _KNOWN.until = time.monotonic() + rest
        finally:
            _KNOWN.lock.release()
    return [job_id for job_id in job_ids if job_id in _KNOWN.jobs]


def _asked() -> tuple[frozenset[int], float]:
    """The jobs, and for how many seconds that is to be believed."""
    try:
        found: Any = redis().zrangebyscore(KEY, time.time(), "+inf")
    except RedisError:
        return frozenset(), REST_SECONDS
    return frozenset(int(one) for one in found), KNOWN_SECONDS
