"""One task of each kind: what it did is a row, so that runs can be counted and compared."""

import os
import time

from pydantic import BaseModel

from diracx_tasks.engine.policies import Concurrent, Rate
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.run import this_run
from diracx_tasks.engine.task import task
from tests.crash.probe.effects import happen


class Item(BaseModel):
    """One call of the batch task."""

    number: int
    seconds: float = 0


@task(retry=Backoff(first=0.5, times=20, cap=5))
def plain(number: int, seconds: float = 0) -> str:
    """Just have the effect."""
    return happen("plain", number, seconds)


@task(priority="realtime")
def urgent(number: int) -> str:
    """Have the effect before others."""
    return happen("urgent", number)


@task(lock="job:{number}", retry=Backoff(first=0.5, times=20, cap=5))
def locked(number: int, seconds: float = 0) -> str:
    """Have the effect under a lock."""
    return happen("locked", number, seconds)


@task(limit=(Concurrent(3), Rate(1000, 1)), retry=Backoff(first=0.5, times=20, cap=5))
def limited(number: int, seconds: float = 0) -> str:
    """Have the effect within limits."""
    return happen("limited", number, seconds)


@task(size="large", priority="background", retry=Backoff(first=0.5, times=20, cap=5))
def large(number: int, seconds: float = 0) -> str:
    """Have the effect in another queue."""
    return happen("large", number, seconds)


@task(batch=100, retry=Backoff(first=0.5, times=20, cap=5))
def batched(items: list[Item]) -> str:
    """Have many effects."""
    for item in items:
        happen("batched", item.number, item.seconds)
    return f"{len(items)} happened"


@task(retry=Backoff(first=0.5, times=20, cap=5))
def child(number: int, seconds: float = 0) -> str:
    """Have the effect as one of many."""
    return happen("child", number, seconds)


@task()
def gathered(number: int) -> str:
    """What comes after all children."""
    return happen("gathered", number)


@task(timeout=1, retry=Backoff(first=0.2, times=1))
def stuck(number: int) -> str:
    """Do not notice the soft time limit."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            time.sleep(60)
        except Exception:
            continue
    return "never"


@task(memory=300, retry=Backoff(first=0.2, times=1))
def hungry(number: int, mib: int) -> str:
    """Want memory."""
    found = bytearray(mib << 20)
    return f"had {len(found) >> 20} MiB"


@task(retry=Backoff(first=0.2, times=1))
def deadly(number: int) -> str:
    """Kill the process that runs it."""
    os.kill(os.getpid(), 9)
    return "never"


@task(lock="job:{number}")
def fenced(number: int) -> str:
    """Say the fencing number of its lock."""
    run = this_run()
    assert run is not None
    run.check()
    return str(run.fence)
