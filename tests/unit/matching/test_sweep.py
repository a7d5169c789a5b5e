"""Each way in which Redis and the database can differ is repaired by one sweep."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import delete, func, select, update

from diracx_tasks.core.database import changed, reading, session, utc_now
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs import optimize
from diracx_tasks.jobs.optimize import requeue
from diracx_tasks.jobs.tables import Job, Payload
from diracx_tasks.matching import keys, queue, store, sweep
from diracx_tasks.matching.match import match, take
from diracx_tasks.matching.node import Node
from diracx_tasks.matching.seen import seen
from diracx_tasks.matching.tables import JobClass, Queued
from diracx_tasks.matching.tasks import compare
from tests.builders import VO
from tests.unit.matching.ends import a_node, waiting

pytestmark = pytest.mark.usefixtures("installation")
Break = Callable[[list[int]], list[int]]
MANY = 3 * store.CHUNK


def classes() -> dict[int, store.Class]:
    with reading() as db:
        return queue.classes_of(db, VO)


def claimed(jobs: list[int]) -> None:
    """In the database pilots have these jobs."""
    with session() as db:
        changed(db, update(Job).where(Job.job_id.in_(jobs)).values(status="Matched"))
        changed(db, delete(Queued).where(Queued.job_id.in_(jobs)))


def dropped(jobs: list[int]) -> list[int]:
    """Redis has lost some jobs."""
    (number,) = classes()
    store.drop(VO, dict.fromkeys(jobs[1:3], number))
    return jobs


def flushed(jobs: list[int]) -> list[int]:
    """Redis has lost everything."""
    redis().flushall()
    return jobs


def taken_without_a_lease(jobs: list[int]) -> list[int]:
    """Redis has given jobs away and lost the leases."""
    take(VO, a_node(), 2)
    redis().delete(keys.leases(VO), keys.lease(VO))
    return jobs


def claimed_behind(jobs: list[int]) -> list[int]:
    """The database has given jobs away, and Redis has them still."""
    claimed(jobs[:2])
    return jobs[2:]


def all_claimed_behind(jobs: list[int]) -> list[int]:
    """None waits any more."""
    claimed(jobs)
    return []


def far_away(jobs: list[int]) -> list[int]:
    """Redis has jobs whose numbers are far from all that wait."""
    (one,) = classes().values()
    store.push({one: [MANY, MANY + 1]})
    return jobs


def gone_from_the_queue(jobs: list[int]) -> list[int]:
    """Somebody has emptied the database's queue, and Redis's."""
    with session() as db:
        changed(db, delete(Queued))
        changed(db, delete(JobClass))
    redis().flushall()
    return jobs


def ended_behind(jobs: list[int]) -> list[int]:
    """Somebody has written other states into the jobs' table."""
    with session() as db:
        changed(db, update(Job).where(Job.job_id.in_(jobs[:2])).values(status="Done"))
    return jobs[2:]


def one_sweep() -> None:
    """What the periodic tasks do in a minute."""
    with session() as db:
        requeue(db)
    with reading() as db:
        sweep.expire(db, VO)
    compare.run(vo=VO)


WAYS = [
    dropped,
    flushed,
    taken_without_a_lease,
    claimed_behind,
    all_claimed_behind,
    far_away,
    gone_from_the_queue,
    ended_behind,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_differs_is_repaired_by_one_sweep(way: Break) -> None:
    left = way(waiting(5))
    one_sweep()
    # Redis alone is asked: the database would refuse what does not wait.
    given = [one.job_id for _ in range(9) for one in take(VO, a_node()).taken]
    assert given == left


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_second_sweep_finds_nothing(way: Break) -> None:
    way(waiting(5))
    one_sweep()
    assert compare.run(vo=VO) == "0 differed"
    with session() as db:
        assert requeue(db) == 0


def test_waiting_jobs_of_others_hide_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimize, "BATCH", 2)
    dirac, (ours,) = waiting(3), waiting(1)
    with session() as db:
        changed(db, delete(Payload).where(Payload.job_id.in_(dirac)))
        changed(db, delete(Queued))
    with session() as db:
        requeue(db)
        assert list(db.scalars(select(Queued.job_id))) == [ours]


def test_a_job_that_waits_no_more_leaves_nothing_in_redis_that_nobody_asks_for() -> None:
    """No pilot that would drop it may ever come."""
    all_claimed_behind(waiting(3))
    one_sweep()
    with session() as db:
        changed(db, delete(JobClass))
    with reading() as db:
        sweep.forget_unknown(db, VO)
    assert store.waiting(VO) == {} and store.classes(VO) == []


def test_a_sweep_leaves_jobs_under_a_lease_alone() -> None:
    jobs = waiting(3)
    assert [one.job_id for one in take(VO, a_node(), 2).taken] == jobs[:2]
    assert compare.run(vo=VO) == "0 differed"
    assert [one.job_id for one in take(VO, a_node(), 9).taken] == jobs[2:]


def test_leases_of_an_hour_ago_return_and_others_do_not() -> None:
    jobs = waiting(3)
    take(VO, a_node(), 2)
    redis().zadd(keys.leases(VO), {str(jobs[1]): time.time() - 3600})
    with reading() as db:
        assert sweep.expire(db, VO) == 1
    assert [one.job_id for one in take(VO, a_node(), 9).taken] == jobs[1:]


def test_a_rebuild_leaves_out_what_is_given_away_meanwhile() -> None:
    jobs = waiting(30)
    early = [one.job_id for one in match(VO, a_node(), stamp="s", count=5).jobs]
    redis().flushall()
    assert not take(VO, a_node()).is_ready and match(VO, a_node(), stamp="s").jobs == []
    with reading() as db:
        assert (sweep.rebuild(db, VO), sweep.rebuild(db, VO)) == (25, 0)
    answer = take(VO, a_node(), 100)
    assert answer.is_ready
    assert early + [one.job_id for one in answer.taken] == jobs


def test_a_rebuild_goes_through_large_and_small_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "PAGE", 3)
    jobs = waiting(7)
    for number in range(5):
        jobs += waiting(1 + number % 3, owner=f"owner-{number}")
    redis().flushall()
    with reading() as db:
        assert sweep.rebuild(db, VO) == len(jobs)
    assert sorted(one.job_id for _ in jobs for one in take(VO, a_node()).taken) == jobs


def test_only_chunks_with_jobs_are_compared() -> None:
    with session() as db:
        moved = [queue.Entry(n, VO, "MC", "user", "alice", 5, {}) for n in (1, store.CHUNK, MANY, 2**31 - 1)]
        queue.add(db, moved)
    with reading() as db:
        assert sweep.chunks(db, VO) == [0, 1, 3, 2**15 - 1]


def aged(seconds: float) -> None:
    """Classes were last used so long ago."""
    with session() as db:
        changed(db, update(JobClass).values(used_at=utc_now(-seconds)))


def collected() -> int:
    with session() as db:
        return sweep.collect(db, VO)


def test_a_class_without_jobs_is_dropped_after_an_hour_and_not_before() -> None:
    waiting(1)
    waiting(1, owner="bob")
    assert len(match(VO, a_node(), stamp="s").jobs) == 1
    aged(sweep.EMPTY - 60)
    assert collected() == 0
    aged(sweep.EMPTY + 60)
    assert collected() == 1
    assert store.classes(VO) == list(classes()) and len(classes()) == 1
    assert len(match(VO, a_node(), stamp="s").jobs) == 1


def test_jobs_that_come_for_a_class_that_is_dropped_find_it_made_again() -> None:
    waiting(1)
    match(VO, a_node(), stamp="s")
    aged(sweep.EMPTY + 60)
    assert collected() == 1
    jobs = waiting(2)
    assert [one.job_id for one in match(VO, a_node(), stamp="s", count=3).jobs] == jobs


def test_a_class_that_gets_jobs_is_used_anew() -> None:
    waiting(1)
    match(VO, a_node(), stamp="s")
    aged(sweep.EMPTY + 60)
    jobs = waiting(1)
    match(VO, a_node(), stamp="s")
    assert collected() == 0
    with reading() as db:
        assert db.scalar(select(func.count()).select_from(JobClass)) == 1
    assert jobs


def test_kinds_of_nodes_that_have_not_asked_for_an_hour_are_forgotten() -> None:
    old, new = Node("OLD", cores=1, ram_mb=1000), a_node()
    for node in (old, new):
        take(VO, node)
    redis().zadd(f"{keys.prefix(VO)}kinds", {old.kind()[0]: time.time() - 3700})
    collected()
    assert [one.site for one in seen(VO)] == [new.site]
    left = redis().keys(f"{keys.prefix(VO)}e:*")
    assert old.kind()[0] not in str(left)
