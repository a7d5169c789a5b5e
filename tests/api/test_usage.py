"""What jobs have used, over the API: on both databases, for whom it concerns, as rows and as pictures."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from sqlalchemy import update

from diracx_tasks.accounting import pictures, report, snapshots
from diracx_tasks.accounting.tables import UsageHour, UsageRecord
from diracx_tasks.core.database import changed, database_time, now, reading, session
from diracx_tasks.jobs.states import Status
from tests.api.caller import Api
from tests.api.stores import installation, migrated
from tests.builders import Installation, a_pilot, a_user, an_administrator
from tests.unit.accounting.attempts import gather, measured
from tests.unit.matching.ends import configured, held, waiting

__all__ = ["installation", "migrated"]
ADMIN = an_administrator()
SVG = "{http://www.w3.org/2000/svg}"
Row = dict[str, Any]
ONLY_OWN = "Operations: {lhcb: {Services: {JobMonitoring: {GlobalJobsInfo: false}}}}\n"


@pytest.fixture
def jobs(installation: Installation) -> Iterator[None]:
    """Attempts of three owners at two sites, counted."""
    measured(2, owner="alice")
    measured(1, Status.FAILED, "RAL/n1", owner="bob", use={"cpu_seconds": 10.0})
    measured(1, owner="carol", vo="belle")
    gather()
    yield


def rows(api: Api, **query: Any) -> list[Row]:
    answer = api.get("/api/usage", params=query, by=ADMIN)
    assert answer.status_code == 200, answer.text
    found: list[Row] = answer.json()
    return found


def test_use_is_told_by_any_dimension(api: Api, jobs: None) -> None:
    for by, wanted in (
        (["site"], [{"site": "CERN"}, {"site": "RAL"}]),
        (["owner", "status"], [{"owner": "alice", "status": "Done"}, {"owner": "bob", "status": "Failed"}]),
        (["group"], [{"group": "user"}]),
        (["job_type", "ce"], [{"job_type": "User", "ce": "ce1"}]),
        (["workflow_id"], [{"workflow_id": 0}]),
    ):
        found = rows(api, by=by)
        assert [row["of"] for row in found] == wanted
        assert sum(row["attempts"] for row in found) == 3
        assert sum(row["cpu_seconds"] for row in found) == 70.0
    (whole,) = rows(api)
    numbers = {"measured": 3, "wall_seconds": 120.0, "core_seconds": 120.0, "memory_mb": 512.0}
    assert whole == {"at": None, "of": {}, "attempts": 3, "cpu_seconds": 70.0, **numbers} | {
        "cpu_share": pytest.approx(70 / 120),
        "disk_mb": 20.5,
    }


def test_use_is_told_for_hours_and_days(api: Api, jobs: None) -> None:
    with session() as db:
        hour = now().replace(minute=0, second=0, microsecond=0)
        for place, site in enumerate(("CERN", "RAL")):
            then = hour - timedelta(days=2, hours=hour.hour - place)
            for table in (UsageHour, UsageRecord):
                changed(db, update(table).where(table.vo == "lhcb", table.site == site).values(hour=then))
    day = (hour - timedelta(days=2)).strftime("%Y-%m-%d")
    found = rows(api, bucket="hour", by=["site"])
    assert [(row["at"], row["of"]["site"]) for row in found] == [
        (f"{day}T00:00:00.000000Z", "CERN"),
        (f"{day}T01:00:00.000000Z", "RAL"),
    ]
    for by in ([], ["ce"]):
        (whole,) = rows(api, bucket="day", by=by)
        assert (whole["at"], whole["attempts"]) == (f"{day}T00:00:00.000000Z", 3)
    assert [row["attempts"] for row in rows(api, **{"from": f"{day}T01:00:00Z"})] == [1]
    assert [
        row["attempts"] for row in rows(api, **{"from": f"{day}T00:59:00", "to": f"{day}T01:00:00Z"})
    ] == [2]
    assert [row["attempts"] for row in rows(api, **{"to": f"{day}T03:30:00+02:00"})] == [3]


def test_use_of_one_site_owner_or_status_alone(api: Api, jobs: None) -> None:
    for only, attempts in (
        ({"site": "CERN"}, [2]),
        ({"owner": "bob"}, [1]),
        ({"status": "Failed", "site": "CERN"}, []),
        ({"job_type": "User", "group": "user"}, [3]),
        ({"workflow_id": 42}, []),
    ):
        assert [row["attempts"] for row in rows(api, **only)] == attempts


@pytest.mark.parametrize(
    "query, status, words",
    [
        ({"from": "2026-11-23", "to": "2026-11-22"}, 400, "nothing is in it"),
        ({"by": "ce", "from": "2026-01-01", "to": "2026-11-22"}, 400, "31 days can be asked for"),
        ({"from": "0001-01-01T00:00:00+23:00"}, 400, "the year 1 is not from 1970 to 2999"),
        ({"by": "colour"}, 422, "Input should be"),
        ({"bucket": "week"}, 422, "Input should be"),
    ],
)
def test_what_cannot_be_told_is_refused_in_words(api: Api, query: Row, status: int, words: str) -> None:
    answer = api.get("/api/usage", params=query, by=ADMIN)
    assert answer.status_code == status and words in answer.text


def test_too_many_rows_are_refused(api: Api, jobs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_ROWS", 1)
    assert len(rows(api)) == 1
    answer = api.get("/api/usage", params={"by": "site"}, by=ADMIN)
    assert answer.status_code == 400 and "more than 1 rows" in answer.text
    # A plot adds up what would be too much to send.
    assert len(list(picture(api, "/api/usage/plot", by=["site"]).iter(f"{SVG}g"))) == 2
    monkeypatch.setattr(pictures, "MOST_ROWS", 1)
    answer = api.get("/api/usage/plot", params={"by": "site"}, by=ADMIN)
    assert answer.status_code == 400 and "more than 1 rows" in answer.text


def test_use_is_a_vos_and_where_the_configuration_says_so_its_owners(
    api: Api, jobs: None, installation: Installation
) -> None:
    (other,) = api.get("/api/usage", params={"by": "owner"}, by=a_user("dora", vo="belle")).json()
    assert other["of"] == {"owner": "carol"}
    with configured(installation, ONLY_OWN):
        (mine,) = api.get("/api/usage", by=a_user("bob")).json()
        assert mine["attempts"] == 1
        assert api.get("/api/usage", by=a_user("eve")).json() == []
        assert [row["attempts"] for row in rows(api)] == [3]
    assert api.get("/api/usage", by=a_pilot()).status_code == 403


def picture(api: Api, path: str, **query: Any) -> ElementTree.Element:
    answer = api.get(path, params=query, by=ADMIN)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "sandbox" in answer.headers["content-security-policy"]
    return ElementTree.fromstring(answer.text)


@pytest.mark.parametrize("measure", list(pictures.MEASURES))
def test_a_plot_shows_the_same_numbers(api: Api, jobs: None, measure: str) -> None:
    found = picture(api, "/api/usage/plot", by=["site"], measure=measure)
    wanted = {"core_seconds": 1.333, "cpu_seconds": 1.0, "wall_seconds": 1.333, "attempts": 2}[measure]
    unit = "attempts" if measure == "attempts" else "minutes"
    words = str(found.findtext(f"{SVG}desc"))
    assert f"CERN: {wanted:.3g} {unit}" in words
    assert f"lhcb: {pictures.MEASURES[measure]} by site, each hour" == found.findtext(f"{SVG}title")
    assert len([one for group in found.iter(f"{SVG}g") for one in group]) == 2


def test_a_long_time_is_plotted_by_days_and_not_without_end(api: Api, jobs: None) -> None:
    since = (now() - timedelta(days=60)).strftime("%Y-%m-%d")
    found = picture(api, "/api/usage/plot", **{"from": since, "by": "status"})
    assert str(found.findtext(f"{SVG}title")).endswith("by status, each day")
    answer = api.get("/api/usage/plot", params={"from": "1980-01-01"}, by=ADMIN)
    assert answer.status_code == 400 and "steps at most" in answer.text


def test_states_over_time_are_rows_and_a_plot(api: Api, installation: Installation) -> None:
    waiting(3)
    held(2)
    for number in (0, 1):
        with reading() as db:
            moment = database_time(db) - timedelta(seconds=snapshots.SECONDS * (1 - number))
            found = snapshots.look(db, moment)
        assert found
        with session() as db:
            assert snapshots.store(db, found)
        waiting(1)
    told = api.get("/api/usage/states", by=ADMIN).json()
    assert [(row["of"]["status"], row["jobs"]) for row in told] == [
        ("Waiting", 3),
        ("Running", 2),
        ("Waiting", 4),
        ("Running", 2),
    ]
    sites = api.get("/api/usage/states", params={"by": "site", "status": "Running"}, by=ADMIN).json()
    assert [(row["of"], row["jobs"]) for row in sites] == [({"site": "CERN"}, 2)] * 2
    day = picture(api, "/api/usage/states/plot")
    assert "Waiting: 4 jobs; Running: 2 jobs" in str(day.findtext(f"{SVG}desc"))
    month = (now() - timedelta(days=29)).strftime("%Y-%m-%d")
    assert "Running: 2 jobs" in str(
        picture(api, "/api/usage/states/plot", **{"from": month}).findtext(f"{SVG}desc")
    )
    assert api.get("/api/usage/states", by=a_user(vo="belle")).json() == []
