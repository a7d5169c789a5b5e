"""Index arithmetic of scatter (CWL v1.2, section WorkflowStep): which slot takes which elements."""

from math import prod
from typing import Any

from diracx_tasks.core.errors import InvalidCwl

DOT = "dotproduct"
NESTED = "nested_crossproduct"
# A crossproduct of long arrays is made with a few words.
MOST = 10_000_000


def size(method: str, dims: list[int]) -> int:
    """How many jobs a scatter over arrays of these lengths makes.

    Raises InvalidCwl when a dotproduct's arrays differ in length, or for more than MOST jobs.
    """
    if method != DOT:
        if (count := prod(dims)) > MOST:
            raise InvalidCwl(f"a scatter over arrays of {dims} makes {count} jobs, {MOST} are the most")
        return count
    if len(set(dims)) > 1:
        raise InvalidCwl(f"a dotproduct needs arrays of one length, these have {dims}")
    return dims[0]


def indices(method: str, dims: list[int], slot: int) -> list[int]:
    """The element of each scattered array that a slot takes; the first array varies slowest."""
    if method == DOT:
        return [slot] * len(dims)
    found: list[int] = []
    for length in reversed(dims):
        slot, index = divmod(slot, length)
        found.append(index)
    return found[::-1]


def shaped(method: str, dims: list[int], values: list[Any]) -> list[Any]:
    """The values of all slots in the order of slots, nested as the method says."""
    if method != NESTED or len(dims) < 2:
        return values
    inner = prod(dims[1:])
    return [shaped(method, dims[1:], values[i * inner : (i + 1) * inner]) for i in range(dims[0])]
