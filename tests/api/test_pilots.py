"""Pilots are found and counted, and which jobs they had; a VO sees its own only."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.core.database import session
from diracx_tasks.pilots import mapping, register
from diracx_tasks.pilots.tables import Pilot, PilotJob
from tests.api.caller import Api
from tests.api.pilots import (
    CAROL,
    DAVE,
    PATCH,
    SEARCH,
    SUMMARY,
    about,
    everywhere,
    found,
    migrated,
    put,
    stamps,
)
from tests.builders import a_job, a_pilot, a_user

__all__ = ["everywhere", "migrated"]


def test_pages_say_where_they_are(everywhere: Api) -> None:
    put("local", *(f"n{number}" for number in range(5)))
    first = everywhere.post(f"{SEARCH}?page=1&per_page=2", by=DAVE)
    assert (first.status_code, first.headers["Content-Range"]) == (206, "pilots 0-1/5")
    last = everywhere.post(f"{SEARCH}?page=3&per_page=2", by=DAVE)
    assert (last.status_code, last.headers["Content-Range"], len(last.json())) == (206, "pilots 4-4/5", 1)
    beyond = everywhere.post(f"{SEARCH}?page=4&per_page=2", by=DAVE)
    assert (beyond.status_code, beyond.headers["Content-Range"], beyond.json()) == (416, "pilots */5", [])
    whole = everywhere.post(SEARCH, by=DAVE)
    assert whole.status_code == 200 and "Content-Range" not in whole.headers
    following = everywhere.post(
        f"{SEARCH}?per_page=2", by=DAVE, params={"cursor": first.headers["Next-Cursor"], "per_page": 2}
    )
    assert [one["PilotStamp"] for one in following.json()] == ["n2", "n3"]


def test_conditions_and_order_are_those_of_jobs(everywhere: Api) -> None:
    put("local", "s1", "s2", "s3")
    everywhere.patch(
        PATCH,
        {
            "s1": {"Status": "Done", "AccountingSent": True},
            "s2": {"BenchMark": 10.5},
            "s3": {"GridSite": 'LCG."q"'},
        },
        by=CAROL,
    )
    assert stamps(everywhere, about("Status", "eq", "Done")) == ["s1"]
    assert stamps(everywhere, about("Status", "not in", ["Done"])) == ["s2", "s3"]
    assert stamps(everywhere, about("BenchMark", "gt", 10)) == ["s2"]
    assert stamps(everywhere, about("GridSite", "like", "LCG%")) == ["s3"]
    assert stamps(everywhere, about("PilotStamp", "regex", "^s[12]$")) == ["s1", "s2"]
    assert stamps(everywhere, about("AccountingSent", "eq", "true")) == ["s1"]
    assert stamps(everywhere, about("SubmissionTime", "lt", "2020")) == []
    order = [{"parameter": "PilotStamp", "direction": "desc"}]
    assert [one["PilotStamp"] for one in found(everywhere, sort=order)] == ["s3", "s2", "s1"]
    assert found(everywhere, about("PilotStamp", "eq", "s3"), parameters=["GridSite"]) == [
        {"GridSite": 'LCG."q"'}
    ]
    for bad in (about("Bad", "eq", 1), about("BenchMark", "eq", "x"), about("PilotStamp", "regex", "(")):
        assert everywhere.post(SEARCH, {"search": [bad]}, by=DAVE).status_code == 400


def test_the_pilots_of_a_job_are_found(everywhere: Api) -> None:
    put("local", "s1", jobs=(17, 18))
    put("local", "s2", jobs=(18,))
    put("local", "s3")
    put("belle", "theirs", jobs=(17, 18))
    assert stamps(everywhere, about("JobID", "eq", 17)) == ["s1"]
    assert stamps(everywhere, about("JobID", "eq", "18")) == ["s1", "s2"]
    assert stamps(everywhere, about("JobID", "in", [17, 18])) == ["s1", "s2"]
    assert stamps(everywhere, about("JobID", "in", ["17", "4711"]), about("Status", "eq", "Unknown")) == [
        "s1"
    ]
    assert stamps(everywhere, about("JobID", "eq", 17), about("JobID", "eq", 18)) == ["s1"]
    assert stamps(everywhere, about("JobID", "in", [])) == []
    counted = everywhere.post(
        SUMMARY, {"grouping": ["Status"], "search": [about("JobID", "eq", 18)]}, by=DAVE
    )
    assert counted.json() == [{"Status": "Unknown", "count": 2}]
    with session() as db:
        assert mapping.jobs_of(db, "local", ["s1", "s2", "theirs"]) == [17, 18]


@pytest.mark.parametrize(
    "conditions, words",
    [
        ([about("JobID", "eq", "x")], "'JobID' pseudo-parameter values must be integers."),
        ([about("JobID", "eq", str(2**70))], "'JobID' pseudo-parameter values must be integers."),
        ([about("JobID", "gt", 1)], "'JobID' pseudo-parameter supports the operators 'eq' and 'in' only"),
        (
            [about("JobID", "eq", 1), about("PilotID", "eq", 1)],
            "Cannot combine 'JobID' pseudo-parameter with a real 'PilotID' filter in the same request.",
        ),
    ],
)
def test_what_cannot_be_asked_of_a_job_is_400(api: Api, conditions: list[Any], words: str) -> None:
    answer = api.post(SEARCH, {"search": conditions}, by=DAVE)
    assert answer.status_code == 400 and answer.json()["detail"].startswith(words)


def test_pilots_are_counted_by_columns_in_the_tables_order(everywhere: Api) -> None:
    put("local", "s1", "s2", "s3")
    put("belle", "theirs")
    everywhere.patch(PATCH, {"s1": {"Status": "Done", "GridSite": "A"}}, by=CAROL)
    answer = everywhere.post(SUMMARY, {"grouping": ["Status", "GridSite"]}, by=DAVE)
    assert answer.status_code == 200
    by_status = sorted(answer.json(), key=lambda one: str(one["Status"]))
    assert by_status == [
        {"GridSite": "A", "Status": "Done", "count": 1},
        {"GridSite": "Unknown", "Status": "Unknown", "count": 2},
    ]
    assert list(by_status[0]) == ["GridSite", "Status", "count"]
    every = everywhere.post(SUMMARY, {"grouping": []}, by=DAVE).json()
    assert len(every) == 3 and every[0].keys() >= {"PilotID", "VO", "count"}
    assert everywhere.post(SUMMARY, {"grouping": ["Bad"]}, by=DAVE).status_code == 400


def test_no_vo_sees_the_pilots_of_another_not_even_its_administrator(api: Api) -> None:
    put("belle", "theirs")
    every = (SERVICE, "NormalUser", "JobAdministrator")
    for who in (DAVE, CAROL, a_user("admin", vo="local", properties=every)):
        assert found(api, by=who) == []
        assert api.post(SUMMARY, {"grouping": ["VO"]}, by=who).json() == []
        assert stamps(api, about("VO", "eq", "belle"), by=who) == []


def test_pilots_do_not_read_about_pilots(api: Api) -> None:
    bodies: dict[str, Any] = {SEARCH: {}, SUMMARY: {"grouping": []}}
    for path, body in bodies.items():
        assert api.post(path, body, by=a_pilot("s1", vo="local")).status_code == 403
        assert api.post(path, body, by=None).status_code == 401
    assert api.post(SEARCH, {}, by=a_user("x", vo="local", properties=())).status_code == 200


def test_a_match_is_noted_once_with_the_pilot_and_the_job(everywhere: Api) -> None:
    stamp = "s1"
    with session() as db:
        db.add(Pilot(stamp=stamp, vo="lhcb"))
        a_job(db), a_job(db)
    slot = {"stamp": stamp, "site": "LCG.CERN.ch", "cores": 8, "ram_mb": 16000, "count": 2}
    given = everywhere.post("/api/pilots/match", slot, by=a_pilot(stamp)).json()["jobs"]
    job_ids = sorted(one["job_id"] for one in given)
    assert len(job_ids) == 2
    with session() as db:
        register.seen_many(db, "lhcb", [(stamp, job_ids)] if job_ids else [])
        row = db.execute(select(Pilot.status, Pilot.current_job, Pilot.initial_job)).one()
        assert tuple(row) == ("Running", job_ids[0], job_ids[0])
        assert sorted(db.scalars(select(PilotJob.job_id))) == job_ids
    assert stamps(everywhere, about("JobID", "eq", job_ids[1]), by=a_user()) == [stamp]


def test_a_pilot_of_another_vo_with_the_same_stamp_changes_nothing(api: Api) -> None:
    put("local", "s1")
    slot = {"stamp": "s1", "site": "LCG.CERN.ch", "cores": 8, "ram_mb": 16000}
    assert api.post("/api/pilots/match", slot, by=a_pilot("s1", vo="belle")).status_code == 200
    assert [one["Status"] for one in found(api)] == ["Unknown"]


ODD = [
    '"',
    "\\",
    "a\nb\tc",
    "\x01\x1f\x7f",
    "é😀\u2028",
    "%s %(x)s :x",
    "</script>",
    "' OR 1=1 --",
    "null",
    " ",
]


def test_what_is_stored_comes_back_as_it_was(everywhere: Api) -> None:
    names = [f"n{number}" for number in range(len(ODD))]
    put("local", *names)
    updates = {name: {"StatusReason": odd} for name, odd in zip(names, ODD, strict=True)}
    assert everywhere.patch(PATCH, updates, by=CAROL).status_code == 204
    rows = found(everywhere, parameters=["PilotStamp", "StatusReason", "SubmissionTime"])
    assert [row["StatusReason"] for row in rows] == ODD
    assert {row["SubmissionTime"] for row in rows} == {None}
    for name, odd in zip(names, ODD, strict=True):
        if odd.strip():
            assert stamps(everywhere, about("StatusReason", "eq", odd)) == [name]


@pytest.mark.parametrize(
    "column", ["BenchMark", "SubmissionTime", "StatusReason", "AccountingSent", "Status"]
)
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_cursors_pass_every_pilot_once_in_order(everywhere: Api, column: str, direction: str) -> None:
    numbers = (0.1, 1 / 3, 1e-7, 1e300, -2.5, 0.0, 12.0, 1 / 3)
    with session() as db:
        for number, value in enumerate(numbers):
            when = datetime(2026, 1, 1 + number) if number % 3 else None
            odd = {"reason": ODD[number], "accounted": str(number % 2 == 0), "submitted_at": when}
            db.add(Pilot(stamp=f"n{number}", vo="local", benchmark=value, **odd))
    sort = [{"parameter": column, "direction": direction}]
    whole = found(everywhere, sort=sort)
    seen, cursor = list[Any](), None
    for _ in range(len(numbers)):
        options = {"per_page": 3, **({"cursor": cursor} if cursor else {})}
        answer = everywhere.post(SEARCH, {"sort": sort}, by=DAVE, params=options)
        assert answer.status_code in (200, 206), answer.text
        seen += answer.json()
        cursor = answer.headers.get("Next-Cursor")
        if not cursor:
            break
    assert seen == whole and len(seen) == len(numbers)
    assert sorted(row["BenchMark"] for row in seen) == sorted(numbers)


def test_distinct_values_are_paged_by_cursor_as_well(everywhere: Api) -> None:
    put("local", "n1", "n2", "n3")
    everywhere.patch(PATCH, {"n2": {"AccountingSent": True}}, by=CAROL)
    body = {"parameters": ["AccountingSent"], "distinct": True}
    first = everywhere.post(SEARCH, body, by=DAVE, params={"per_page": 1})
    after = {"per_page": 1, "cursor": first.headers["Next-Cursor"]}
    second = everywhere.post(SEARCH, body, by=DAVE, params=after)
    assert first.json() + second.json() == [{"AccountingSent": False}, {"AccountingSent": True}]
    assert "Next-Cursor" not in second.headers and first.headers["Content-Range"] == "pilots 0-0/2"
