"""Old workflows go with all that they have left, and no other workflow loses anything."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete, func, select, update

from diracx_tasks.accounting import usage
from diracx_tasks.core.database import reading, session, utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs import remove
from diracx_tasks.jobs import tasks as job_tasks
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.jobs.tables import Ended, Job, Payload, Result
from diracx_tasks.sandboxes.tables import Mapping
from diracx_tasks.workflows import purge, tasks
from diracx_tasks.workflows.rerun import rerun
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.submit import Options
from diracx_tasks.workflows.tables import Chunk, Node, NodeValues, Workflow
from tests.api.stores import installation, migrated
from tests.builders import VO, a_job, a_user, a_workflow
from tests.stored import counts
from tests.unit.jobs.old import a_sandbox
from tests.unit.workflows.lives import Temporary, Values, begun, done, ended, moved, nodes, outputs
from tests.unit.workflows.test_sweep import WIDE, same

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")
DAY = 86400
COUNT = 12
GIVEN = {"xs": list(range(COUNT))}
# No workflow here has the results of another.
ALONE = Options(reuse=False)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages of ten."""
    for module, name in ((purge, "PAGE"), (remove, "PAGE")):
        monkeypatch.setattr(module, name, 10)
    for name in ("CHUNKS", "AT_ONCE"):
        monkeypatch.setattr(purge, name, 2)
    yield


def a_wide_one(status: Status = Status.DONE) -> int:
    """A workflow of twelve jobs that has ended."""
    workflow_id = begun(WIDE, GIVEN, ALONE)
    assert ended(workflow_id, same if status is Status.DONE else broken) == status
    return workflow_id


def broken(path: str, inputs: Values) -> Values:
    raise ValueError("bad data")


def aged(*workflow_ids: int, days: float) -> None:
    """Have workflows and their jobs have ended some days ago."""
    with session() as db:
        moment = utc_now(-days * DAY)
        mine = Workflow.workflow_id.in_(workflow_ids)
        db.execute(update(Workflow).where(mine).values(ended_at=moment))
        groups = [f"{workflow_id:08d}" for workflow_id in workflow_ids]
        db.execute(update(Job).where(Job.job_group.in_(groups)).values(updated_at=moment))
        usage.gather(db)


def the_newest() -> int:
    """A workflow behind all others, and a job, whose numbers are not given again."""
    with session() as db:
        a_job(db)
        return a_workflow(db).workflow_id


def asked() -> list[int]:
    """The workflows that are to be cleared."""
    with reading() as db:
        rows = db.scalars(select(Outbox.arguments).where(Outbox.task == "workflows.clear"))
        return sorted(row["workflow_id"] for row in rows)


def jobs_of(workflow_id: int) -> list[int]:
    with reading() as db:
        mine = select(Job.job_id).where(Job.job_group == f"{workflow_id:08d}")
        return list(db.scalars(mine.order_by(Job.job_id)))


def is_there(workflow_id: int) -> bool:
    with reading() as db:
        return db.get(Workflow, workflow_id) is not None


def rows(table: type[Chunk] | type[NodeValues] | type[Result] | type[Ended]) -> int:
    with reading() as db:
        return db.scalars(select(func.count()).select_from(table)).one()


def test_an_old_workflow_goes_with_its_jobs_and_all_that_it_has_left() -> None:
    gone, stays = a_wide_one(), a_wide_one()
    with session() as db:
        a_sandbox(db, "b" * 64, f"Workflow:{gone}")
        a_sandbox(db, "c" * 64, f"Workflow:{stays}")
    the_newest()
    before, values, chunks, jobs = counts("WorkflowID", stays), rows(NodeValues), rows(Chunk), jobs_of(gone)
    aged(gone, days=7.1)
    aged(stays, days=6.9)
    assert tasks.purge.run(vo=VO) == "1 to be cleared"
    assert asked() == [gone]
    assert not is_there(gone) and is_there(stays)
    assert tasks.clear.run(workflow_id=gone).endswith("pages")
    assert counts("WorkflowID", gone) == {} and jobs_of(gone) == []
    assert counts("JobID", jobs[-1]) == {}
    assert counts("WorkflowID", stays) == before and len(jobs_of(stays)) == COUNT
    with reading() as db:
        assert db.scalars(select(Mapping.entity)).all() == [f"Workflow:{stays}"]
    assert (rows(NodeValues), rows(Chunk)) == (values - values // 2, chunks // 2) and rows(Chunk) > 1
    assert outputs(stays) == {"ys": GIVEN["xs"]}


def test_jobs_that_are_not_counted_yet_stay_as_nobodys_until_they_are() -> None:
    gone = a_wide_one()
    the_newest()
    jobs = jobs_of(gone)
    with session() as db:
        db.execute(update(Workflow).where(Workflow.workflow_id == gone).values(ended_at=utc_now(-8 * DAY)))
    tasks.purge.run(vo=VO)
    assert tasks.clear.run(workflow_id=gone).endswith("pages")
    assert jobs_of(gone) == jobs and counts("WorkflowID", gone) == {}
    aged(gone, days=8)
    assert job_tasks.purge.run(vo=VO).startswith(f"{COUNT} removed")
    assert jobs_of(gone) == []


def test_jobs_stay_while_their_workflow_does() -> None:
    workflow_id = a_wide_one()
    the_newest()
    aged(workflow_id, days=6.9)
    with session() as db:
        db.execute(update(Job).values(updated_at=utc_now(-100 * DAY)))
    assert job_tasks.purge.run(vo=VO) == "0 removed, heartbeats of 0 forgotten, 0 killed"
    assert tasks.purge.run(vo=VO) == "0 to be cleared"
    assert outputs(workflow_id) == {"ys": GIVEN["xs"]} and len(jobs_of(workflow_id)) == COUNT


def test_what_failed_or_was_killed_goes_and_what_goes_on_stays() -> None:
    failed, going_on = a_wide_one(Status.FAILED), begun(WIDE, {"xs": [1, 2, 3]})
    assert moved(going_on) == Status.RUNNING
    newest = the_newest()
    aged(failed, going_on, newest, days=99)
    assert tasks.purge.run(vo="belle") == "0 to be cleared"
    assert tasks.purge.run(vo=VO) == "1 to be cleared"
    assert asked() == [failed]
    tasks.clear.run(workflow_id=failed)
    assert ended(going_on, same) == Status.DONE


def test_one_that_is_gone_cannot_begin_anew_nor_can_one_that_began_anew_go() -> None:
    gone, again = a_wide_one(Status.FAILED), a_wide_one(Status.FAILED)
    the_newest()
    aged(gone, again, days=99)
    with session() as db:
        rerun(db, again, by=a_user())
    assert tasks.purge.run(vo=VO) == "1 to be cleared"
    with session() as db, pytest.raises(NotFound):
        rerun(db, gone, by=a_user())
    assert tasks.clear.run(workflow_id=again) == "1 pages"
    assert ended(again, same) == Status.DONE and outputs(again) == {"ys": GIVEN["xs"]}


def test_a_clearing_that_was_interrupted_is_finished_by_the_next_one() -> None:
    gone = a_wide_one()
    the_newest()
    aged(gone, days=99)
    tasks.purge.run(vo=VO)
    reached = 0
    left = []
    for _ in range(3):
        with session() as db:
            reached = purge.clear(db, gone, reached) or 0
        left.append((len(jobs_of(gone)), len(nodes(gone))))
    assert left == [(2, 14), (0, 4), (0, 0)]
    tasks.clear.run(workflow_id=gone)
    assert counts("WorkflowID", gone) == {} and rows(Result) == 0


def test_what_a_turn_is_too_short_for_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = a_wide_one()
    the_newest()
    aged(gone, days=99)
    tasks.purge.run(vo=VO)
    monkeypatch.setattr(tasks, "TURN", 0)
    with session() as db:
        db.execute(delete(Outbox))
    assert tasks.clear.run(workflow_id=gone) == "0 pages, more to come"
    assert asked() == [gone] and len(jobs_of(gone)) == COUNT


def test_all_tries_of_a_job_go() -> None:
    tried: list[int] = []

    def once(path: str, inputs: Values) -> Values:
        tried.append(inputs["x"])
        if tried.count(inputs["x"]) == 1 and inputs["x"] == 3:
            raise Temporary("no network")
        return {"y": inputs["x"]}

    gone = begun(WIDE, {"xs": [1, 2, 3]})
    assert moved(gone) == Status.RUNNING and done(gone, once) == 3
    assert moved(gone) == Status.RUNNING
    with session() as db:
        db.execute(update(Node).where(Node.retry_at.is_not(None)).values(retry_at=utc_now(-1)))
    assert ended(gone, once) == Status.DONE and len(jobs_of(gone)) == 4
    the_newest()
    aged(gone, days=99)
    tasks.purge.run(vo=VO)
    tasks.clear.run(workflow_id=gone)
    assert jobs_of(gone) == []


def test_a_job_that_has_not_ended_is_killed_and_belongs_to_nobody() -> None:
    gone = a_wide_one()
    the_newest()
    aged(gone, days=99)
    job_id = jobs_of(gone)[4]
    with session() as db:
        db.execute(update(Job).where(Job.job_id == job_id).values(status=JobStatus.STALLED))
    tasks.purge.run(vo=VO)
    tasks.clear.run(workflow_id=gone)
    assert jobs_of(gone) == [job_id] and rows(Ended) == 0
    with reading() as db:
        assert db.get_one(Job, job_id).status == JobStatus.KILLED
        assert db.get_one(Payload, job_id).owner_task is None


def test_another_group_of_the_same_name_stays() -> None:
    gone = a_wide_one()
    the_newest()
    with session() as db:
        own = a_job(db, JobStatus.DONE, job_group=f"{gone:08d}")
    aged(gone, days=99)
    tasks.purge.run(vo=VO)
    tasks.clear.run(workflow_id=gone)
    assert jobs_of(gone) == [own]


def test_many_are_found_in_pages() -> None:
    with session() as db:
        many = [a_workflow(db).workflow_id for _ in range(4)]
    for workflow_id in many:
        assert ended(workflow_id, lambda path, inputs: {}) == Status.DONE
    aged(*many, days=99)
    # The newest one stays: SQLite would give its number again.
    assert tasks.purge.run(vo=VO) == "3 to be cleared"
    assert asked() == many[:3]
