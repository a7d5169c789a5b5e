"""Pages of searches: by number, by cursor, of distinct rows."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.api.caller import Api
from tests.api.searches import about, ask, jobs, rows
from tests.api.stores import installation, migrated
from tests.builders import a_job

__all__ = ["installation", "jobs", "migrated"]
ORDERS: list[list[tuple[str, str]]] = [
    [],
    [("JobID", "desc")],
    [("StartExecTime", "asc")],
    [("StartExecTime", "desc")],
    [("VerifiedFlag", "asc")],
    [("VerifiedFlag", "desc"), ("JobID", "desc")],
    [("AccountedFlag", "desc"), ("StartExecTime", "asc")],
    [("Status", "asc"), ("StartExecTime", "desc"), ("JobName", "desc")],
    [("JobName", "asc")],
    [("Owner", "desc"), ("UserPriority", "asc")],
    [("SubmissionTime", "desc")],
]


def test_distinct_rows_come_once_and_are_counted_once(api: Api, jobs: list[int]) -> None:
    found = ask(api, parameters=["Owner", "VO"], distinct=True)
    assert (found.status_code, len(found.json())) == (200, 2)
    one = ask(api, parameters=["Owner", "VO"], distinct=True, query={"per_page": 1})
    assert (one.status_code, one.headers["Content-Range"]) == (206, "jobs 0-0/2")
    sort = [{"parameter": "Owner", "direction": "desc"}]
    assert [row["Owner"] for row in rows(api, parameters=["Owner"], distinct=True, sort=sort)] == [
        "bob",
        "alice",
    ]


def test_pages_say_which_part_of_how_many_they_are(api: Api, jobs: list[int]) -> None:
    pages = [ask(api, query={"page": page, "per_page": 2}) for page in (1, 2, 3, 4, 10**9)]
    assert [one.status_code for one in pages] == [206, 206, 206, 416, 416]
    ranges = [one.headers["Content-Range"] for one in pages]
    assert ranges == ["jobs 0-1/5", "jobs 2-3/5", "jobs 4-4/5", "jobs */5", "jobs */5"]
    assert [row["JobID"] for one in pages for row in one.json()] == jobs
    whole = ask(api, query={"per_page": 5})
    assert (whole.status_code, "Content-Range" in whole.headers) == (200, False)
    empty = ask(api, search=[about("JobName", "eq", "nobody")])
    assert (empty.status_code, empty.json(), "Content-Range" in empty.headers) == (200, [], False)


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("size", [1, 2])
def test_cursors_lead_through_the_same_rows_as_pages(
    api: Api, jobs: list[int], order: list[tuple[str, str]], size: int
) -> None:
    sort = [{"parameter": name, "direction": direction} for name, direction in order]
    numbers = [
        row["JobID"]
        for page in range(1, 5 // size + 2)
        for row in ask(api, sort=sort, query={"page": page, "per_page": size}).json()
    ]
    assert sorted(numbers) == jobs
    found: list[int] = []
    query: dict[str, Any] = {"per_page": size}
    for _ in range(6):
        answer = ask(api, sort=sort, query=query)
        found += [row["JobID"] for row in answer.json()]
        if "Next-Cursor" not in answer.headers:
            break
        query = {"per_page": size, "cursor": answer.headers["Next-Cursor"]}
    assert found == numbers


def test_rows_that_come_and_go_do_not_shift_the_pages_of_a_cursor(
    api: Api, db: Session, jobs: list[int]
) -> None:
    sort = [{"parameter": "JobID", "direction": "desc"}]
    first = ask(api, sort=sort, query={"per_page": 2})
    a_job(db)
    db.commit()
    second = ask(api, sort=sort, query={"per_page": 2, "cursor": first.headers["Next-Cursor"]})
    assert [row["JobID"] for one in (first, second) for row in one.json()] == jobs[:0:-1]


@pytest.mark.parametrize("cursor", ["", "x", "W10=", "bnVsbA==", "WyJhIl0=", "W1tdXQ==", "WzFlNDAwXQ=="])
def test_a_cursor_of_something_else_is_400(api: Api, jobs: list[int], cursor: str) -> None:
    assert ask(api, query={"cursor": cursor}).status_code == 400
