"""Locks and limits as tasks want them: one writer or many readers, places, rates, fences, renewal, loss."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from diracx_tasks.core.redis import redis
from diracx_tasks.core.settings import settings
from diracx_tasks.engine import locks
from diracx_tasks.engine.locks import PREFIX, Admission, LockLost, admission, holders, lease, release
from diracx_tasks.engine.policies import Concurrent, Mutex, Rate, Read, Want, Write
from tests.builders import Installation

WRITE, READ = Write("job:{n}").want({"n": 1}), Read("job:{n}").want({"n": 1})
PLACE = Concurrent(2, per="se:{se}").want({"se": "CERN"})


@pytest.fixture
def settled(installation: Installation) -> None:
    """A Redis that has had its memory for long, so that places are given away."""
    redis().set("diracx:engine:since", 0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that run out soon."""
    monkeypatch.setattr(locks, "SECONDS", 0.3)
    monkeypatch.setattr(locks, "RENEWAL", 0.05)
    monkeypatch.setattr(locks, "_RENEWAL", locks._Renewal())


def given(*wants: Want) -> bool:
    with admission(wants) as found:
        return found.refused is None


@pytest.fixture
def held(settled: None) -> Iterator[Admission]:
    with admission([WRITE]) as found:
        yield found


def test_a_lease_is_given_to_one_and_given_back(installation: Installation) -> None:
    with lease("job:1") as first, lease("job:1") as second, lease("job:2") as other:
        assert (first, second, other) == (True, False, True)
    with lease("job:1") as again:
        assert again


def test_a_lease_is_given_back_after_an_error(installation: Installation) -> None:
    with pytest.raises(ValueError), lease("job:1"):
        raise ValueError
    assert given(WRITE)


def test_of_many_threads_one_holds_a_lock(installation: Installation) -> None:
    barrier = threading.Barrier(8)

    def hold(_: int) -> bool:
        with lease("job:1") as got:
            barrier.wait(30)
            return got

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(hold, range(8))).count(True) == 1


def test_readers_share_and_keep_writers_out(settled: None) -> None:
    with admission([READ]) as one, admission([READ]) as two:
        assert not one.refused and not two.refused
        assert not given(WRITE)
    assert given(WRITE)


def test_a_writer_keeps_readers_out(held: Admission) -> None:
    assert not given(READ) and not given(WRITE)


def test_a_waiting_writer_goes_before_new_readers(settled: None) -> None:
    with admission([READ]):
        assert not given(WRITE)
        assert not given(READ)
    assert given(WRITE)
    assert given(READ)


def test_fences_grow_also_when_redis_has_lost_its_memory(settled: None) -> None:
    fences = []
    for _ in range(3):
        with admission([WRITE]) as found:
            fences.append(found.fence or 0)
        redis().flushall()
    assert fences == sorted(set(fences)) and fences[0] > 0


def test_all_is_given_or_nothing(settled: None) -> None:
    other = Mutex("workflow:{n}").want({"n": 7})
    with admission([WRITE]):
        assert not given(other, WRITE)
        assert given(other)
        assert redis().zcard(PREFIX + PLACE.key) == 0
        with admission([PLACE, WRITE]) as found:
            assert found.refused == WRITE
        assert redis().zcard(PREFIX + PLACE.key) == 0


def test_a_limit_counts_each_object_by_itself(settled: None) -> None:
    other = Concurrent(2, per="se:{se}").want({"se": "RAL"})
    with admission([PLACE]), admission([PLACE]):
        assert not given(PLACE)
        assert given(other)
    assert given(PLACE)


def test_a_rate_is_used_up_and_says_how_long_to_wait(settled: None) -> None:
    rate = Rate(3, 60, per="se:{se}").want({"se": "CERN"})
    assert [given(rate) for _ in range(3)] == [True] * 3
    with admission([rate]) as found:
        assert found.refused == rate
        assert 0 < found.retry_after <= 60.001  # a millisecond more, so that it is free then


def test_the_window_of_a_rate_slides(settled: None) -> None:
    rate = Rate(2, 60).want({})
    assert given(rate) and given(rate) and not given(rate)
    (first,) = redis().zrange(PREFIX + rate.key, 0, 0)
    redis().zadd(PREFIX + rate.key, {str(first): 1})
    assert given(rate) and not given(rate)


def test_a_start_that_was_refused_uses_up_nothing(settled: None) -> None:
    rate = Rate(1, 60).want({})
    with admission([WRITE]):
        assert not given(rate, WRITE)
    assert given(rate)


def test_places_come_back_from_a_holder_that_died(settled: None, quick: None) -> None:
    with admission([PLACE]), admission([PLACE]):
        locks._RENEWAL.held.clear()  # as a kill -9 does: nobody renews
        pause = threading.Event()
        while not given(PLACE):
            assert not pause.wait(0.05)
    assert given(WRITE)


def test_what_is_held_is_renewed(settled: None, quick: None) -> None:
    with admission([WRITE, PLACE]) as found:
        for _ in range(5):
            threading.Event().wait(0.1)
            assert not given(WRITE)
        assert not found.lost


def test_a_holder_that_comes_back_after_a_flush_has_its_lock_again(settled: None, quick: None) -> None:
    with admission([WRITE]) as found:
        redis().flushall()
        pause = threading.Event()
        while redis().zcard(PREFIX + WRITE.key) == 0:
            assert not pause.wait(0.02)
        assert not given(WRITE) and not found.lost


def test_no_place_is_given_away_right_after_a_flush(settled: None) -> None:
    redis().flushall()
    with admission([PLACE]) as found:
        assert found.refused == PLACE and 0 < found.retry_after <= locks.REGAIN
    redis().set("diracx:engine:since", 0)
    assert given(PLACE)


def test_losing_a_lock_is_told_to_its_holder(settled: None, quick: None) -> None:
    with admission([WRITE]) as found:
        found.check()
        assert release("job:1") == 1
        with admission([WRITE]) as thief:
            assert not thief.refused
            pause = threading.Event()
            while not found.lost:
                assert not pause.wait(0.02)
            with pytest.raises(LockLost, match="lock:job:1"):
                found.check()
    assert given(WRITE)


def test_giving_back_a_lost_lock_does_not_take_it_from_its_next_holder(settled: None) -> None:
    with admission([WRITE]):
        release("job:1")
        thief = admission([WRITE])
        assert not thief.__enter__().refused
    assert not given(WRITE)
    thief.__exit__(None, None, None)


def test_without_redis_locks_are_open_and_limits_closed(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_REDIS_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    with admission([WRITE]) as one, admission([WRITE]) as two, admission([WRITE, PLACE]) as three:
        assert not one.refused and not two.refused and one.fence is None
        assert three.refused == PLACE and three.retry_after > 0


def test_what_is_held_is_listed(held: Admission) -> None:
    with admission([PLACE]):
        (lock,), (place,) = holders("lock"), holders("limit")
    assert (lock["name"], lock["way"], lock["holders"]) == ("job:1", "write", 1)
    assert (place["name"], place["way"], place["holders"]) == ("concurrent:se:CERN", "concurrent", 1)


def test_a_lock_that_was_taken_away_is_free_and_its_holder_knows(settled: None, quick: None) -> None:
    with admission([WRITE]) as found:
        release("job:1")
        pause = threading.Event()
        while not found.lost:
            assert not pause.wait(0.02)
        assert given(WRITE)
