"""Reading and killing workflows."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import session
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.jobs.tables import Job
from diracx_tasks.workflows import events
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.submit import Options
from diracx_tasks.workflows.tasks import advance
from tests.api.caller import Api
from tests.builders import a_job, a_user, a_workflow
from tests.ui.pi import Pi

PATH = "/api/workflows"


def page(api: Api, **query: object) -> tuple[list[int], int | None]:
    answer = api.get(PATH, params=query).json()
    return [row["workflow_id"] for row in answer["workflows"]], answer["next"]


def test_pages_lead_from_the_newest_to_the_oldest_without_gaps(api: Api, db: Session) -> None:
    made = [a_workflow(db).workflow_id for _ in range(7)]
    a_workflow(db, by=a_user(vo="belle"))
    db.commit()
    seen: list[int] = []
    before: int | None = None
    while before is not None or not seen:
        found, before = page(api, limit=3, **({"before": before} if before else {}))
        seen += found
    assert seen == sorted(made, reverse=True)


def test_before_the_first_there_is_nothing(api: Api, db: Session) -> None:
    a_workflow(db)
    db.commit()
    assert page(api, before=1) == ([], None)
    assert page(api, before=0) == ([], None)


def test_a_list_is_filtered_by_status(api: Api, db: Session) -> None:
    first, second = a_workflow(db), a_workflow(db)
    second.status = Status.DONE
    db.commit()
    assert page(api, status="Received") == ([first.workflow_id], None)
    assert page(api, status="Nonsense") == ([], None)


def test_a_job_whose_description_states_the_workflows_group_is_not_counted(api: Api) -> None:
    pi = Pi().advance()
    with session() as db:
        a_job(db, JobStatus.RUNNING, name="simulate", owner="bob", job_group=f"{pi.workflow_id:08d}")
    (row,) = api.get(PATH).json()["workflows"]
    assert (row["jobs"]["running"], row["jobs"]["waiting"]) == (0, 8)
    steps = {one["path"]: one for one in api.get(f"{PATH}/{pi.workflow_id}").json()["steps"]}
    assert steps["simulate"]["counts"] == {"Waiting": 8}


def test_jobs_are_counted_in_lists_as_in_steps(api: Api) -> None:
    pi = Pi().half_way()
    (row,) = api.get(PATH).json()["workflows"]
    none = {"waiting": 0, "skipped": 0, "failed": 0, "killed": 0, "reused": 0}
    assert row["jobs"] == {**none, "total": 8, "running": 1, "done": 7}
    steps = {one["path"]: one for one in api.get(f"{PATH}/{pi.workflow_id}").json()["steps"]}
    assert steps["simulate"]["counts"] == {"Done": 7, "Running": 1}


def test_what_was_taken_from_an_earlier_workflow_is_done_and_said_to_be_reused(api: Api) -> None:
    done = Pi(2, options=Options()).to_the_end(3.14)
    again = Pi(3, options=Options()).advance()
    newer, older = api.get(PATH).json()["workflows"]
    assert (older["workflow_id"], older["jobs"]["done"], older["jobs"]["reused"]) == (done.workflow_id, 4, 0)
    assert (newer["jobs"]["total"], newer["jobs"]["done"], newer["jobs"]["reused"]) == (3, 2, 2)
    for what in ("", "/graph"):
        found = api.get(f"{PATH}/{again.workflow_id}{what}").json()
        steps = {one["path"]: one for one in found["nodes" if what else "steps"]}
        assert (steps["simulate"]["total"], steps["simulate"]["reused"]) == (3, 2), what


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"before": "x"}])
def test_a_wrong_page_is_422(api: Api, query: dict[str, object]) -> None:
    assert api.get(PATH, params=query).status_code == 422


@pytest.mark.parametrize("number", [0, -1, 4711, 2**31, 2**63, 2**80])
def test_a_workflow_that_does_not_exist_is_404_whatever_its_number(api: Api, number: int) -> None:
    for what in ("", "/graph", "/events"):
        assert api.get(f"{PATH}/{number}{what}").status_code in (404, 422), what
    assert api.post(f"{PATH}/{number}/kill").status_code in (404, 422)
    assert api.get(PATH, params={"before": number}).status_code in (200, 422)


def test_events_are_paged_by_their_numbers(api: Api, db: Session) -> None:
    found = a_workflow(db)
    other = a_workflow(db)
    for number in range(5):
        events.tell(db, found.workflow_id, Status.RUNNING, f"event {number}", path="step", slot=number)
        events.tell(db, other.workflow_id, Status.RUNNING, "of another workflow")
    db.commit()
    told = list(_events(api, found.workflow_id, limit=2))
    assert told == ["submitted by alice", *(f"event {number}" for number in range(5))]
    last = api.get(f"{PATH}/{found.workflow_id}/events", params={"after": 10**6}).json()
    assert last == {"events": [], "last": 10**6}


def _events(api: Api, workflow_id: int, limit: int) -> Iterator[str]:
    after = 0
    while True:
        query = {"after": after, "limit": limit}
        answer = api.get(f"{PATH}/{workflow_id}/events", params=query).json()
        if not answer["events"]:
            return
        assert len(answer["events"]) <= limit
        assert answer["last"] > after
        after = answer["last"]
        yield from (event["message"] for event in answer["events"])


def test_a_workflow_is_read_back_with_its_steps_graph_and_bundle(api: Api) -> None:
    number = api.submit().json()["workflow_id"]
    detail = api.get(f"{PATH}/{number}").json()
    assert (detail["owner"], detail["vo"], detail["outputs"], detail["ended_at"]) == (
        "alice",
        "lhcb",
        None,
        None,
    )
    assert [step["path"] for step in detail["steps"]] == [""]
    assert api.get(f"{PATH}/{number}/graph").json()["nodes"][0]["state"] == "Waiting"
    assert api.get(f"{PATH}/bundles/{detail['bundle']}").json()["entrypoint"] == "workflow.cwl"
    assert api.get(f"{PATH}/bundles/{detail['bundle']}", by=a_user(vo="belle")).status_code == 404
    assert api.get(f"{PATH}/bundles/nohash").status_code == 422


def test_killing_twice_is_harmless_and_happens_once(api: Api, db: Session) -> None:
    number = api.submit().json()["workflow_id"]
    answers = [api.post(f"{PATH}/{number}/kill") for _ in range(2)]
    assert [(one.status_code, one.json()["status"]) for one in answers] == [(200, "Killing")] * 2
    events_ = api.get(f"{PATH}/{number}/events").json()["events"]
    assert [event["status"] for event in events_] == ["Received", "Killing"]
    assert db.scalars(select(Outbox.key)).all() == [f"workflow-{number}.advance"]


def test_a_killed_workflow_stays_killed_and_so_do_its_jobs(api: Api, db: Session) -> None:
    number = api.submit().json()["workflow_id"]
    advance.apply(kwargs={"workflow_id": number})
    (job_id,) = db.scalars(select(Job.job_id)).all()
    db.rollback()
    api.post(f"{PATH}/{number}/kill")
    advance.apply(kwargs={"workflow_id": number})
    assert api.get(f"{PATH}/{number}").json()["status"] == "Killed"
    assert api.get(f"/api/jobs/{job_id}").json()["Status"] == "Killed"
    assert api.post(f"{PATH}/{number}/kill").json()["status"] == "Killed"
    advance.apply(kwargs={"workflow_id": number})
    assert api.get(f"{PATH}/{number}").json()["status"] == "Killed"


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED])
def test_killing_what_has_ended_is_a_conflict(api: Api, db: Session, status: Status) -> None:
    found = a_workflow(db)
    found.status = status
    db.commit()
    answer = api.post(f"{PATH}/{found.workflow_id}/kill")
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"workflow {found.workflow_id} is {status}: it cannot become Killed"
