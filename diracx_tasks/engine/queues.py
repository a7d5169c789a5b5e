"""The nine queues, priority times size, what a size allows, and which queue a task goes to."""

from typing import Literal, NamedTuple, get_args

Priority = Literal["realtime", "normal", "background"]
Size = Literal["small", "medium", "large"]


class Allowance(NamedTuple):
    """What a task of a size may use unless it states otherwise: seconds, and MiB of memory."""

    seconds: float
    memory: int


PRIORITIES: tuple[Priority, ...] = get_args(Priority)
SIZES: tuple[Size, ...] = get_args(Size)
# The order is the order in which a worker looks: all realtime before all normal.
QUEUES = tuple(f"{priority}.{size}" for priority in PRIORITIES for size in SIZES)
DEFAULT = "normal.small"
ALLOWANCES = {"small": Allowance(60, 1024), "medium": Allowance(300, 2048), "large": Allowance(1800, 4096)}
# Celery's Redis transport delivers again what has not ended after VISIBILITY: a task must end before.
LONGEST = 3000.0


def queue_of(priority: Priority, size: Size) -> str:
    """The queue's name."""
    return f"{priority}.{size}"
