"""Leases in Redis that keep two workers from doing the same work at the same time. For speed, not for safety."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from diracx_tasks.core.redis import redis, script

PREFIX = "diracx:lock:"


@contextmanager
def lease(name: str, seconds: float) -> Iterator[bool]:
    """Whether the lease was got; it is given back at the end, and ends by itself after `seconds`.

    Without Redis everybody gets it: the database's compare-and-swap is what keeps data right.
    """
    owner = secrets.token_hex(8)
    try:
        got = bool(redis().set(PREFIX + name, owner, nx=True, px=int(seconds * 1000)))
    except RedisError:
        yield True
        return
    try:
        yield got
    finally:
        if got:
            _give_back(name, owner)


def _give_back(name: str, owner: str) -> None:
    try:
        script("diracx_tasks.engine", "release")(keys=[PREFIX + name], args=[owner])
    except RedisError:
        return
