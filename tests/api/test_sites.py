"""Sites: how their queues stand, and what a ban and its end do."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.core.database import reading, session
from diracx_tasks.pilots import breaker
from diracx_tasks.resources.tables import SiteLog
from tests.api.caller import Api
from tests.api.pilots import put
from tests.api.stores import ON_SQLITE, installation, migrated
from tests.builders import VO, a_user
from tests.unit.matching.ends import waiting
from tests.unit.pilots.spool import Grid, grid, new, planned, submitted, synced

__all__ = ["grid", "installation", "migrated"]
CAROL = a_user("carol", properties=(SERVICE,))
CERN = {"site": "LCG.CERN.ch", "reason": "power cut"}


@pytest.fixture(autouse=True)
def sites(grid: Grid) -> Iterator[Grid]:
    yield grid


def queues(api: Api, by: Any = CAROL) -> dict[str, dict[str, Any]]:
    answer = api.get("/api/sites/", by=by)
    assert answer.status_code == 200, answer.text
    return {row["queue"]: row for row in answer.json()}


def said(api: Api, verb: str, by: Any = CAROL, **body: str) -> Any:
    answer = api.post(f"/api/sites/{verb}", body, by=by)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_list_says_how_each_queue_stands(api: Api, grid: Grid) -> None:
    waiting(3)
    planned()
    submitted("ce1")
    grid.tell("ce1", "Running")
    synced("ce1")
    assert queues(api, a_user())["short"] == {
        "site": "LCG.CERN.ch",
        "ce": "ce1",
        "queue": "short",
        "kind": "spool",
        "is_allowed": True,
        "barred": "",
        "breaker": "closed",
        "breaker_reason": "",
        "breaker_until": None,
        "waiting": 0,
        "running": 3,
        "test": "",
        "test_reason": "",
        "test_ended_at": None,
    }
    assert list(queues(api)) == ["big", "short", "long"]


def test_a_banned_site_gets_no_pilots_until_it_is_allowed(api: Api) -> None:
    waiting(1)
    assert said(api, "ban", **CERN) == {
        "name": "LCG.CERN.ch",
        "kind": "Site",
        "status": "Banned",
        "reason": "power cut",
        "closed": 0,
    }
    row = queues(api)["short"]
    assert not row["is_allowed"]
    assert row["barred"] == "LCG.CERN.ch is not to be used: power cut"
    assert new() == {"long": 1}
    said(api, "allow", **{**CERN, "reason": "power is back"})
    assert queues(api)["short"]["is_allowed"]
    with reading() as db:
        log = db.execute(select(SiteLog.status, SiteLog.reason, SiteLog.by, SiteLog.vo)).all()
    assert [tuple(row) for row in log][-2:] == [
        ("Banned", "power cut", "carol", VO),
        ("Active", "power is back", "carol", VO),
    ]


def test_one_computing_element_is_banned_and_the_others_are_not(api: Api) -> None:
    said(api, "ban", ce="ce2", reason="disk full")
    found = queues(api)
    assert {name: row["is_allowed"] for name, row in found.items()} == {
        "big": True,
        "short": True,
        "long": False,
    }
    said(api, "allow", ce="ce2", site="LCG.RAL.uk", reason="emptied")
    assert queues(api)["long"]["is_allowed"]


def test_allowing_closes_the_breakers_of_the_sites_queues(api: Api) -> None:
    with session() as db:
        for key in (("ce1", "short"), ("ce2", "long")):
            for _ in range(3):
                breaker.note_failure(db, VO, key, "no route to host")
    row = queues(api)["short"]
    assert row["breaker"] == "open"
    assert row["breaker_reason"] == "3 submissions in a row failed: no route to host"
    assert said(api, "allow", **CERN)["closed"] == 1
    assert {name: row["breaker"] for name, row in queues(api).items()} == {
        "big": "closed",
        "short": "closed",
        "long": "open",
    }


def test_a_vo_bans_for_itself_only(api: Api) -> None:
    said(api, "ban", by=a_user(vo="belle", properties=(SERVICE,)), **CERN)
    assert queues(api)["short"]["is_allowed"]
    assert api.post("/api/sites/ban", CERN).status_code == 403
    assert api.post("/api/sites/allow", CERN).status_code == 403


@ON_SQLITE
@pytest.mark.parametrize(
    "body, words",
    [
        ({"site": "LCG.CERN.cj"}, "there is no site LCG.CERN.cj in the configuration; is LCG.CERN.ch meant?"),
        ({"ce": "ce9"}, "there is no computing element ce9 in the configuration; is ce2 meant?"),
        (
            {"site": "LCG.CERN.ch", "ce": "ce2"},
            "there is no computing element ce2 at LCG.CERN.ch; is ce1 meant?",
        ),
    ],
)
def test_what_is_not_there_is_not_banned(api: Api, body: dict[str, str], words: str) -> None:
    answer = api.post("/api/sites/ban", {**body, "reason": "x"}, by=CAROL)
    assert (answer.status_code, answer.json()["detail"]) == (404, words)


def test_a_site_that_others_pilots_have_named_is_banned_as_well(api: Api) -> None:
    put(VO, "theirs")
    assert said(api, "ban", site="Unknown", reason="who is that")["status"] == "Banned"
    assert api.post("/api/sites/ban", {"reason": "x"}, by=CAROL).status_code == 400
