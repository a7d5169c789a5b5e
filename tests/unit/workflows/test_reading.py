"""What people read of workflows: lists, elements of a step, when its jobs waited and ran, events."""

import pytest

from diracx_tasks.core.database import reading, session
from diracx_tasks.core.errors import NotFound
from diracx_tasks.workflows import elements, events, listing, search, timeline
from diracx_tasks.workflows.listing import Wanted
from diracx_tasks.workflows.rerun import rerun
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Workflow
from tests.api.stores import installation, migrated
from tests.builders import a_user, a_workflow
from tests.ui.pi import Pi

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")
ALICE = a_user()


def labels(pi: Pi, *states: Status, after: int = 0, limit: int = 100) -> list[str]:
    with reading() as db:
        workflow = db.get_one(Workflow, pi.workflow_id)
        found = elements.page(
            db, workflow, "simulate", states=states or elements.STATES, after=after, limit=limit
        )
        return [f"{one.place.label} {one.state}" for one in found]


def test_elements_come_page_by_page_in_their_order_whatever_their_states() -> None:
    pi = Pi().half_way()
    every = [f"simulate[{slot}] {'Running' if slot == 7 else 'Done'}" for slot in range(8)]
    assert labels(pi) == every
    assert labels(pi, Status.DONE, limit=3) == every[:3]
    assert labels(pi, Status.RUNNING) == every[7:]
    with reading() as db:
        workflow = db.get_one(Workflow, pi.workflow_id)
        third = elements.page(db, workflow, "simulate", limit=3)[-1].node_id
        with pytest.raises(NotFound, match="has no step 'nowhere'"):
            elements.page(db, workflow, "nowhere", limit=3)
    assert labels(pi, after=third) == every[3:]


def test_an_element_that_no_pilot_has_waits() -> None:
    assert labels(Pi(seeds=2).advance()) == ["simulate[0] Waiting", "simulate[1] Waiting"]


def test_a_list_is_turned_both_ways_and_counts_the_jobs_of_each_workflow() -> None:
    pi = Pi().half_way()
    with session() as db:
        others = [a_workflow(db) for _ in range(3)]
        others[1].name, others[1].status = "100% Pi", Status.DONE
        stranger = a_workflow(db, by=a_user(vo="belle"))
        stranger.name = "100% Pi"
        numbers = [pi.workflow_id, *(one.workflow_id for one in others)]
    with reading() as db:
        newest = listing.page(db, Wanted(), by=ALICE, limit=2)
        assert [one.workflow_id for one in newest] == numbers[:1:-1]
        older = listing.page(db, Wanted(), by=ALICE, limit=2, before=numbers[2])
        assert [one.workflow_id for one in older] == numbers[1::-1]
        back = listing.page(db, Wanted(), by=ALICE, limit=2, after=numbers[0])
        assert [one.workflow_id for one in back] == numbers[1:3]
        named = listing.page(db, Wanted(name="0% p"), by=ALICE, limit=9)
        assert [one.workflow_id for one in named] == [numbers[2]]
        assert listing.statuses(db, Wanted(), by=ALICE) == {"Running": 1, "Received": 2, "Done": 1}
        counts = listing.progress(db, [*older, *newest])
        assert counts[pi.workflow_id] == ({"Done": 7, "Running": 1, "Waiting": 0}, 0)


def bars(pi: Pi, **totals: int) -> dict[str, list[tuple[int, int, bool]]]:
    with reading() as db:
        found = timeline.bars(db, db.get_one(Workflow, pi.workflow_id), totals)
        return {
            path: [(one.slot, len(one.times.spans), one.is_earlier) for one in some]
            for path, some in found.items()
        }


def test_a_timeline_has_every_job_and_those_that_were_tried_before() -> None:
    pi = Pi(seeds=3).advance()
    pi.run(pi.jobs("simulate"))
    pi.end(pi.jobs("simulate", 0, 1), {"count": 3})
    pi.end(pi.jobs("simulate", 2), error="no darts")
    with session() as db:
        rerun(db, pi.workflow_id, by=ALICE)
    pi.advance()
    assert bars(pi, simulate=3) == {"simulate": [(0, 1, False), (1, 1, False), (2, 1, True), (2, 0, False)]}


@pytest.mark.parametrize("wide", [10, 100], ids=["by place", "by distance"])
def test_of_a_wide_step_a_timeline_has_elements_at_even_distances(
    monkeypatch: pytest.MonkeyPatch, wide: int
) -> None:
    monkeypatch.setattr(timeline, "MOST_OF_STEP", 5)
    monkeypatch.setattr(timeline, "WIDE", wide)
    pi = Pi(seeds=21).advance()
    found = [slot for slot, _, _ in bars(pi, simulate=21)["simulate"]]
    assert found == [0, 5, 10, 15, 20]


def test_events_come_newest_first() -> None:
    pi = Pi().advance()
    with session() as db:
        for number in range(3):
            events.tell(db, pi.workflow_id, Status.RUNNING, f"event {number}", path="simulate")
    with reading() as db:
        found = events.newest(db, pi.workflow_id, before=None, limit=2, sees_jobs=True)
        assert [one.message for one in found] == ["event 2", "event 1"]
        older = events.newest(
            db, pi.workflow_id, before=found[-1].event_id, limit=1, path="simulate", sees_jobs=True
        )
        assert [one.message for one in older] == ["event 0"]


def test_steps_of_many_scatters_are_counted_beside_each_other() -> None:
    pi = Pi().half_way()
    with reading() as db:
        found = search.graph(db, db.get_one(Workflow, pi.workflow_id))["nodes"]
    assert next((node["path"], node["state"], node["counts"]) for node in found) == (
        "simulate",
        "Running",
        {"Done": 7, "Running": 1},
    )


def test_a_step_that_its_workflow_ended_before_is_not_waiting_any_more() -> None:
    pi = Pi().advance()
    simulations = pi.jobs("simulate")
    pi.run(simulations)
    pi.end(simulations, error="exit code 1")
    with reading() as db:
        found = search.steps(db, db.get_one(Workflow, pi.workflow_id))
    assert {step["path"]: step["state"] for step in found} == {
        "simulate": "Failed",
        "check": "Not run",
        "check/look": "Not run",
        "gather": "Not run",
    }


def test_a_step_that_is_scattered_over_nothing_is_done() -> None:
    pi = Pi(seeds=0).advance()
    with reading() as db:
        found = search.steps(db, db.get_one(Workflow, pi.workflow_id))
    assert [(step["state"], step["total"]) for step in found if step["path"] == "simulate"] == [("Done", 0)]
