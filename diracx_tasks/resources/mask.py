"""The sites and computing elements that a VO may not use now, for those who ask many times a second."""

from functools import lru_cache

import orjson

from diracx_tasks.core.database import new_session
from diracx_tasks.resources.view import view

VIEWS = ("site", "compute")


def barred(vo: str) -> dict[str, str]:
    """Sites and computing elements that are not Active or Degraded, and why; others are free to be used."""
    with new_session(reading=True) as db:
        found: dict[str, str] = {}
        for name in VIEWS:
            found |= _barred(view(name, vo, lambda: db).body)
        return found


@lru_cache(256)
def _barred(body: bytes) -> dict[str, str]:
    return {
        name: kinds["all"]["reason"]
        for name, kinds in orjson.loads(body).items()
        if not kinds["all"]["allowed"]
    }
