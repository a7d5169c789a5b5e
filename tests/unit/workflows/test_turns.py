"""Turns: a few places, of which one is left for others whatever one user does."""

import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from diracx_tasks.core.errors import Unavailable
from diracx_tasks.workflows.turns import Turns
from tests.system import wait_for

SOON = 0.05
LONG = 20.0


class Askers:
    """Threads that take a turn each, and keep it until they are told to end."""

    def __init__(self) -> None:
        numbers = count()
        self.turns: Turns[int] = Turns(lambda: next(numbers), 3, 4)
        self.order: list[str] = []
        self.ends: dict[str, threading.Event] = {}
        self.threads: list[threading.Thread] = []

    def ask(self, name: str) -> None:
        """A thread for `user-1`: the user asks, under that name."""
        self.ends[name] = threading.Event()
        thread = threading.Thread(target=self._hold, args=(name,))
        self.threads.append(thread)
        thread.start()

    def end(self, name: str) -> None:
        """Have a thread give its place back."""
        self.ends[name].set()

    def wait_for(self, *names: str) -> None:
        """Return once exactly these got a place, in this order."""
        wait_for(lambda: len(self.order) >= len(names), LONG, lambda: str(self.order))
        assert self.order == list(names)

    def wait_until_waiting(self, number: int) -> None:
        """Return once so many wait."""
        wait_for(lambda: len(self.turns._waiting) == number, LONG, lambda: str(self.turns._waiting))

    def _hold(self, name: str) -> None:
        with self.turns.turn(name.partition("-")[0], LONG):
            self.order.append(name)
            self.ends[name].wait(LONG)


@pytest.fixture
def askers() -> Iterator[Askers]:
    """Three places, and nobody at them."""
    found = Askers()
    yield found
    for end in found.ends.values():
        end.set()
    for thread in found.threads:
        thread.join()


def both_places(askers: Askers, *more: Callable[[], None]) -> None:
    """One user holds all that one may hold, one after the other."""
    askers.ask("eve-1")
    askers.wait_for("eve-1")
    askers.ask("eve-2")
    askers.wait_for("eve-1", "eve-2")


def test_one_place_is_left_for_others(askers: Askers) -> None:
    both_places(askers)
    with pytest.raises(Unavailable, match=r"busy for 0\.05 s"), askers.turns.turn("eve", SOON):
        pass
    with askers.turns.turn("alice", SOON) as place:
        assert place == 2


def test_a_free_place_goes_to_who_holds_the_fewest(askers: Askers) -> None:
    both_places(askers)
    askers.ask("alice-1")
    askers.wait_for("eve-1", "eve-2", "alice-1")
    askers.ask("eve-3")
    askers.wait_until_waiting(1)
    askers.ask("bob-1")
    askers.wait_until_waiting(2)
    askers.end("eve-1")
    askers.wait_for("eve-1", "eve-2", "alice-1", "bob-1")


def test_who_comes_first_is_first_among_equals(askers: Askers) -> None:
    both_places(askers)
    askers.ask("alice-1")
    askers.wait_for("eve-1", "eve-2", "alice-1")
    for number, name in enumerate(("bob-1", "carol-1"), 1):
        askers.ask(name)
        askers.wait_until_waiting(number)
    askers.end("alice-1")
    askers.wait_for("eve-1", "eve-2", "alice-1", "bob-1")


def test_one_user_may_not_wait_many_times(askers: Askers) -> None:
    both_places(askers)
    for number in range(3, 7):
        askers.ask(f"eve-{number}")
    askers.wait_until_waiting(4)
    with pytest.raises(Unavailable, match="4 of your documents wait"), askers.turns.turn("eve", LONG):
        pass


def test_calls_without_a_name_use_all_places(askers: Askers) -> None:
    for number in range(3):
        askers.ask(f"-{number}")
    wait_for(lambda: len(askers.order) == 3, LONG, lambda: str(askers.order))


def test_a_place_is_used_again(askers: Askers) -> None:
    for _ in range(5):
        with askers.turns.turn("alice", SOON) as place:
            assert place == 0
    assert askers.turns.places() == [0]
