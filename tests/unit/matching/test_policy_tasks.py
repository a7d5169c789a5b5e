"""The matcher's periodic tasks: what each says, and that all of them together mend a flush."""

import pytest
from sqlalchemy import select

from diracx_tasks.core.database import reading
from diracx_tasks.core.redis import redis
from diracx_tasks.engine.execute import Again
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching import limits, store, tasks
from diracx_tasks.matching.match import match, take
from tests.builders import VO, Installation
from tests.unit.matching.ends import a_node, configured, ended, policy, waiting

LIMITS = "Operations: {lhcb: {JobScheduling: {RunningLimit: {CERN: {JobType: {Merge: 3}}}}}}\n"


@pytest.mark.usefixtures("installation")
def test_each_says_in_a_word_what_it_did() -> None:
    waiting(2)
    ended(3, Status.DONE, ago=600)
    assert tasks.recount.run(vo=VO) == limits.Counted.UNLIMITED
    assert tasks.look.run(vo=VO) == "0 slowed"
    assert tasks.count_use.run(vo=VO) == "3 attempts counted"
    assert tasks.recompute_shares.run(vo=VO) == "0 weights"
    assert tasks.forget_use.run(vo=VO) == "0 forgotten"
    assert tasks.collect.run(vo=VO) == "0 classes dropped, 0 more in Redis"
    assert tasks.expire_leases.run() == "0 returned"
    assert tasks.compare.run(vo=VO) == "0 differed"


@pytest.mark.usefixtures("installation")
def test_all_leases_that_are_overdue_return_in_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SLICE", 3)
    jobs = waiting(8)
    overdue(jobs)
    assert tasks.expire_leases.run() == "8 returned"
    assert sorted(one.job_id for one in take(VO, a_node(), 8).taken) == jobs


@pytest.mark.usefixtures("installation")
def test_what_is_wrong_with_one_vo_does_not_keep_the_leases_of_others() -> None:
    waiting(1, vo="belle")
    overdue(waiting(2))
    redis().set("{belle}:m:leases", "not what it should be")
    with pytest.raises(Again, match="WRONGTYPE"):
        tasks.expire_leases.run()
    assert len(take(VO, a_node(), 2).taken) == 2


def overdue(jobs: list[int]) -> None:
    """Have jobs been taken long ago, and not been claimed."""
    assert [one.job_id for one in take(VO, a_node(), len(jobs)).taken] == jobs
    redis().zadd("{lhcb}:m:leases", dict.fromkeys(map(str, jobs), 1))


@pytest.mark.usefixtures("installation")
def test_a_comparison_is_asked_for_of_every_vo() -> None:
    waiting(1)
    waiting(1, vo="belle")
    assert tasks.reconcile.run() == "2 VOs"
    with reading() as db:
        keys = db.scalars(select(Outbox.key).where(Outbox.task == "matching.compare"))
        assert sorted(keys) == ["vo-belle.compare", "vo-lhcb.compare"]


def test_after_a_flush_queue_counts_health_and_weights_come_back(installation: Installation) -> None:
    with configured(installation, LIMITS):
        waiting(2, job_type="Merge")
        for node in ("CERN/n2", "RAL/n1", "RAL/n2"):
            ended(1, Status.DONE, node)
        ended(8, Status.FAILED, "CERN/n1")
        redis().flushall()
        assert tasks.compare.run(vo=VO) == "2 differed"
        assert tasks.look.run(vo=VO) == "1 slowed"
        assert tasks.recount.run(vo=VO) == limits.Counted.EARLY
        assert match(VO, a_node(name="n2"), stamp="s").jobs == []
        redis().set("{lhcb}:m:remembers", 1)
        assert tasks.recount.run(vo=VO) == limits.Counted.HOLDS
        assert len(match(VO, a_node(name="n2"), stamp="s").jobs) == 1
        assert policy("run:CERN") == {"type=Merge": "1"}
