"""Leases in Redis that keep two workers from the same work at the same time: for speed, not for safety."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from diracx_tasks.core.redis import redis, script

PREFIX = "diracx:lock:"
# A worker that is killed keeps others waiting for so long at most.
SECONDS = 15.0


@contextmanager
def lease(name: str) -> Iterator[bool]:
    """Whether the lease was got; it is renewed until the end of the block and then given back.

    Without Redis everybody gets it: the database's compare-and-swap is what keeps data right.
    """
    owner = secrets.token_hex(8)
    try:
        got = bool(redis().set(PREFIX + name, owner, nx=True, px=int(SECONDS * 1000)))
    except RedisError:
        yield True
        return
    if not got:
        yield False
        return
    is_over = threading.Event()
    renewal = threading.Thread(target=_renew, args=(name, owner, is_over), daemon=True, name=f"lease {name}")
    renewal.start()
    try:
        yield True
    finally:
        is_over.set()
        _change(name, owner, 0)


def _renew(name: str, owner: str, is_over: threading.Event) -> None:
    while not is_over.wait(SECONDS / 3):
        _change(name, owner, SECONDS)


def _change(name: str, owner: str, seconds: float) -> None:
    """Make the lease last so long from now on; 0 gives it back."""
    try:
        script("diracx_tasks.engine", "lease")(keys=[PREFIX + name], args=[owner, int(seconds * 1000)])
    except RedisError:
        return
