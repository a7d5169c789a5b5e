import pytest, secrets
from diracx_tasks.core.database import session, reading, changed, utc_now
from diracx_tasks.core.redis import redis
from diracx_tasks.matching import queue, store, sweep, keys
from diracx_tasks.matching.match import match, take
from diracx_tasks.matching.node import Node
from diracx_tasks.matching.queue import Entry
from tests.builders import VO, ANYWHERE
from tests.unit.matching.ends import a_node, waiting
from tests.unit.matching.together import Together, Wish
from diracx_tasks.jobs import control
from sqlalchemy import update, delete
from diracx_tasks.matching.tables import JobClass, Queued
pytestmark = pytest.mark.usefixtures("installation")

def test_ring_paging():
    jobs = [waiting(1, owner=f"o{n:02}")[0] for n in range(17)]
    with session() as db:
        control.kill_all(db, jobs[:16], "t")
    assert [j.job_id for j in match(VO, a_node(), stamp="s").jobs] == [jobs[16]]

def test_ram_none():
    waiting(1)
    assert match(VO, Node("CERN", cores=1, ram_mb=None), stamp="s").jobs

def test_second_round():
    from tests.builders import a_job
    with session() as db:
        a = a_job(db, requirements={"cores": 6}, group="x")
        b = a_job(db, requirements={"cores": 2}, group="y")
        c = a_job(db, requirements={"cores": 6}, group="z")
    with session() as db:
        db.execute(update(__import__("diracx_tasks.jobs.tables", fromlist=["Job"]).Job).values(status="Killed").where(__import__("diracx_tasks.jobs.tables", fromlist=["Job"]).Job.job_id == b))
    got = match(VO, Node("CERN", cores=8, ram_mb=64000), stamp="s", count=2).jobs
    print(got)
    assert sum(j.cores for j in got) <= 8

def test_change_class():
    from tests.builders import a_job
    with session() as db:
        first = a_job(db)
        second = a_job(db)
    with session() as db:
        queue.remove(db, [second])
        queue.add(db, [Entry(second, VO, "user", "user", "alice", 5, {**ANYWHERE, "cores": 8})])
    small = Node("CERN", cores=1, ram_mb=64000)
    assert [j.job_id for _ in range(3) for j in match(VO, small, stamp="s").jobs] == [first]
    assert [j.job_id for j in match(VO, a_node(), stamp="s").jobs] == [second]

def test_phase():
    for phase in (0, 1):
        vo = f"vo{phase}"
        t = Together(vo)
        a, b = Node("A", cores=1, ram_mb=4000), Node("B", cores=1, ram_mb=4000)
        t.push([Wish({"sites": ["B"]}, "MC", "user", "alice", 0).entry(1, vo)])
        t.push([Wish({}, "MC", "user", "alice", 9).entry(10+n, vo) for n in range(2000)])
        if phase: take(vo, a)
        got = []
        for n in range(200):
            got += [x.job_id for x in take(vo, a).taken] + [x.job_id for x in take(vo, b).taken]
        assert 1 in got, phase

def test_sqlite_number():
    jobs = waiting(1, job_type="X")
    with session() as db:
        control.kill_all(db, jobs, "t")
    with session() as db:
        (no,) = queue.classes_of(db, VO)
        changed(db, delete(JobClass))
    with session() as db:
        queue.add(db, [Entry(77, VO, "Y", "user", "alice", 5, {"cores": 8})])
    with session() as db:
        print(queue.classes_of(db, VO), no)
    assert not take(VO, Node("CERN", cores=1, ram_mb=64000)).taken
