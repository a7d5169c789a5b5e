"""The queue and its classes: what is one class, in which order its jobs come, and how it is forgotten."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, reading, session
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching import keys, queue, store
from diracx_tasks.matching.match import take
from diracx_tasks.matching.node import Node
from diracx_tasks.matching.queue import Entry
from diracx_tasks.matching.store import Class
from diracx_tasks.matching.tables import JobClass, Queued
from tests.builders import ANYWHERE, VO, Installation, a_job
from tests.unit.matching.ends import a_node
from tests.unit.matching.together import Together, Wish, nodes, wishes

FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
ONE_CORE = Node("CERN", cores=1, ram_mb=4000)


def entry(job_id: int, record: dict[str, Any] | None = None, **about: Any) -> Entry:
    whose = {"vo": VO, "job_type": "user", "group": "user", "owner": "alice", "priority": 5, **about}
    return Entry(job_id, requirements=ANYWHERE if record is None else record, **whose)


def queued(*entries: Entry) -> None:
    with session() as db:
        queue.add(db, entries)


def taken(node: Node | None = None, times: int = 20) -> list[int]:
    """The jobs that a node gets which asks so many times."""
    return [one.job_id for _ in range(times) for one in take(VO, node or a_node()).taken]


def test_a_class_is_stored_once_however_many_jobs_it_has(db: Session) -> None:
    for ram in (1, 100, 256):
        a_job(db, requirements={"ram_mb": ram})
    assert db.scalar(select(func.count()).select_from(JobClass)) == 1
    assert db.scalar(select(func.count()).select_from(Queued)) == 3


def test_only_waiting_jobs_are_queued(db: Session) -> None:
    for status in (Status.RECEIVED, Status.RUNNING, Status.DONE, Status.KILLED):
        a_job(db, status)
    assert db.scalars(select(Queued.job_id)).all() == []


@given(wish=wishes)
def test_what_is_asked_for_makes_the_class_and_not_how_it_is_written(wish: Wish) -> None:
    turned = {
        key: list(reversed(value)) if key in ("sites", "tags", "alternatives") else value
        for key, value in reversed(wish.record.items())
    }
    same = entry(1, wish.record).identity
    assert entry(2, turned).identity == same
    for other in ({"vo": "belle"}, {"job_type": "MC"}, {"group": "x"}, {"owner": "Alice"}, {"priority": 6}):
        assert entry(1, wish.record, **other).identity != same


@pytest.mark.parametrize("stated, effective", [(-5, 0), (0, 0), (10, 10), (99, 10)])
def test_priorities_beyond_the_scale_are_its_ends(stated: int, effective: int) -> None:
    assert entry(1, priority=stated).identity == entry(1, priority=effective).identity


@pytest.mark.usefixtures("installation")
def test_jobs_of_a_class_come_in_the_order_in_which_they_came_and_older_ones_in_front() -> None:
    queued(entry(20), entry(30))
    queued(entry(25), entry(10), entry(2**31 - 1), entry(5))
    assert taken() == [5, 10, 20, 30, 25, 2**31 - 1]


@pytest.mark.usefixtures("installation")
def test_higher_priorities_come_first_and_equal_ones_by_number_across_classes() -> None:
    queued(
        entry(1, priority=1),
        entry(2, {"cores": 2}, priority=9),
        entry(3, {"cores": 4}, priority=9),
        entry(4, priority=10),
        entry(5, {"cores": 2}, priority=9),
    )
    assert taken() == [4, 2, 3, 5, 1]


@pytest.mark.usefixtures("installation")
def test_a_job_that_leaves_and_comes_back_is_given_once() -> None:
    queued(entry(1), entry(2), entry(3))
    for _ in range(3):
        with session() as db:
            queue.remove(db, [2])
            queue.add(db, [entry(2)])
    assert sorted(taken()) == [1, 2, 3]


@pytest.mark.usefixtures("installation")
def test_the_number_of_a_class_that_is_gone_is_not_given_to_another() -> None:
    """Redis may not have heard that it is gone."""
    queued(entry(1, job_type="MC"))
    assert taken() == [1]
    with session() as db:
        queue.claimed(db, [1])
        changed(db, delete(JobClass))
    queued(entry(2, {"cores": 8}))
    assert taken(ONE_CORE) == []
    assert taken() == [2]


@pytest.mark.usefixtures("installation")
def test_a_transaction_that_fails_queues_nothing() -> None:
    with pytest.raises(RuntimeError), session() as db:
        queue.add(db, [entry(1)])
        raise RuntimeError
    assert taken() == []
    with reading() as db:
        assert db.scalars(select(Queued.job_id)).all() == []


@pytest.mark.usefixtures("installation")
def test_a_class_with_jobs_is_not_forgotten() -> None:
    queued(entry(1))
    assert store.forget(VO, store.classes(VO)) == 0
    assert taken() == [1]
    assert store.forget(VO, [1, 1, 999]) == 1 and store.classes(VO) == []


def bits_of(vo: str) -> dict[str, int]:
    """How many slots each bitmap has."""
    names = [str(name) for name in redis().scan_iter(f"{keys.prefix(vo)}b:*", count=1000)]
    counts = {name.removeprefix(keys.prefix(vo)): redis().bitcount(name) for name in [*names]}
    return {name: count for name, count in counts.items() if count}


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=FIXTURE)
@given(rounds=st.lists(st.lists(wishes, min_size=1, max_size=5), min_size=2, max_size=5), node=nodes)
def test_slots_of_forgotten_classes_are_used_again_and_nothing_of_the_old_is_left(
    installation: Installation, rounds: list[list[Wish]], node: Node
) -> None:
    installation.redis.flush()
    both, job_id = Together(VO), 0
    for round_ in rounds:
        for wish in round_:
            job_id += 1
            both.push([wish.entry(job_id, VO)])
        while both.ask(node):
            pass
        both.drop(sorted(both.reference.waits)[::2])
        both.forget_classes()
    both.drop(sorted(both.reference.waits))
    both.forget_classes()
    assert store.classes(VO) == [] and bits_of(VO) == {}
    used = int(redis().get(f"{keys.prefix(VO)}slots") or 0)
    assert sorted(map(int, redis().lrange(f"{keys.prefix(VO)}free", 0, -1))) == list(range(used))
    assert used <= 4 * 5 * len(rounds)


@pytest.mark.usefixtures("installation")
def test_a_class_that_has_been_forgotten_is_made_known_by_its_next_job() -> None:
    (identity,) = {entry(1).identity}
    one = Class(7, *identity)
    assert store.push({one: [1]}) == 1 and taken() == [1]
    store.forget(VO, [7])
    assert store.push({one: [2, 3]}) == 2
    assert store.push({one: [2, 3]}) == 0
    assert taken() == [2, 3]
