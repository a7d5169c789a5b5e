"""How long jobs may run, and when a pilot drains."""

import time
from math import inf

import pytest

from diracx_tasks.node.time_left import TimeLeft


def began_before(seconds: float, **stated: float) -> TimeLeft:
    """The time of a pilot that runs since then."""
    return TimeLeft(**stated, _began=time.monotonic() - seconds)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("whole", "reserve", "last"),
    [(inf, 0, 0), (86_400, 300, 75), (3600, 180, 45), (1200, 60, 20), (100, 25, 20), (40, 10, 10)],
)
def test_a_twentieth_of_the_time_is_kept_for_its_end(whole: float, reserve: float, last: float) -> None:
    found = TimeLeft(whole)
    assert (found.reserve, found.last) == (reserve, last)


def test_a_margin_that_is_stated_counts() -> None:
    assert TimeLeft(86_400, margin=7.0).reserve == 7


def test_jobs_get_what_is_left_before_the_margin() -> None:
    assert TimeLeft().for_jobs() == (None, None)
    wall, cpu = began_before(1000, whole=3600).for_jobs()
    assert wall == pytest.approx(3600 - 180 - 1000, abs=5) and cpu is None


def test_a_pilot_first_stops_to_ask_and_then_gives_back() -> None:
    found = {
        seconds: (one.is_short, one.is_over)
        for seconds in (0, 3400, 3430, 3550, 3560, 4000)
        if (one := began_before(seconds, whole=3600))
    }
    assert found == {
        0: (False, False),
        3400: (False, False),
        3430: (True, False),
        3550: (True, False),
        3560: (True, True),
        4000: (True, True),
    }
    assert not TimeLeft().is_short and TimeLeft().next_look() == inf


def test_cpu_time_that_was_used_is_not_left() -> None:
    used = time.process_time()
    while time.process_time() < used + 0.05:
        pass
    found = TimeLeft(cpu=1e6, margin=0.0)
    _, cpu = found.for_jobs()
    assert cpu is not None and cpu < 1e6 - 0.01
    assert TimeLeft(cpu=0.001).is_over
    # As many cores can use so much more together.
    assert not TimeLeft(cpu=time.process_time(), cores=1000, margin=0.0).is_over
