"""Leases, pauses and queues."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.core.settings import settings
from diracx_tasks.engine.locks import PREFIX, lease
from diracx_tasks.engine.periodic import recorded, runs
from diracx_tasks.engine.queues import DEFAULT, PRIORITIES, QUEUES, SIZES, queue_of
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.task import REGISTRY
from tests.builders import Installation


def test_a_lease_is_given_to_one_and_given_back(installation: Installation) -> None:
    with lease("x") as first, lease("x") as second, lease("y") as other:
        assert (first, second, other) == (True, False, True)
    with lease("x") as again:
        assert again


def test_a_lease_that_ran_out_is_not_taken_from_its_next_holder(installation: Installation) -> None:
    with lease("x"):
        redis().set(PREFIX + "x", "somebody else")
    assert redis().get(PREFIX + "x") == "somebody else"


def test_a_lease_is_given_back_after_an_error(installation: Installation) -> None:
    with pytest.raises(ValueError), lease("x"):
        raise ValueError
    assert redis().get(PREFIX + "x") is None


def test_of_many_threads_one_holds_a_lease(installation: Installation) -> None:
    barrier = threading.Barrier(8)

    def hold(_: int) -> bool:
        with lease("x") as got:
            barrier.wait(30)
            return got

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(hold, range(8))).count(True) == 1


def test_without_redis_everybody_may_work(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_REDIS_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    with lease("x") as first, lease("x") as second:
        assert first and second


@given(first=st.floats(0.01, 100), times=st.integers(0, 50), cap=st.floats(1, 1000), tries=st.integers(1, 60))
def test_a_pause_is_never_longer_than_the_cap_and_ends(
    first: float, times: int, cap: float, tries: int
) -> None:
    pause = Backoff(first, times, cap).pause(tries)
    assert (pause is None) == (tries > times)
    if pause is not None:
        assert min(cap, first * 2.0 ** (tries - 1)) / 2 <= pause <= cap


def test_the_queues_are_priority_times_size_urgent_ones_first() -> None:
    assert len(QUEUES) == len(PRIORITIES) * len(SIZES) == 9
    assert QUEUES[0] == "realtime.small" and QUEUES[-1] == "background.large"
    assert queue_of("normal", "small") == DEFAULT


def test_every_task_goes_to_a_queue_that_exists() -> None:
    assert {declared.queue for declared in REGISTRY.values()} <= set(QUEUES)
    assert all("." in name for name in REGISTRY)


def test_a_periodic_run_is_recorded_also_when_it_fails(installation: Installation) -> None:
    with recorded("x.good") as record:
        record.outcome = "3 done"
    with pytest.raises(ValueError), recorded("x.bad"):
        raise ValueError("no luck")
    with database.reading() as db:
        found = runs(db)
    assert found["x.good"].outcome == "3 done" and found["x.good"].ended_at
    assert "no luck" in (found["x.bad"].outcome or "")
