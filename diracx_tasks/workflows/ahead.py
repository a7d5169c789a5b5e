"""Evaluating the next slots of a scatter while those before are being stored."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from diracx_tasks.core.database import reading
from diracx_tasks.core.errors import DiracXError
from diracx_tasks.workflows.decide import evaluated
from diracx_tasks.workflows.look import CHUNK, Glance, slots_of, values_of

Slots = list[dict[str, Any]]
# A node, and the first slot.
Place = tuple[int, int]


class Ahead:
    """One thread that asks the isolate about the chunk of slots that comes next; to be closed."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "ahead")
        self._asked: tuple[Place, Future[Slots]] | None = None

    def begin(self, glance: Glance) -> None:
        """Have the slots evaluated that follow those of a glance."""
        node = glance.node
        if node is None or node.kind != "scatter" or glance.slots is None:
            return
        start = glance.slots.numbers.stop
        if start < node.total:
            self._asked = (node.node_id, start), self._executor.submit(_slots, glance, start)

    def take(self, glance: Glance) -> Slots | None:
        """The slots of a glance if they were evaluated before; None otherwise, or when that went wrong."""
        if self._asked is None or glance.node is None or glance.slots is None:
            return None
        place, future = self._asked
        if place != (glance.node.node_id, glance.slots.numbers.start):
            return None
        self._asked = None
        with suppress(DiracXError):
            return future.result()
        # It is evaluated again, for the words about what is wrong.
        return None

    def close(self) -> None:
        """Wait for what was asked last."""
        self._executor.shutdown(cancel_futures=True)


def _slots(glance: Glance, start: int) -> Slots:
    node = glance.node
    assert node is not None
    with reading() as db:
        inputs, more = values_of(db, node.node_id)
        numbers = range(start, min(start + CHUNK, node.total))
        fixed, slots = slots_of(db, node, inputs, more, numbers)
    return evaluated(glance, fixed, slots)
