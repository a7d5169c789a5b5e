"""The sites and computing elements that a VO may not use now, for those who ask many times a second."""

import time
from typing import NamedTuple

from diracx_tasks.core.database import new_session
from diracx_tasks.core.settings import Settings, settings
from diracx_tasks.resources import view

VIEWS = ("site", "compute")


class _Read(NamedTuple):
    of: Settings
    changes: int
    until: float
    barred: dict[str, str]


_READ: dict[str, _Read] = {}


def barred(vo: str) -> dict[str, str]:
    """Sites and computing elements that are not Active or Degraded, and why; others are free to be used.

    What this process has not changed itself is seen within two seconds.
    """
    read = _READ.get(vo)
    if (
        not read
        or read.of is not settings()
        or read.changes != view.changes()
        or time.monotonic() > read.until
    ):
        until, changes = time.monotonic() + view.KEPT, view.changes()
        read = _READ[vo] = _Read(settings(), changes, until, _look(vo))
    return read.barred


def _look(vo: str) -> dict[str, str]:
    found: dict[str, str] = {}
    with new_session(reading=True) as db:
        for name in VIEWS:
            found |= view.view(name, vo, lambda: db).barred.get("all", {})
    return found
