"""A small job for each queue says whether it works; one that fails leaves the queue a part of its use."""

import pytest
from sqlalchemy import select, update

from diracx_tasks.core.database import changed, reading, session, utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.jobs import status as door
from diracx_tasks.jobs.optimize import optimize
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.tables import Job
from diracx_tasks.matching.match import match
from diracx_tasks.matching.node import Node
from diracx_tasks.pilots import site_tests
from diracx_tasks.pilots.queues import stated
from diracx_tasks.pilots.site_tests import Asked
from diracx_tasks.pilots.tables import QueueState
from diracx_tasks.resources import status as rss
from tests.api.stores import installation, migrated  # noqa: F401
from tests.builders import VO, a_user
from tests.unit.matching.ends import waiting
from tests.unit.pilots.spool import Grid, new, planned, submitted, words_of

pytestmark = pytest.mark.usefixtures("grid")


def asked(**names: str) -> list[Asked]:
    """Tests that are asked for and wait."""
    with session() as db:
        found = site_tests.ask(db, VO, site_tests.chosen(VO, **names), by=a_user())
    with session() as db:
        optimize(db)
    return found


def looked() -> int:
    with session() as db:
        return site_tests.look(db, VO)


def last(name: str) -> tuple[str, str]:
    with reading() as db:
        found = {one.queue: one for one in site_tests.tested(db, VO)}[name]
    return found.status, found.reason


def a_node(name: str) -> Node:
    (queue,) = [one for one in stated(VO) if one.name == name]
    node = queue.node()
    tags = tuple(sorted({*node.tags, "payload:jdl"}))
    return Node(node.site, node.ce, cores=node.cores, ram_mb=None, cpu_time=node.cpu_time, tags=tags)


def run(name: str, status: Status, words: str = "") -> None:
    """A pilot of a queue takes the test, which ends so."""
    (found,) = match(VO, a_node(name), stamp="stamp-1").jobs
    with session() as db:
        for following in (Status.RUNNING, status):
            door.move(db, found.job_id, Change(following, words or "as built", "", "Test"), attempt=1)


def test_every_queue_is_tested_by_a_job_of_its_own() -> None:
    assert [(one.ce, one.queue) for one in asked()] == [("ce1", "big"), ("ce1", "short"), ("ce2", "long")]
    assert new() == {"short": 1, "big": 1, "long": 1}
    with reading() as db:
        assert set(db.scalars(select(Job.job_type))) == {"Test"}


def test_a_test_goes_to_its_own_queue_only() -> None:
    asked(queue="short")
    assert match(VO, a_node("big"), stamp="stamp-1").jobs == []
    run("short", Status.DONE)
    assert looked() == 1
    assert last("short") == ("Done", "")


def test_a_test_that_is_under_way_is_not_asked_for_again() -> None:
    (first,) = asked(queue="long")
    assert asked(site="LCG.RAL.uk") == [first]
    run("long", Status.DONE)
    looked()
    (second,) = asked(queue="long")
    assert second.job_id > first.job_id


def test_a_queue_whose_test_failed_is_used_less_and_says_why() -> None:
    (found,) = asked(queue="long")
    run("long", Status.FAILED, "no space left")
    looked()
    reason = f"test job {found.job_id} is Failed (no space left)"
    assert last("long") == ("Failed", reason)
    waiting(60)
    # Two of its twenty; the others do not fail.
    assert new() == {"short": 20, "big": 5}
    assert words_of("long") == f"its last test failed: {reason}"


def test_a_queue_of_which_all_depends_still_gets_a_part() -> None:
    asked(queue="short")
    run("short", Status.FAILED)
    looked()
    waiting(500)
    found = new()
    assert (found["short"], found["long"]) == (2, 20)


def test_a_test_that_takes_too_long_has_failed_and_is_killed() -> None:
    (found,) = asked(queue="long")
    with session() as db:
        changed(db, update(QueueState).values({QueueState.test_asked_at: utc_now(-7 * 3600)}))
    assert looked() == 1
    assert last("long")[0] == "Failed"
    assert last("long")[1].startswith(f"test job {found.job_id} is Waiting")
    assert last("long")[1].endswith("after 6 h")
    with reading() as db:
        assert db.get_one(Job, found.job_id).status == Status.KILLED


def test_a_banned_site_is_tested_and_gets_nothing_else(grid: Grid) -> None:
    with session() as db:
        rss.state(db, rss.Element("LCG.RAL.uk", "Site"), "Banned", "power cut")
    waiting(3)
    asked(queue="long")
    planned()
    submitted("ce2")
    assert len(grid.jobs("ce2")) == 1


def test_unknown_names_are_refused() -> None:
    with pytest.raises(NotFound, match="are sent to no queue of LCG"):
        asked(site="LCG.PIC.es")
