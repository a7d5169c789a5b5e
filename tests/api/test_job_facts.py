"""PATCH /metadata: the site of jobs, and parameters of any name."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import Status
from tests.api.caller import Api
from tests.api.changes import a_stored_job, the
from tests.api.stores import installation, migrated
from tests.builders import a_pilot, a_user, an_administrator

__all__ = ["installation", "migrated"]
PATH = "/api/jobs/metadata"


def parameters(api: Api, job_id: int) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/api/jobs/{job_id}/parameters").json()["parameters"]
    return found


def test_the_site_and_parameters_of_many_jobs_are_noted_at_once(api: Api, db: Session) -> None:
    first, second, third = (a_stored_job(db) for _ in range(3))
    body = {
        first: {"Site": "LCG.CERN.ch", "HostName": "node042", "PilotAgent": "v9"},
        second: {"Site": "LCG.RAL.uk"},
        third: {"HostName": "node043", "NormCPUTime(s)": 12},
    }
    answer = api.patch(PATH, body)
    assert (answer.status_code, answer.content) == (204, b"")
    assert [the(api, one)["Site"] for one in (first, second, third)] == [
        "LCG.CERN.ch",
        "LCG.RAL.uk",
        "LCG.CERN.ch",
    ]
    assert parameters(api, first) == {"HostName": "node042", "PilotAgent": "v9"}
    assert parameters(api, second) == {}
    assert parameters(api, third)["HostName"] == "node043"


def test_what_is_noted_again_replaces_what_was_and_leaves_the_rest(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    for facts in ({"HostName": "a", "ModelName": "x"}, {"HostName": "b"}):
        assert api.patch(PATH, {job_id: facts}).status_code == 204
    assert parameters(api, job_id) == {"HostName": "b", "ModelName": "x"}


@pytest.mark.parametrize(
    "name", ["Owner", "Status", "VO", "JobName", "RescheduleCounter", "Attempt", "NextCheckAt"]
)
def test_other_attributes_are_not_changed_this_way(api: Api, db: Session, name: str) -> None:
    job_id = a_stored_job(db)
    before = the(api, job_id)
    answer = api.patch(PATH, {job_id: {name: "x", "Site": "LCG.RAL.uk"}})
    words = f"Job attribute {name} cannot be modified through this endpoint"
    assert (answer.status_code, answer.json()) == (400, {"detail": words})
    assert the(api, job_id) == before


def test_an_unknown_job_spoils_the_whole_call(api: Api, db: Session) -> None:
    job_id, foreign = a_stored_job(db), a_stored_job(db, vo="belle")
    for missing in (4711, foreign):
        for facts in ({"Site": "LCG.RAL.uk"}, {"HostName": "x"}):
            answer = api.patch(PATH, {job_id: facts, missing: facts})
            assert (answer.status_code, answer.json()) == (404, {"detail": f"Job {missing} not found"})
    assert (the(api, job_id)["Site"], parameters(api, job_id)) == ("LCG.CERN.ch", {})


def test_strangers_note_nothing(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    for stranger, status in ((a_user("bob"), 403), (a_pilot("stamp-2"), 403), (a_user(vo="belle"), 404)):
        assert api.patch(PATH, {job_id: {"HostName": "x"}}, by=stranger).status_code == status
    assert parameters(api, job_id) == {}
    for friend in (an_administrator(), a_pilot()):
        assert api.patch(PATH, {job_id: {"HostName": friend.name}}, by=friend).status_code == 204
        assert parameters(api, job_id) == {"HostName": friend.name}


def test_a_pilot_notes_nothing_of_a_job_that_is_another_attempts_now(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    api.post("/api/jobs/reschedule", {"job_ids": [job_id]}, by=an_administrator())
    assert the(api, job_id)["Attempt"] == 2
    assert api.patch(PATH, {job_id: {"HostName": "x"}}, by=a_pilot()).status_code == 403


@pytest.mark.parametrize(
    "facts",
    [
        {"Site": ["LCG.CERN.ch"]},
        {"Site": {"a": 1}},
        {"Site": 7},
        {"Site": True},
        {"Site": "x" * 101},
        {"Site": "\ud800"},
        {"x" * 101: 1},
        {"": 1},
        {"x": float("nan")},
        [],
        7,
    ],
    ids=range(11),
)
def test_facts_that_cannot_be_stored_are_the_senders_fault(api: Api, db: Session, facts: Any) -> None:
    job_id = a_stored_job(db)
    answer = api.patch(PATH, {str(job_id): facts})
    assert answer.status_code in (400, 422), answer.text
    assert (the(api, job_id)["Site"], parameters(api, job_id)) == ("LCG.CERN.ch", {})


def test_facts_of_a_job_that_is_over_are_noted_too(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.DONE)
    assert api.patch(PATH, {job_id: {"HostName": "late"}}).status_code == 204
    assert parameters(api, job_id) == {"HostName": "late"}
