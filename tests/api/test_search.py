"""Searching and reading jobs, as the official clients do."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.jobs.search import COLUMNS
from diracx_tasks.jobs.states import Status
from tests.api.caller import Api
from tests.builders import a_job, a_user

PATH = "/api/jobs/search"


@pytest.fixture
def jobs(db: Session) -> list[int]:
    """Five jobs of the VO, and one of another."""
    made = [a_job(db, Status.DONE, name=f"job-{number}", owner=f"user{number % 2}") for number in range(4)]
    made.append(a_job(db, Status.WAITING, name="other"))
    a_job(db, Status.DONE, vo="belle", name="job-0")
    db.commit()
    return made


def find(api: Api, parameter: str, operator: str, value: Any) -> list[int]:
    key = "values" if isinstance(value, list) else "value"
    body = {"search": [{"parameter": parameter, "operator": operator, key: value}]}
    answer = api.post(PATH, body)
    assert answer.status_code == 200, answer.text
    return [row["JobID"] for row in answer.json()]


def test_conditions_must_all_hold(api: Api, jobs: list[int]) -> None:
    search = [
        {"parameter": "Status", "operator": "eq", "value": "Done"},
        {"parameter": "Owner", "operator": "eq", "value": "user1"},
    ]
    assert [row["JobID"] for row in api.post(PATH, {"search": search}).json()] == [jobs[1], jobs[3]]


@pytest.mark.parametrize(
    "value", ["", "x", "9999-99-99", "2024-02-30", "2026-13", "99999", 7, "2026-01-01T00:00:00+01:00"]
)
@pytest.mark.parametrize("operator", ["eq", "gt"])
def test_a_time_that_is_none_is_400(api: Api, jobs: list[int], operator: str, value: Any) -> None:
    body = {"search": [{"parameter": "SubmissionTime", "operator": operator, "value": value}]}
    assert api.post(PATH, body).status_code in (400, 422)


@pytest.mark.parametrize(
    "condition",
    [
        {"parameter": "Nonsense", "operator": "eq", "value": "x"},
        {"parameter": "NextCheckAt", "operator": "eq", "value": "x"},
        {"parameter": "Status", "operator": "eq"},
        {"parameter": "Status", "operator": "in", "value": "x"},
        {"parameter": "Status", "operator": "between", "value": "x"},
        {"parameter": "Status", "operator": "eq", "value": 1.5},
        {"parameter": "Status", "operator": "eq", "value": {"$ne": 1}},
        {"parameter": "JobName", "operator": "regex", "value": "("},
        {"parameter": "VerifiedFlag", "operator": "eq", "value": "maybe"},
        {"parameter": "AccountedFlag", "operator": "in", "values": ["xx"]},
        {"parameter": "SubmissionTime", "operator": "like", "value": "2026%"},
        {"parameter": "SubmissionTime", "operator": "in", "values": ["x"]},
        {"parameter": "JobID", "operator": "eq", "value": 2**70},
        {"parameter": "JobID", "operator": "in", "values": [1, 2**70]},
        {"parameter": "JobName", "operator": "eq", "value": "\ud800"},
    ],
    ids=lambda condition: ascii(condition)[:80],
)
def test_a_condition_that_makes_no_sense_is_the_askers_fault(
    api: Api, jobs: list[int], condition: Any
) -> None:
    answer = api.post(PATH, body={"search": [condition]})
    assert answer.status_code in (400, 422) or (answer.status_code, answer.json()) == (200, [])


def test_unknown_columns_are_named(api: Api) -> None:
    unknown = api.post(PATH, {"parameters": ["JobID", "Bad"]})
    assert (unknown.status_code, unknown.json()["detail"]) == (
        400,
        "Unrecognised parameters requested {'Bad'}",
    )
    sort = api.post(PATH, {"sort": [{"parameter": "Bad", "direction": "asc"}]})
    assert (sort.status_code, sort.json()["detail"]) == (400, "Cannot sort by Bad: unknown column")
    search = api.post(PATH, {"search": [{"parameter": "Bad", "operator": "eq", "value": "x"}]})
    assert (search.status_code, search.json()["detail"]) == (400, "Unknown column Bad")


@pytest.mark.parametrize(
    "text", ["' OR '1'='1", "x'; DROP TABLE Jobs; --", '" OR 1=1 --', "%' UNION SELECT 1 --", "\\' OR 1=1#"]
)
def test_sql_is_a_text_like_any_other(api: Api, jobs: list[int], text: str) -> None:
    for operator in ("eq", "like"):
        assert find(api, "JobName", operator, text) == []
    for place in ("parameter", "operator"):
        condition = {"parameter": "JobName", "operator": "eq", "value": "x", place: text}
        assert api.post(PATH, {"search": [condition]}).status_code in (400, 422)
    assert api.post(PATH, {"sort": [{"parameter": text, "direction": "asc"}]}).status_code == 400
    assert api.post(PATH, {"sort": [{"parameter": "JobID", "direction": text}]}).status_code == 422
    assert api.post(PATH, {"parameters": [text]}).status_code == 400
    assert len(api.post(PATH, {}).json()) == 5


def test_everything_on_one_page_is_200_without_a_range(api: Api, jobs: list[int]) -> None:
    answer = api.post(PATH)
    assert (answer.status_code, len(answer.json())) == (200, 5)
    assert "Content-Range" not in answer.headers
    assert list(answer.json()[0]) == list(COLUMNS)


@pytest.mark.parametrize(
    "query",
    [{"page": 0}, {"page": -1}, {"per_page": 0}, {"per_page": 10001}, {"page": 10**18}, {"page": "x"}],
)
def test_a_page_that_cannot_be_is_422(api: Api, query: dict[str, Any]) -> None:
    assert api.post(PATH, {}, params=query).status_code == 422


def test_jobs_are_sorted_as_asked(api: Api, jobs: list[int]) -> None:
    sort = [{"parameter": "Owner", "direction": "desc"}, {"parameter": "JobID", "direction": "desc"}]
    found = api.post(PATH, {"parameters": ["JobID", "Owner"], "sort": sort}).json()
    assert found == sorted(found, key=lambda row: (row["Owner"], row["JobID"]), reverse=True)


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b"7", b'{"search": 7}', b'{"search": [[]]}', b'{"sort": [null]}', b"\xff"]
)
def test_a_malformed_body_is_the_askers_fault(api: Api, body: bytes) -> None:
    answer = api.ask("POST", PATH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


def test_a_job_is_read_with_attempts_history_and_log(api: Api, db: Session) -> None:
    job_id = a_job(db, Status.DONE)
    db.commit()
    found = api.get(f"/api/jobs/{job_id}").json()
    assert (found["Status"], found["Outputs"], found["Attempt"]) == ("Done", {"answer": 42}, 1)
    assert [(one["pilot"], one["status"]) for one in found["Attempts"]] == [("stamp-1", "Done")]
    history = [one["Status"] for one in api.get(f"/api/jobs/{job_id}/history").json()]
    assert history == ["Received", "Waiting", "Matched", "Running", "Done"]
    log = api.get(f"/api/jobs/{job_id}/logs").json()
    assert (log["attempt"], log["text"], log["final"]) == (1, "", True)


@pytest.mark.parametrize("number", [0, -1, 4711, 2**31, 2**63, 2**80])
def test_a_job_that_does_not_exist_is_404_whatever_its_number(api: Api, number: int) -> None:
    for what in ("", "/history", "/logs", "/why"):
        assert api.get(f"/api/jobs/{number}{what}").status_code in (404, 422), what
    assert api.post(f"/api/jobs/{number}/kill").status_code in (404, 422)


def test_killing_a_job_twice_is_harmless_and_a_finished_one_a_conflict(api: Api, db: Session) -> None:
    running, done, failed = (a_job(db, status) for status in (Status.RUNNING, Status.DONE, Status.FAILED))
    db.commit()
    answers = [api.post(f"/api/jobs/{running}/kill").json() for _ in range(2)]
    assert [(one["status"], one["outcome"]) for one in answers] == [
        ("Killed", "applied"),
        ("Killed", "refused"),
    ]
    history = [one["Status"] for one in api.get(f"/api/jobs/{running}/history").json()]
    assert history.count("Killed") == 1
    for job_id, status in ((done, "Done"), (failed, "Failed")):
        answer = api.post(f"/api/jobs/{job_id}/kill")
        words = f"job {job_id} is {status} (attempt 1): it cannot become Killed"
        assert (answer.status_code, answer.json()["detail"]) == (409, words)
    assert api.post(f"/api/jobs/{running}/kill", by=a_user("bob")).status_code == 403
