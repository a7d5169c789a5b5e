"""Locks and limits as leases in Redis, shared by all workers: given all at once, renewed, given back.

Locks are for speed: without Redis everybody gets them, the database's compare-and-swap keeps data right.
Limits protect others' systems: without Redis nobody gets a place.
"""

import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from redis.exceptions import ConnectionError, RedisError, TimeoutError

from diracx_tasks.core.errors import DiracXError
from diracx_tasks.core.redis import redis, script
from diracx_tasks.engine.policies import Want

log = logging.getLogger(__name__)
PREFIX = "diracx:"
WAITS, RELEASED = f"{PREFIX}engine:writer:", f"{PREFIX}engine:released:"
# A worker that is killed keeps others waiting for so long at most.
SECONDS = 15.0
RENEWAL = 3.0
# After a loss of memory holders come back within a renewal; until then no place is given away.
REGAIN = RENEWAL + 1
WITHOUT_REDIS = 5.0


class LockLost(DiracXError):
    """The lease of a lock or place ran out and somebody else has it now."""


@dataclass
class Admission:
    """What a run was given, or why not: `refused` is the want that was not free.

    `fence` grows with every admission and never repeats: a system that sees a lower one than before
    may refuse it. None means that Redis was away.
    """

    wants: Sequence[Want]
    owner: str = field(default_factory=lambda: secrets.token_hex(8))
    fence: int | None = None
    refused: Want | None = None
    retry_after: float = 0
    lost: list[Want] = field(default_factory=list)
    # A renewal that is under way must not bring back what is just being given back.
    guard: threading.Lock = field(default_factory=threading.Lock)
    is_over: bool = False
    renewed: float = field(default_factory=time.monotonic)

    @property
    def leases(self) -> list[Want]:
        """What is held until it is given back."""
        return [want for want in self.wants if want.way != "rate"]

    def check(self) -> None:
        """Raise LockLost when something that was given is somebody else's by now."""
        if self.lost:
            raise LockLost(f"lost {', '.join(want.key for want in self.lost)} to another run")
        if self.leases and self.fence is not None and time.monotonic() > self.renewed + SECONDS:
            raise LockLost(f"{self.leases[0].key} could not be renewed for {SECONDS:g} s")


@contextmanager
def admission(wants: Sequence[Want]) -> Iterator[Admission]:
    """All that is wanted or nothing; what was given is renewed until the end of the block and given back."""
    found = Admission(wants)
    if not wants:
        yield found
        return
    _ask(found)
    if found.refused or found.fence is None or not found.leases:
        yield found
        return
    _RENEWAL.add(found)
    try:
        yield found
    finally:
        _RENEWAL.remove(found)
        with found.guard, suppress(RedisError):
            found.is_over = True
            _renew(found, 0)


@contextmanager
def lease(name: str) -> Iterator[bool]:
    """Whether a mutex was got; it is renewed until the end of the block and then given back."""
    with admission([Want("write", f"lock:{name}")]) as found:
        yield found.refused is None


def release(name: str) -> int:
    """Take a lock from whoever holds it, by its name such as `job:42`; answers how many held it."""
    key = f"{PREFIX}lock:{name}"
    members = redis().zrange(key, 0, -1)
    if members:
        # Or their next renewals would take it back.
        redis().sadd(RELEASED + key, *members)
        redis().pexpire(RELEASED + key, int(SECONDS * 4000))
    redis().delete(key, WAITS + key)
    return len(members)


def holders(kind: str) -> list[dict[str, object]]:
    """Every key under `lock` or `limit` with how many hold it and for how many seconds their leases last."""
    found = []
    for key in sorted(str(one) for one in redis().scan_iter(f"{PREFIX}{kind}:*", count=1000)):
        members = [str(one) for one in redis().zrange(key, 0, -1)]
        ways = {"w": "write", "r": "read", "c": "concurrent"}
        way = "rate" if ":rate:" in key else ways.get(members[0][0], "") if members else ""
        name = key.removeprefix(f"{PREFIX}{kind}:")
        found.append({"name": name, "way": way, "holders": len(members), "seconds": redis().pttl(key) / 1000})
    return found


def _ask(found: Admission) -> None:
    arguments: list[str | int] = [found.owner, int(SECONDS * 1000), int(REGAIN * 1000)]
    for want in found.wants:
        arguments += [want.way, want.count, int(want.seconds * 1000)]
    try:
        given, second, *rest = script("diracx_tasks.engine", "admit")(keys=_keys(found.wants), args=arguments)
    except (ConnectionError, TimeoutError):
        found.refused = next((want for want in found.wants if not want.is_lock), None)
        found.retry_after = WITHOUT_REDIS
        return
    if given:
        found.fence = int(second)
    else:
        found.refused, found.retry_after = found.wants[int(second) - 1], int(rest[0]) / 1000


def _renew(found: Admission, seconds: float) -> None:
    arguments: list[str | int] = [found.owner, int(seconds * 1000)]
    for want in found.leases:
        arguments += [want.way, want.count]
    lost = script("diracx_tasks.engine", "renew")(keys=_keys(found.leases), args=arguments)
    leases = found.leases
    found.renewed = time.monotonic()
    found.lost += [leases[int(i) - 1] for i in lost if leases[int(i) - 1] not in found.lost]


def _keys(wants: Sequence[Want]) -> list[str]:
    return [PREFIX + want.key for want in wants]


class _Renewal:
    """One thread a process that renews everything its runs hold."""

    def __init__(self) -> None:
        self.held: list[Admission] = []
        self.pid = 0

    def add(self, one: Admission) -> None:
        if self.pid != os.getpid():
            self.held, self.pid = [], os.getpid()
            threading.Thread(target=self._work, args=(self.held,), daemon=True, name="leases").start()
        self.held.append(one)

    def remove(self, one: Admission) -> None:
        with suppress(ValueError):
            self.held.remove(one)

    def _work(self, held: list[Admission]) -> None:
        pause = threading.Event()
        while not pause.wait(RENEWAL):
            for one in list(held):
                try:
                    with one.guard:
                        if not one.is_over:
                            _renew(one, SECONDS)
                except RedisError:
                    continue
                except Exception:
                    log.exception("a lease was not renewed")


_RENEWAL = _Renewal()
