"""Whose turn it is: a few places that many ask for, of which nobody gets all."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from typing import Generic, TypeVar

from diracx_tasks.core.errors import Unavailable

Place = TypeVar("Place")


@dataclass(eq=False)
class _Turn:
    who: str


@dataclass
class Turns(Generic[Place]):
    """Gives out places for a while; made by `make` when they are first needed.

    One place is always left for others: who is named holds `count - 1` of them at most. A free place goes to
    whoever holds the fewest, then to the first who came. Calls without a name are not held to this.
    """

    make: Callable[[], Place]
    count: int
    most_waiting: int
    _free: list[Place] = field(default_factory=list)
    _held: list[_Turn] = field(default_factory=list)
    _waiting: list[_Turn] = field(default_factory=list)
    _changed: Condition = field(default_factory=Condition)
    _made: int = 0

    @contextmanager
    def turn(self, who: str, seconds: float) -> Iterator[Place]:
        """A place for the block; Unavailable after `seconds`, at once beyond `most_waiting` of one name."""
        me = _Turn(who)
        place = self._taken(me, seconds)
        try:
            yield place
        finally:
            with self._changed:
                self._held.remove(me)
                # The one used last comes first: it is warm.
                self._free.append(place)
                self._changed.notify_all()

    def places(self) -> list[Place]:
        """The free ones, which are given out no more: for the end of this process."""
        with self._changed:
            found, self._free = self._free, []
            self._made -= len(found)
            return found

    def _taken(self, me: _Turn, seconds: float) -> Place:
        until = time.monotonic() + seconds
        with self._changed:
            if me.who and self._number(self._waiting, me) >= self.most_waiting:
                raise Unavailable(
                    f"{self.most_waiting} of your documents wait to be evaluated: try again in a minute"
                )
            self._waiting.append(me)
            try:
                while not self._is_next(me):
                    if not self._changed.wait(until - time.monotonic()):
                        raise Unavailable(
                            f"all evaluators were busy for {seconds:g} s: try again in a minute"
                        )
                self._held.append(me)
                return self._place()
            finally:
                self._waiting.remove(me)
                self._changed.notify_all()

    def _place(self) -> Place:
        if self._free:
            return self._free.pop()
        self._made += 1
        return self.make()

    def _is_next(self, me: _Turn) -> bool:
        if len(self._held) >= self.count:
            return False
        may = [one for one in self._waiting if self._may(one)]
        return bool(may) and min(may, key=lambda one: self._number(self._held, one)) is me

    def _may(self, one: _Turn) -> bool:
        return not one.who or self._number(self._held, one) < max(1, self.count - 1)

    @staticmethod
    def _number(turns: list[_Turn], me: _Turn) -> int:
        return sum(one.who == me.who for one in turns)
