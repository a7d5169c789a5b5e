"""The largest calls there may be: ten thousand jobs at once, and one more is too many."""

from typing import Any

import pytest
from sqlalchemy import insert, update

from diracx_tasks.core.database import now, session
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.submit import create
from diracx_tasks.jobs.tables import Attempt, Job
from tests.api.caller import Api
from tests.api.changes import STATUS, at, events, the
from tests.api.stores import installation, migrated
from tests.builders import a_new_job, a_pilot

__all__ = ["installation", "migrated"]
MANY = 10_000


def running() -> list[int]:
    """So many jobs that one pilot holds."""
    with session() as db:
        made = create(db, [a_new_job()] * MANY)
        db.execute(update(Job).values(status=Status.RUNNING))
        held = [{"job_id": one, "attempt": 1, "pilot": "stamp-1", "started_at": now()} for one in made]
        db.execute(insert(Attempt), held)
    return made


def for_each(job_ids: list[int], what: Any) -> dict[str, Any]:
    return {str(job_id): what for job_id in job_ids}


def test_ten_thousand_jobs_are_submitted_searched_and_counted(api: Api) -> None:
    answer = api.post("/api/jobs/jdl", ['Executable = "echo"; Arguments = "%j";'] * MANY)
    assert answer.status_code == 201, answer.text[:1000]
    numbers = [one["JobID"] for one in answer.json()]
    assert len(set(numbers)) == MANY
    condition = {"parameter": "JobID", "operator": "in", "values": numbers}
    found = api.post("/api/jobs/search", {"search": [condition]}, params={"per_page": MANY})
    assert (found.status_code, len(found.json())) == (200, MANY)
    counted = api.post("/api/jobs/summary", {"grouping": ["Status"]}).json()
    assert counted == [{"Status": "Received", "count": MANY}]


def test_ten_thousand_jobs_are_updated_beat_and_end(api: Api) -> None:
    there, pilot = running(), a_pilot()
    beat = api.patch("/api/jobs/heartbeat", for_each(there, {"Attempt": 1, "CPUConsumed": 1}), by=pilot)
    assert (beat.status_code, beat.json()) == (200, [])
    updates = {at(1): {"MinorStatus": "Uploading"}, at(2): {"Status": "Done", "Source": "JobWrapper"}}
    for _ in range(2):
        answer = api.patch(STATUS, for_each(there, updates))
        assert answer.status_code == 200, answer.text[:1000]
        assert (len(answer.json()["success"]), answer.json()["failed"]) == (MANY, {})
    for job_id in (there[0], there[-1]):
        assert the(api, job_id)["Status"] == "Done"
        assert [one[0] for one in events(job_id)] == ["Received", "Running", "Done"]
    killed = api.patch("/api/jobs/heartbeat", for_each(there, {}), by=pilot).json()
    assert len(killed) == MANY


@pytest.mark.parametrize("what", ["heartbeat", "status", "metadata"])
def test_one_more_is_too_many(api: Api, what: str) -> None:
    one: dict[str, Any] = {at(1): {"Status": "Done"}} if what == "status" else {}
    answer = api.patch(f"/api/jobs/{what}", for_each(list(range(MANY + 1)), one))
    assert answer.status_code == 422
