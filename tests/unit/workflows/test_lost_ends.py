"""Steps whose jobs have ended, and of whose ends nobody would hear."""

import pytest
from sqlalchemy import delete, select

from diracx_tasks.core.database import reading, session
from diracx_tasks.engine import repairs
from diracx_tasks.jobs.tables import Ended
from diracx_tasks.workflows.lost_ends import put_back
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.sweep import sweep
from tests.api.stores import installation, migrated
from tests.unit.workflows.lives import Temporary, Values, begun, done, ended, moved, nodes
from tests.unit.workflows.test_sweep import GIVEN, WIDE, forgotten, same

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")


def counted() -> dict[str, int]:
    with reading() as db:
        return repairs.totals(db)


def fails_for_a_while(path: str, inputs: Values) -> Values:
    raise Temporary(path)


def test_ends_that_got_lost_are_noted_and_the_workflow_ends_well() -> None:
    workflow_id = begun(WIDE, GIVEN)
    moved(workflow_id)
    done(workflow_id, same, 3)
    with session() as db:
        db.execute(delete(Ended))
        forgotten(db, workflow_id)
    # Nobody else would move it.
    assert sweep() == (0, 0)
    assert put_back() == 3
    assert (put_back(), counted()) == (0, {"step_without_end": 3})
    with reading() as db:
        assert {(one.owner_id, one.status) for one in db.scalars(select(Ended))} == {(workflow_id, "Done")}
    assert ended(workflow_id, same) == Status.DONE


def test_a_healthy_workflow_has_no_lost_ends() -> None:
    workflow_id, other = begun(WIDE, GIVEN), begun(WIDE, GIVEN)
    assert put_back() == 0
    moved(workflow_id)
    done(workflow_id, same, 3)
    # The journal has them.
    assert put_back() == 0
    moved(workflow_id)
    done(workflow_id, fails_for_a_while, 2)
    moved(workflow_id)
    # These steps are put off: they run, and their jobs have ended.
    assert len([node for node in nodes(workflow_id, kind="tool") if node.retry_at]) == 2
    assert put_back() == 0
    assert ended(other, same) == Status.DONE
    assert (put_back(), counted()) == (0, {"step_without_end": 0})
