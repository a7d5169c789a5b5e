"""Each job once: many pilots at a time, crashes between Redis and the database, and VOs beside each other."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import func, select, update

from diracx_tasks.core.database import changed, reading, session
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs import control
from diracx_tasks.jobs.optimize import optimize
from diracx_tasks.jobs.tables import Attempt, Job
from diracx_tasks.matching import keys, queue, sweep
from diracx_tasks.matching.match import Match, match, take
from diracx_tasks.matching.node import Node
from diracx_tasks.matching.tasks import compare
from tests.builders import VO, Installation, a_job
from tests.unit.matching.ends import a_node, waiting

pytestmark = pytest.mark.usefixtures("installation")
SMALL = Node("CERN", ce="ce1", name="n1", cores=8, ram_mb=64_000)


def ask(node: Node | None = None, count: int = 1, vo: str = VO) -> list[Match]:
    return match(vo, node or a_node(), stamp="stamp", count=count).jobs


def numbers(found: list[Match]) -> list[int]:
    return [one.job_id for one in found]


def of_needs(*needs: dict[str, Any]) -> list[int]:
    """Jobs with these requirements, each of a group of its own, in whose order they come."""
    with session() as db:
        return [a_job(db, requirements=one, group=f"g{place}") for place, one in enumerate(needs)]


def drained(count: int) -> list[int]:
    """The jobs that one pilot after the other gets, until there are none."""
    found: list[int] = []
    while True:
        try:
            jobs = ask(count=count)
        except Unavailable:
            continue
        if not jobs:
            return found
        found += numbers(jobs)


def swept() -> None:
    """What the periodic tasks do for a VO."""
    for _ in range(3):
        with reading() as db:
            sweep.rebuild(db, VO)
        with reading() as db:
            sweep.compare(db, VO, 0)
        with reading() as db:
            sweep.expire(db, VO)


def test_eight_pilots_at_a_time_get_every_job_once_while_the_queue_is_swept() -> None:
    made = [*waiting(60), *waiting(60, owner="bob"), *waiting(60, job_type="Merge", group="prod")]
    with ThreadPoolExecutor(10) as threads:
        sweeps = [threads.submit(swept) for _ in range(6)]
        pilots = [threads.submit(drained, 1 + number % 3) for number in range(8)]
        given = [job_id for one in pilots for job_id in one.result()]
        for one in sweeps:
            one.result()
    # What a sweep has brought back late is refused by the database.
    given += drained(5)
    assert sorted(given) == made
    with reading() as db:
        assert db.scalar(select(func.count()).select_from(Attempt)) == len(made)
    assert redis().zcard(keys.leases(VO)) == 0


def test_jobs_of_a_pilot_that_died_before_the_claim_return_to_the_front() -> None:
    jobs = waiting(4)
    taken = [one.job_id for one in take(VO, a_node(), 2).taken]
    assert taken == jobs[:2] and numbers(ask()) == jobs[2:3]
    redis().zadd(keys.leases(VO), {str(one): 1 for one in taken})
    with reading() as db:
        assert sweep.expire(db, VO) == 2
    assert numbers(ask(count=9)) == [jobs[0], jobs[1], jobs[3]]


def test_a_job_that_was_claimed_after_its_lease_had_run_out_is_not_given_again() -> None:
    (job_id,) = waiting(1)
    ask()
    redis().zadd(keys.leases(VO), {str(job_id): 1})
    with reading() as db:
        assert sweep.expire(db, VO) == 0
    assert ask() == [] and redis().zcard(keys.leases(VO)) == 0


def test_a_job_that_is_killed_under_a_lease_does_not_return() -> None:
    (job_id,) = waiting(1)
    take(VO, a_node())
    with session() as db:
        control.kill_all(db, [job_id], "for a test")
    redis().zadd(keys.leases(VO), {str(job_id): 1})
    with reading() as db:
        assert sweep.expire(db, VO) == 0
    assert ask() == []


def test_a_job_that_comes_back_while_its_old_lease_lasts_is_given_once() -> None:
    (job_id,) = waiting(1)
    ask()
    redis().zadd(keys.leases(VO), {str(job_id): 1})
    with session() as db:
        control.reschedule(db, job_id, attempt=1, reason="lost", source="Test")
    with session() as db:
        optimize(db)
    with reading() as db:
        assert sweep.expire(db, VO) == 1
    assert [(one.job_id, one.work.attempt) for one in ask(count=3)] == [(job_id, 2)]


def test_a_job_that_others_have_ended_in_the_database_is_passed_over() -> None:
    first, second = waiting(2)
    with session() as db:
        changed(db, update(Job).where(Job.job_id == first).values(status="Killed"))
    assert numbers(ask()) == [second]


def test_nothing_is_chosen_instead_of_one_that_was_killed_when_others_are_there() -> None:
    """What is left of the node is not known then: the pilot asks again."""
    first, refused, large, small = of_needs({"cores": 6}, {"cores": 2}, {"cores": 6}, {"cores": 2})
    with session() as db:
        changed(db, update(Job).where(Job.job_id == refused).values(status="Killed"))
    assert numbers(ask(SMALL, count=2)) == [first]
    assert numbers(ask(SMALL, count=2)) == [large, small]


def test_a_job_that_asks_for_something_else_now_never_gets_what_it_asked_for_before() -> None:
    first, changed_one, last = waiting(3)
    with session() as db:
        queue.remove(db, [changed_one])
        queue.add(db, [queue.Entry(changed_one, VO, "User", "user", "alice", 5, {"cores": 8})])
    one_core = Node("CERN", cores=1, ram_mb=64_000)
    assert [numbers(ask(one_core)) for _ in range(3)] == [[first], [last], []]
    with reading() as db:
        assert sweep.compare(db, VO, 0) == 1
    assert numbers(ask(one_core)) == []
    assert [(one.job_id, one.cores) for one in ask(Node("CERN", cores=8, ram_mb=64_000))] == [
        (changed_one, 8)
    ]


def test_a_whole_node_is_no_second_choice_either() -> None:
    first, refused, whole = of_needs({"cores": 2}, {"cores": 2}, {"tags": ["WholeNode"]})
    with session() as db:
        changed(db, update(Job).where(Job.job_id == refused).values(status="Killed"))
    node = Node("CERN", cores=8, ram_mb=64_000, tags=("WholeNode",))
    assert numbers(ask(node, count=3)) == [first]
    assert [(one.job_id, one.cores) for one in ask(node, count=3)] == [(whole, 8)]


def test_a_node_that_does_not_say_how_much_memory_it_has_gets_jobs() -> None:
    jobs = waiting(2)
    node = Node("CERN", cores=2, ram_mb=None)
    assert [(one.job_id, one.cores, one.ram_mb) for one in ask(node)] == [(jobs[0], 1, 256)]
    assert numbers(ask(node, count=2)) == jobs[1:]


def keys_of(installation: Installation, vo: str) -> dict[bytes, bytes | None]:
    """Everything of a VO in Redis."""
    with closing(Redis.from_url(installation.redis.url)) as client:
        names = sorted(client.scan_iter(f"{keys.prefix(vo)}*", count=1000))
        return {name: client.dump(name) for name in names}


def everything(vo: str) -> None:
    """What the matcher can be asked to do for a VO."""
    jobs = waiting(6, vo=vo, owner="bob")
    ask(vo=vo)
    take(vo, a_node(), 2)
    with session() as db:
        control.kill_all(db, jobs[3:5], "for a test")
    with session() as db:
        sweep.collect(db, vo)
    with reading() as db:
        sweep.rebuild(db, vo)
        sweep.expire(db, vo)
        sweep.forget_unknown(db, vo)
    compare.run(vo=vo)


@pytest.mark.parametrize("other", ["belle", "lhc", "lhcb2"])
def test_nothing_that_is_done_for_a_vo_touches_a_key_of_another(
    installation: Installation, other: str
) -> None:
    everything(VO)
    before = keys_of(installation, VO)
    assert len(before) > 30
    everything(other)
    assert keys_of(installation, VO) == before
    assert len(keys_of(installation, other)) == len(before)


def test_a_pilot_of_one_vo_gets_no_job_of_another() -> None:
    (mine,) = waiting(1)
    (theirs,) = waiting(1, vo="belle")
    assert numbers(ask(count=9)) == [mine]
    assert numbers(ask(count=9, vo="belle")) == [theirs]


def test_jobs_that_run_one_after_the_other_may_each_use_the_whole_slot() -> None:
    jobs = of_needs({"cores": 6, "max_cores": 8}, {"cores": 6, "max_cores": 8}, {"tags": ["WholeNode"]})
    node = Node("CERN", cores=8, ram_mb=64_000, tags=("WholeNode",))
    found = match(VO, node, stamp="stamp", count=5, in_turn=True).jobs
    assert [(one.job_id, one.cores) for one in found] == [(job_id, 8) for job_id in jobs]
