"""How often wrong secrets may be tried for a pilot from one address, by each process of the API."""

import threading
import time
from collections import OrderedDict

from diracx_tasks.auth.password import TooEarly

MOST_WRONG = 10
SECONDS = 60.0
MOST_KNOWN = 10_000
Key = tuple[str, str]

# Until when wrong ones are counted, and how many there were. Others at the same address are not held up:
# a whole site may be behind it.
_wrong: OrderedDict[Key, tuple[float, int]] = OrderedDict()
_lock = threading.Lock()


def check(address: str, stamp: str) -> None:
    """TooEarly when MOST_WRONG secrets within SECONDS were wrong, until these are over."""
    with _lock:
        until, count = _wrong.get((address, stamp), (0.0, 0))
        left = until - time.monotonic()
        if count >= MOST_WRONG and left > 0:
            raise TooEarly(f"{count} wrong secrets were given: try again in {left:.0f} s")


def note_wrong(address: str, stamp: str) -> None:
    """Count a wrong secret."""
    with _lock:
        now = time.monotonic()
        until, count = _wrong.pop((address, stamp), (0.0, 0))
        _wrong[address, stamp] = (until, count + 1) if now < until else (now + SECONDS, 1)
        if len(_wrong) > MOST_KNOWN:
            _wrong.popitem(last=False)
