"""Reading and killing workflows."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.jobs.tables import Job
from diracx_tasks.workflows import events
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tasks import advance
from tests.api.caller import Api
from tests.builders import a_job, a_user, a_workflow

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


def test_a_list_is_filtered_by_status_and_counts_jobs(api: Api, db: Session) -> None:
    first, second = a_workflow(db), a_workflow(db)
    second.status = Status.DONE
    group = f"{first.workflow_id:08d}"
    for status in (JobStatus.WAITING, JobStatus.RUNNING, JobStatus.STALLED, JobStatus.DONE, JobStatus.KILLED):
        a_job(db, status, job_group=group)
    db.commit()
    (row,) = api.get(PATH, params={"status": "Received"}).json()["workflows"]
    assert row["workflow_id"] == first.workflow_id
    assert row["jobs"] == {"total": 5, "waiting": 1, "running": 2, "done": 1, "failed": 0, "killed": 1}
    assert page(api, status="Nonsense") == ([], None)


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
