"""The nine queues, priority times size, and which queue a task goes to."""

from typing import Literal, get_args

Priority = Literal["realtime", "normal", "background"]
Size = Literal["small", "medium", "large"]

PRIORITIES: tuple[Priority, ...] = get_args(Priority)
SIZES: tuple[Size, ...] = get_args(Size)
# The order is the order in which a worker looks: all realtime before all normal.
QUEUES = tuple(f"{priority}.{size}" for priority in PRIORITIES for size in SIZES)
DEFAULT = "normal.small"


def queue_of(priority: Priority, size: Size) -> str:
    """The queue's name."""
    return f"{priority}.{size}"
