"""What a search finds, page by page, the newest first."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

PAGE = 100
LONG_PAGE = 1000


def newest(
    client: "Client", address: str, number: str, conditions: Sequence[Mapping[str, Any]], most: int | None
) -> Iterator[dict[str, Any]]:
    """Up to `most` rows of a search at an address, all if None, by the column that is their number.

    Pages begin below the last row, so that new ones shift nothing.
    """
    below: list[Mapping[str, Any]] = []
    count = 0
    while most is None or count < most:
        size = LONG_PAGE if most is None else min(PAGE, most - count)
        body = {"search": [*conditions, *below], "sort": [{"parameter": number, "direction": "desc"}]}
        rows = client.post(address, body, page=1, per_page=size)
        yield from rows
        count += len(rows)
        if len(rows) < size:
            return
        below = [{"parameter": number, "operator": "lt", "value": rows[-1][number]}]
