"""Status updates that are refused: of jobs that are not there or another's, at impossible times."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.api.caller import Api
from tests.api.changes import BEGIN, STATUS, a_stored_job, at, status_of, tell, told
from tests.api.stores import installation, migrated
from tests.builders import a_user, an_administrator

__all__ = ["installation", "migrated"]
DONE = {"Status": "Done"}


def test_jobs_that_are_not_there_have_failed_and_the_others_not(api: Api, db: Session) -> None:
    job_id, foreign = a_stored_job(db), a_stored_job(db, vo="belle")
    body = {str(number): {at(1): DONE} for number in (job_id, foreign, 4711)}
    answer = api.patch(STATUS, body)
    assert answer.status_code == 200
    assert list(answer.json()["success"]) == [str(job_id)]
    assert answer.json()["failed"] == {str(one): {"detail": "Not found"} for one in (foreign, 4711)}
    none = tell(api, 4711, {at(1): DONE})
    failed = {"4711": {"detail": "Not found"}}
    assert (none.status_code, none.json()) == (404, {"detail": {"success": {}, "failed": failed}})


def test_one_job_of_somebody_else_spoils_the_whole_call(api: Api, db: Session) -> None:
    mine, other = a_stored_job(db), a_stored_job(db, owner="bob")
    body = {str(number): {at(1): DONE} for number in (mine, other)}
    assert api.patch(STATUS, body).status_code == 403
    assert (status_of(api, mine), status_of(api, other)) == ("Running", "Running")
    assert api.patch(STATUS, body, by=an_administrator()).status_code == 200
    assert (status_of(api, mine), status_of(api, other)) == ("Done", "Done")


def test_a_namesake_or_an_administrator_of_another_vo_finds_nothing(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    for stranger in (a_user(vo="belle"), an_administrator(vo="belle")):
        assert tell(api, job_id, {at(1): DONE}, by=stranger).status_code == 404
    assert status_of(api, job_id) == "Running"


def test_times_must_be_in_utc_and_the_answer_says_so(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    naive = (BEGIN + timedelta(seconds=1)).replace(tzinfo=None).isoformat()
    answer = tell(api, job_id, {naive: DONE})
    words = f"Timestamp {naive} is not timezone aware for job {job_id}"
    assert (answer.status_code, answer.json()["detail"]) == (400, words)
    answer = tell(api, job_id, {f"{naive}+01:00": DONE})
    assert answer.status_code == 400
    assert "Datetime must be in UTC, got offset 1:00:00" in answer.json()["detail"]
    assert status_of(api, job_id) == "Running"
    assert told(api, job_id, {f"{naive}+00:00": DONE})["Status"] == "Done"


@pytest.mark.parametrize(
    "updates",
    [
        {},
        {"x": DONE},
        {"2099-01-01T00:00:00Z": DONE},
        {"0001-01-01T00:00:00Z": DONE},
        {"9999-12-31T23:59:59": DONE},
        {"9999-12-31T23:59:59-14:00": DONE},
        {"1970-01-01T00:00:00Z": DONE},
        {at(1): {"Status": "Scouting"}},
        {at(1): {"Status": "nonsense"}},
        {at(1): {"MinorStatus": "x" * 129}},
        {at(1): {"ApplicationStatus": "\ud800"}},
        {at(1): 7},
    ],
    ids=range(12),
)
def test_an_update_that_cannot_be_is_422(api: Api, db: Session, updates: Any) -> None:
    job_id = a_stored_job(db)
    assert tell(api, job_id, updates).status_code == 422
    assert status_of(api, job_id) == "Running"
