"""Searches over jobs on both databases: every operator on every kind of column, and what rows look like."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.core.settings import stated
from diracx_tasks.jobs.search import COLUMNS
from diracx_tasks.jobs.states import Status
from diracx_tasks.pilots import mapping
from diracx_tasks.pilots.tables import Pilot
from tests.api.caller import Api
from tests.api.searches import about, ask, jobs, rows
from tests.api.stores import installation, migrated
from tests.builders import Installation, a_job, a_user, an_administrator, environment

__all__ = ["installation", "jobs", "migrated"]


@pytest.mark.parametrize(
    "condition, expected",
    [
        (about("JobName", "eq", "alpha"), [0]),
        (about("JobName", "neq", "alpha"), [1, 2, 3, 4]),
        (about("JobName", "in", ["alpha", "ε"]), [0, 4]),
        (about("JobName", "not in", ["alpha", "ε"]), [1, 2, 3]),
        (about("JobName", "like", "%100\\%"), [2]),
        (about("JobName", "like", "%a"), [0, 1, 3]),
        (about("JobName", "not like", "%a"), [2, 4]),
        (about("JobName", "regex", "^[ad].+a$"), [0, 3]),
        (about("JobName", "gt", "zz"), [4]),
        (about("UserPriority", "eq", 3), [3]),
        (about("UserPriority", "eq", "3"), [3]),
        (about("UserPriority", "neq", "3"), [0, 1, 2, 4]),
        (about("UserPriority", "gt", 2), [3, 4]),
        (about("UserPriority", "lt", "2"), [0, 1]),
        (about("UserPriority", "in", [0, 4]), [0, 4]),
        (about("UserPriority", "in", ["0", "4"]), [0, 4]),
        (about("UserPriority", "not in", [0, 4]), [1, 2, 3]),
        (about("UserPriority", "in", []), []),
        (about("UserPriority", "not in", []), [0, 1, 2, 3, 4]),
        (about("UserPriority", "like", "3%"), [3]),
        (about("UserPriority", "regex", "^[12]$"), [1, 2]),
        (about("VerifiedFlag", "eq", "True"), [1, 3]),
        (about("VerifiedFlag", "neq", "true"), [0, 2, 4]),
        (about("VerifiedFlag", "in", ["False"]), [0, 2, 4]),
        (about("AccountedFlag", "eq", "Failed"), [2]),
        (about("AccountedFlag", "in", ["True", "failed"]), [0, 2, 3]),
        (about("AccountedFlag", "not in", ["True"]), [1, 2, 4]),
        (about("AccountedFlag", "like", "F%"), [1, 2, 4]),
        (about("Status", "eq", "Done"), [0, 1]),
        (about("SubmissionTime", "eq", "2026"), [0, 1, 2, 3, 4]),
        (about("SubmissionTime", "eq", "2026-01"), [0, 1]),
        (about("SubmissionTime", "eq", "2026-01-31"), [0, 1]),
        (about("SubmissionTime", "eq", "2026-01-31 23"), [0, 1]),
        (about("SubmissionTime", "eq", "2026-01-31T23:59"), [0, 1]),
        (about("SubmissionTime", "eq", "2026-01-31T23:59:59"), [1]),
        (about("SubmissionTime", "eq", "2026-01-31T23:59:59.999999Z"), [1]),
        (about("SubmissionTime", "eq", "2026-01-31T23:59:59+00:00"), [1]),
        (about("SubmissionTime", "neq", "2026-01"), [2, 3, 4]),
        (about("SubmissionTime", "gt", "2026-01"), [2, 3, 4]),
        (about("SubmissionTime", "gt", "2026-02-01T00:00:00Z"), [3, 4]),
        (about("SubmissionTime", "lt", "2026-02"), [0, 1]),
        (about("SubmissionTime", "lt", "2026-01-31T23:59:59"), [0]),
        (about("SubmissionTime", "in", ["2026-01-31T23:59:58", "2026-02-01T00:00:02"]), [0, 4]),
        (about("SubmissionTime", "not in", ["2026-01-31T23:59:58", "2026-02-01T00:00:02"]), [1, 2, 3]),
        (about("SubmissionTime", "in", []), []),
        (about("SubmissionTime", "not in", []), [0, 1, 2, 3, 4]),
        (about("SubmissionTime", "lt", "0001"), []),
        (about("SubmissionTime", "gt", "9998"), []),
        (about("StartExecTime", "lt", "2026-03"), [0]),
        (about("StartExecTime", "gt", "2026-03"), [2, 4]),
    ],
    ids=str,
)
def test_operators_mean_the_same_on_both_databases(
    api: Api, jobs: list[int], condition: dict[str, Any], expected: list[int]
) -> None:
    assert [jobs.index(row["JobID"]) for row in rows(api, search=[condition])] == expected


@pytest.mark.parametrize(
    "condition",
    [
        about("SubmissionTime", "eq", "2026-02-30"),
        about("SubmissionTime", "eq", "9999"),
        about("SubmissionTime", "in", ["2026", "2026-13"]),
        about("SubmissionTime", "regex", "2026"),
        about("SubmissionTime", "eq", 2026),
        about("JobName", "regex", "("),
        about("JobName", "regex", "*"),
        about("VerifiedFlag", "eq", "maybe"),
        about("UserPriority", "eq", "three"),
        about("UserPriority", "gt", "1.5"),
        about("Nonsense", "eq", "x"),
        about("PilotStamp", "neq", "x"),
    ],
    ids=str,
)
def test_a_condition_that_makes_no_sense_is_400_and_says_why(
    api: Api, jobs: list[int], condition: dict[str, Any]
) -> None:
    answer = ask(api, search=[condition])
    assert (answer.status_code, bool(answer.json()["detail"])) == (400, True)


def test_flags_are_booleans_and_times_have_six_digits(api: Api, jobs: list[int]) -> None:
    names = ["VerifiedFlag", "AccountedFlag", "SubmissionTime", "StartExecTime", "UserPriority"]
    found = rows(api, parameters=names)
    assert [list(row) for row in found] == [[name for name in COLUMNS if name in names]] * 5
    assert [row["VerifiedFlag"] for row in found] == [False, True, False, True, False]
    assert [row["AccountedFlag"] for row in found] == [True, False, "Failed", True, False]
    assert found[0]["SubmissionTime"] == "2026-01-31T23:59:58.000000Z"
    assert [row["StartExecTime"] is None for row in found] == [False, True, False, True, False]


def test_a_row_of_a_search_is_what_is_known_of_the_job(api: Api, jobs: list[int]) -> None:
    for row in rows(api):
        job = api.get(f"/api/jobs/{row['JobID']}").json()
        assert {name: job[name] for name in row} == row


def test_the_history_comes_alone_with_all_columns_and_with_others_with_the_number(
    api: Api, jobs: list[int]
) -> None:
    alone = rows(api, parameters=["LoggingInfo"])
    assert [list(row) for row in alone] == [[*COLUMNS, "LoggingInfo"]] * 5
    some = rows(api, parameters=["LoggingInfo", "Status"])
    assert [list(row) for row in some] == [["JobID", "Status", "LoggingInfo"]] * 5
    for row in some:
        assert row["LoggingInfo"] == api.get(f"/api/jobs/{row['JobID']}/history").json()
        assert [event["Status"] for event in row["LoggingInfo"]] == ["Received", "Waiting"]
        assert list(row["LoggingInfo"][0]) == [
            "Status",
            "MinorStatus",
            "ApplicationStatus",
            "StatusTime",
            "Source",
        ]


def test_the_stamp_of_a_pilot_stands_for_the_jobs_it_had(api: Api, db: Session) -> None:
    running = [a_job(db, Status.RUNNING, pilot=f"stamp-{number}") for number in range(3)]
    mapped = a_job(db)
    db.add(Pilot(stamp="stamp-0", vo="lhcb"))
    db.flush()
    mapping.note(db, "lhcb", {"stamp-0": [mapped]})
    db.commit()

    def jobs_of(operator: str, value: Any) -> list[int]:
        return [row["JobID"] for row in rows(api, search=[about("PilotStamp", operator, value)])]

    assert jobs_of("eq", "stamp-0") == [running[0], mapped]
    assert jobs_of("in", ["stamp-1", "stamp-2"]) == running[1:]
    assert jobs_of("eq", "stamp-9") == jobs_of("in", []) == []
    both = [about("PilotStamp", "eq", "stamp-1"), about("JobID", "eq", running[1])]
    assert ask(api, search=both).status_code == 400
    counted = api.post(
        "/api/jobs/summary", {"grouping": ["Status"], "search": [about("PilotStamp", "eq", "stamp-0")]}
    )
    assert sorted(row["Status"] for row in counted.json()) == ["Running", "Waiting"]


def test_what_a_vo_hides_only_owners_and_administrators_see(
    api: Api, jobs: list[int], installation: Installation
) -> None:
    file = installation.folder / "configuration.yml"
    file.write_text("Operations: {lhcb: {Services: {JobMonitoring: {GlobalJobsInfo: false}}}}\n")
    with environment(**{**stated(), "DIRACX_CONFIG_BACKEND_URL": str(file)}):
        assert [row["Owner"] for row in rows(api, parameters=["Owner"])] == ["alice"] * 2
        assert len(ask(api, by=an_administrator()).json()) == 5
        assert ask(api, by=a_user("carol")).json() == []
        summary = api.post("/api/jobs/summary", {"grouping": ["Owner"]}).json()
        assert summary == [{"Owner": "alice", "count": 2}]
        mine, other = jobs[1], jobs[0]
        assert api.get(f"/api/jobs/{mine}").status_code == 200
        for what in ("", "/history", "/jdl", "/logs", "/parameters", "/heartbeats", "/why", "/sandbox"):
            assert api.get(f"/api/jobs/{other}{what}").status_code == 404, what


def test_summaries_count_what_there_is_of_each_combination(api: Api, jobs: list[int]) -> None:
    def counted(*grouping: str, search: Any = ()) -> Any:
        answer = api.post("/api/jobs/summary", {"grouping": grouping, "search": list(search)})
        assert answer.status_code == 200, answer.text
        return answer.json()

    found = counted("Status", "Owner", "VerifiedFlag")
    assert {tuple(row.values()) for row in found} == {
        ("bob", "Done", False, 1),
        ("alice", "Done", True, 1),
        ("bob", "Waiting", False, 2),
        ("alice", "Waiting", True, 1),
    }
    assert list(found[0]) == ["Owner", "Status", "VerifiedFlag", "count"]
    assert counted("VO", search=[about("Status", "eq", "Nothing")]) == []
    assert len(counted()) == 5
    assert api.post("/api/jobs/summary", {"grouping": ["Bad"]}).status_code == 400
    assert api.post("/api/jobs/summary", {}).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"search": [about("JobID", "in", list(range(10_001)))]},
        {"search": [about("Status", "eq", "Done")] * 51},
        {"search": [about("JobName", "eq", "x" * 1025)]},
        {"search": [about("UserPriority", "eq", 1.5)]},
        {"search": [about("JobName", "in", "alpha")]},
        {"search": [about("JobName", "between", "alpha")]},
        {"sort": [{"parameter": "JobID", "direction": "up"}]},
        {"parameters": ["x" * 65]},
        {"distinct": "perhaps"},
    ],
    ids=range(9),
)
def test_a_search_beyond_its_limits_is_422(api: Api, body: dict[str, Any]) -> None:
    assert ask(api, **body).status_code == 422
