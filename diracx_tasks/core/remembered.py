"""Answers that are dear to find and may be a little old: kept for a while that follows from their price."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

# An answer is kept for so many times what it took to find, so that finding takes 1 % of the time at most.
TIMES = 100
LONGEST = 10.0
MOST = 1000


@dataclass
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: Any = None
    until: float = 0


_KEPT: OrderedDict[Hashable, _Kept] = OrderedDict()
_LOCK = threading.Lock()


def remembered(
    key: Hashable, find: Callable[[], Any], *, is_dear: Callable[[Any], bool] = lambda _: True
) -> Any:
    """What `find` answers, or answered a moment ago for this key; several who ask at once ask once.

    What is not `is_dear` is found anew each time.
    """
    kept = _kept(key)
    with kept.lock:
        if time.monotonic() < kept.until:
            return kept.value
        kept.value, began = None, time.monotonic()
        found = find()
        if is_dear(found):
            ended = time.monotonic()
            kept.value, kept.until = found, ended + min(TIMES * (ended - began), LONGEST)
        return found


def _kept(key: Hashable) -> _Kept:
    with _LOCK:
        found = _KEPT.setdefault(key, _Kept())
        _KEPT.move_to_end(key)
        if len(_KEPT) > MOST:
            _KEPT.popitem(last=False)
        return found
