"""What pages show of servers that may be away: what they say, or why they say nothing."""

from collections.abc import Callable
from typing import Any, NamedTuple

from diracx_tasks.core.errors import Unavailable

Rows = list[dict[str, Any]]


class Told(NamedTuple):
    """Rows, or in words why there are none."""

    rows: Rows
    trouble: str = ""


def told(find: Callable[[], Rows]) -> Told:
    """What is found; a broker or Redis that does not answer is no error of the page."""
    try:
        return Told(find())
    except Unavailable as error:
        return Told([], str(error))
