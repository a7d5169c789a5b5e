"""The tasks behind it, run twice as they may be: the second time nothing more happens."""

import pytest
from sqlalchemy import select

from diracx_tasks.core.database import reading, session
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs import control
from diracx_tasks.pilots import tasks
from tests.api.stores import installation, migrated  # noqa: F401
from tests.builders import VO
from tests.unit.matching.ends import waiting
from tests.unit.pilots.spool import Grid, age, statuses

pytestmark = pytest.mark.usefixtures("grid")


def ran(name: str, **arguments: str) -> str:
    """What a task says, called as a worker calls it."""
    return str(getattr(tasks, name).run(vo=VO, **arguments))


def asked(prefix: str) -> list[str]:
    with reading() as db:
        keys = db.scalars(select(Outbox.key).where(Outbox.key.startswith(prefix)))
        return sorted(keys)


def test_a_round_from_waiting_jobs_to_pilots_in_a_batch_system(grid: Grid) -> None:
    waiting(3)
    assert ran("plan_pilots") == "3 pilots for 3 waiting jobs, 0 fit no queue"
    assert ran("plan_pilots") == "0 pilots for 3 waiting jobs, 0 fit no queue"
    assert asked("ce-") == ["ce-lhcb/ce1.submit"]
    assert ran("submit_pilots", ce="ce1") == "3 submitted, 0 not taken"
    assert ran("submit_pilots", ce="ce1") == "0 submitted, 0 not taken"
    assert ran("follow_pilots") == "1 elements"
    assert asked("ce-lhcb/ce1.sync") == ["ce-lhcb/ce1.sync"]
    assert ran("sync_pilots", ce="ce1") == "3 changed"
    assert ran("sync_pilots", ce="ce1") == "0 changed"
    assert statuses() == {"Waiting": 3}


def test_what_was_withdrawn_is_killed_also_when_the_first_message_is_lost(grid: Grid) -> None:
    job_ids = waiting(2)
    for name in ("plan_pilots", "submit_pilots", "sync_pilots"):
        ran(name, **({} if name == "plan_pilots" else {"ce": "ce1"}))
    with session() as db:
        control.kill_all(db, job_ids, "not wanted")
    age(400)
    ran("plan_pilots")
    ran("follow_pilots")
    assert asked("ce-lhcb/ce1.kill") == ["ce-lhcb/ce1.kill"]
    assert ran("kill_pilots", ce="ce1") == "2 ended"
    assert ran("kill_pilots", ce="ce1") == "0 ended"
    assert grid.jobs("ce1") == {}


def test_every_queue_is_tested_daily() -> None:
    assert ran("test_sites") == "3 queues are tested"
    assert ran("test_sites") == "3 queues are tested"
    assert ran("look_at_tests") == "0 tests ended"


def test_cleaning_leaves_what_is_young(grid: Grid) -> None:
    waiting(2)
    ran("plan_pilots")
    assert ran("clean_pilots") == "0 were silent, 0 forgotten"
    assert statuses() == {"Planned": 2}
