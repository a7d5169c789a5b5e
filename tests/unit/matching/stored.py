"""The whole matcher, with its database, beside the reference."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import select

from diracx_tasks.core.database import reading, session
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs import control
from diracx_tasks.jobs import status as door
from diracx_tasks.jobs.optimize import WAITING, optimize
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.submit import create
from diracx_tasks.matching import keys, limits, queue, sweep
from diracx_tasks.matching.limits import Counted
from diracx_tasks.matching.match import match
from diracx_tasks.matching.node import Node
from diracx_tasks.matching.tables import JobClass, Queued
from tests.builders import a_new_job
from tests.unit.matching.together import Given, Together, Wish

LIMITS = """\
Operations:
  Defaults:
    JobScheduling:
      RunningLimit:
        LCG.CERN.ch: {JobType: {MC: 3}, Owner: {bob: 2}, CEs: {ce01: {OwnerGroup: {prod: 1}}}}
      MatchingDelay:
        LCG.RAL.uk: {OwnerGroup: {user: 1000000}, Burst: {OwnerGroup: {user: 2}}}
"""


@dataclass
class Stored(Together):
    """Jobs in the database; `held` by pilots, at which site and computing element."""

    held: dict[int, tuple[str, str]] = field(default_factory=dict)
    attempts: Counter[int] = field(default_factory=Counter)

    def submit(self, wishes: Sequence[Wish]) -> None:
        """Jobs are submitted, and wait."""
        new = [
            replace(
                a_new_job(vo=self.vo, owner=wish.owner, group=wish.group, job_type=wish.job_type),
                requirements={**wish.record, "priority": wish.priority},
            )
            for wish in wishes
        ]
        with session() as db:
            ids = door.move_many(db, create(db, new), WAITING, frm=(Status.RECEIVED,))
            jobs = [wish.entry(job_id, self.vo) for job_id, wish in zip(ids, wishes, strict=True)]
            queue.add(db, jobs)
        self.jobs.update((job.job_id, job) for job in jobs)
        self.reference.push(jobs)

    def match(self, node: Node, count: int) -> None:
        """A pilot gets jobs, in the database too."""
        found = match(self.vo, node, stamp="stamp", count=count).jobs
        self.check(node, count, [Given(one.job_id, one.cores, one.ram_mb) for one in found])
        for one in found:
            self.attempts[one.job_id] += 1
            assert one.work.attempt == self.attempts[one.job_id]
            self.held[one.job_id] = node.site, node.ce

    def expire(self) -> None:
        """Leases run out: what no pilot has got into the database returns."""
        for job_id in self.leased:
            redis().zadd(keys.leases(self.vo), {str(job_id): 1})
        with reading() as db:
            assert sweep.expire(db, self.vo) == len(self.leased)
        self.reference.push([self.jobs[one] for one in self.leased], is_return=True)
        self.leased.clear()

    def kill(self, job_ids: Sequence[int]) -> None:
        """Jobs are killed, whatever they do."""
        with session() as db:
            assert control.kill_all(db, job_ids, "for a test") == len(job_ids)
        self.reference.drop(job_ids)
        for job_id in job_ids:
            del self.jobs[job_id]
            self.held.pop(job_id, None)
            self.leased.pop(job_id, None)

    def give_back(self, job_id: int) -> None:
        """A pilot is lost: its job is queued again as a new attempt."""
        with session() as db:
            control.reschedule(db, job_id, attempt=self.attempts[job_id], reason="lost", source="Test")
        with session() as db:
            optimize(db)
        del self.held[job_id]
        with reading() as db:
            waits = db.scalar(select(Queued.job_id).where(Queued.job_id == job_id))
        if waits:
            self.reference.push([self.jobs[job_id]])
        else:
            # It was its last attempt.
            del self.jobs[job_id]

    def flush(self) -> None:
        """Redis forgets everything and is made again; limits are closed until they are counted."""
        redis().flushall()
        self.set_policy()
        back = [self.jobs[one] for one in {*self.reference.waits, *self.leased}]
        self.leased.clear()
        self.reference.forget()
        with reading() as db:
            assert sweep.rebuild(db, self.vo) == len(back)
        self.reference.push(back)

    def recount(self) -> None:
        """What runs under limits is counted."""
        with reading() as db:
            assert limits.recount(db, self.vo) is Counted.HOLDS
        self.reference.is_counted = True
        self.reference.running.clear()
        for job_id, (site, ce) in {**self.held, **self.leased}.items():
            job = self.jobs[job_id]
            for scope in (site, f"{site}/{ce}"):
                for about in (("type", job.job_type), ("group", job.group), ("owner", job.owner)):
                    self.reference.running[scope, *about] += 1

    def assert_none_is_lost(self) -> None:
        """What waits in the database waits in the reference, or is under a lease; and nothing else."""
        with reading() as db:
            of_vo = select(Queued.job_id).join(JobClass, JobClass.class_no == Queued.class_no)
            stored = set(db.scalars(of_vo.where(JobClass.vo == self.vo)))
        assert stored == {*self.reference.waits, *self.leased}
