"""Pilots are registered once and corrected, by an administrator of their VO or by themselves."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.core.database import session
from diracx_tasks.pilots.tables import Pilot
from tests.api.caller import Api
from tests.api.pilots import (
    CAROL,
    DAVE,
    PATCH,
    REGISTER,
    SEARCH,
    enrol,
    everywhere,
    found,
    migrated,
    put,
    stamps,
)
from tests.builders import a_pilot, a_user

__all__ = ["everywhere", "migrated"]


def test_a_registered_pilot_has_what_was_stated_and_diracs_defaults(everywhere: Api) -> None:
    answer = enrol(everywhere, "s1")
    assert (answer.status_code, answer.json()) == (201, None)
    place = {"grid_site": "LCG.CERN.ch", "destination_site": "ce01", "grid_type": "HTCondor"}
    assert enrol(everywhere, "s2", **place, pilot_reference="ref", pilot_status="Waiting").status_code == 201
    first, second = found(everywhere)
    expected = {
        **{"PilotStamp": "s1", "PilotJobReference": "s1", "VO": "local", "GridType": "DIRAC"},
        **{"GridSite": "Unknown", "DestinationSite": "NotAssigned", "Status": "Submitted"},
        **{"InitialJobID": 0, "CurrentJobID": 0, "BenchMark": 0.0, "AccountingSent": False},
        **{"Queue": "Unknown", "StatusReason": "Unknown"},
    }
    times = ("SubmissionTime", "LastUpdateTime", "PilotID")
    assert {name: value for name, value in first.items() if name not in times} == expected
    assert first["SubmissionTime"].endswith("Z") and first["SubmissionTime"] == first["LastUpdateTime"]
    assert list(second)[:5] == ["PilotID", "InitialJobID", "CurrentJobID", "PilotJobReference", "PilotStamp"]
    seen = (second["GridSite"], second["DestinationSite"], second["GridType"], second["PilotJobReference"])
    assert seen == ("LCG.CERN.ch", "ce01", "HTCondor", "ref") and second["Status"] == "Waiting"


def test_the_address_without_a_slash_leads_to_the_one_with_it(api: Api) -> None:
    body = {"pilot_stamp": "s1", "vo": "local"}
    answer = api.post("/api/pilots", body, by=CAROL, follow_redirects=False)
    assert answer.status_code == 307 and answer.headers["Location"].endswith("/api/pilots/")
    assert api.post("/api/pilots", body, by=CAROL, follow_redirects=True).status_code == 201


def test_a_stamp_is_taken_once_whoever_has_it(everywhere: Api) -> None:
    put("belle", "taken")
    answer = enrol(everywhere, "taken")
    assert (answer.status_code, answer.json()["detail"]) == (409, "Pilot with stamp 'taken' already exists")
    assert enrol(everywhere, "new").status_code == 201
    assert enrol(everywhere, "new").status_code == 409


def test_of_many_who_register_one_stamp_at_once_one_succeeds(everywhere: Api) -> None:
    together = threading.Barrier(8)

    def try_it(number: int) -> int:
        together.wait()
        return int(enrol(everywhere, "same").status_code)

    with ThreadPoolExecutor(8) as threads:
        answers = sorted(threads.map(try_it, range(8)))
    assert answers == [201] + [409] * 7
    assert stamps(everywhere) == ["same"]


def test_many_register_at_once_and_all_are_there(everywhere: Api) -> None:
    names = [f"stamp-{number}" for number in range(60)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda name: enrol(everywhere, name).status_code, names))
    assert answers == [201] * 60
    assert sorted(stamps(everywhere)) == sorted(names)


@pytest.mark.parametrize(
    "who, vo, status",
    [
        (CAROL, "nope", 400),
        (DAVE, "local", 403),
        (a_user("eve", vo="belle", properties=(SERVICE,)), "local", 403),
        (a_pilot("s1", vo="local"), "local", 201),
        (a_pilot("s2", vo="local"), "local", 403),
        (a_pilot("s1", vo="belle"), "local", 403),
        (replace(a_pilot("s1", vo="local"), pilot_stamp=None), "local", 201),
    ],
)
def test_an_administrator_registers_for_his_vo_and_a_pilot_itself(
    api: Api, who: Any, vo: str, status: int
) -> None:
    answer = api.post(REGISTER, {"pilot_stamp": "s1", "vo": vo}, by=who)
    assert answer.status_code == status, answer.text
    if vo == "nope":
        assert answer.json()["detail"] == "VO 'nope' is not registered in this installation."


@pytest.mark.parametrize(
    "stated",
    [
        {"pilot_stamp": ""},
        {"pilot_stamp": "x" * 33},
        {"pilot_stamp": "with blank"},
        {"pilot_stamp": "ünicode"},
        {"vo": ""},
        {"vo": "x" * 129},
        {"grid_type": "x" * 33},
        {"grid_site": "x" * 129},
        {"destination_site": "x" * 129},
        {"pilot_reference": "x" * 256},
        {"pilot_status": "Sleeping"},
        {"unknown": 1},
        {"grid_site": "\ud800"},
    ],
    ids=str,
)
def test_a_malformed_registration_is_422(api: Api, stated: dict[str, Any]) -> None:
    assert api.post(REGISTER, {"pilot_stamp": "s", "vo": "local", **stated}, by=CAROL).status_code == 422


def test_an_administrator_corrects_many_at_once_each_in_its_own_way(everywhere: Api) -> None:
    for stamp in ("a", "b", "c"):
        enrol(everywhere, stamp)
    updates = {
        "a": {"Status": "Done", "StatusReason": "exit code 0", "BenchMark": 12.5, "AccountingSent": True},
        "b": {"Queue": "long", "CurrentJobID": 17, "GridSite": "S", "GridType": "T", "DestinationSite": "D"},
        "c": {},
    }
    answer = everywhere.patch(PATCH, updates, by=CAROL)
    assert (answer.status_code, answer.content) == (204, b"")
    a, b, c = found(everywhere)
    assert (a["Status"], a["StatusReason"], a["BenchMark"]) == ("Done", "exit code 0", 12.5)
    assert (a["AccountingSent"], b["AccountingSent"], a["Queue"]) == (True, False, "Unknown")
    assert (b["Queue"], b["CurrentJobID"], b["GridSite"], b["GridType"]) == ("long", 17, "S", "T")
    assert (b["DestinationSite"], b["Status"], c["Status"]) == ("D", "Submitted", "Submitted")


def test_a_thousand_pilots_are_corrected_in_one_call(everywhere: Api) -> None:
    names = [f"n{number:04}" for number in range(1100)]
    put("local", *names)
    updates = {name: {"CurrentJobID": number, "Status": "Running"} for number, name in enumerate(names)}
    assert everywhere.patch(PATCH, updates, by=CAROL).status_code == 204
    rows = found(everywhere, parameters=["PilotStamp", "CurrentJobID"], sort=[])
    page = everywhere.post(f"{SEARCH}?per_page=2000", {}, by=DAVE).json()
    assert len(rows) == 100
    assert {one["PilotStamp"]: one["CurrentJobID"] for one in page} == {
        name: number for number, name in enumerate(names)
    }


def test_all_are_corrected_or_none(everywhere: Api) -> None:
    put("local", "mine")
    put("belle", "theirs")
    missing = everywhere.patch(PATCH, {"mine": {"Status": "Done"}, "no": {"Status": "Done"}}, by=CAROL)
    assert (missing.status_code, missing.json()["detail"]) == (404, "At least one pilot does not exist.")
    other = everywhere.patch(PATCH, {"mine": {"Status": "Done"}, "theirs": {"Status": "Done"}}, by=CAROL)
    words = "Insufficient permissions to access all of the provided pilots."
    assert (other.status_code, other.json()["detail"]) == (403, words)
    with session() as db:
        assert set(db.scalars(select(Pilot.status))) == {"Unknown"}


def test_two_bulks_over_the_same_pilots_in_other_orders_both_succeed(everywhere: Api) -> None:
    names = [f"n{number}" for number in range(40)]
    put("local", *names)

    def correct(order: list[str]) -> int:
        return int(
            everywhere.patch(PATCH, {name: {"Queue": order[0]} for name in order}, by=CAROL).status_code
        )

    with ThreadPoolExecutor(4) as threads:
        answers = set(threads.map(correct, [names, names[::-1]] * 6))
    assert answers == {204}
    assert len({one["Queue"] for one in found(everywhere)}) == 1


def test_a_pilot_corrects_itself_and_nobody_else(api: Api) -> None:
    put("local", "s1", "s2")
    update = {"BenchMark": 11.0}
    assert api.patch(PATCH, {"s1": update}, by=a_pilot("s1", vo="local")).status_code == 204
    assert api.patch(PATCH, {"s2": update}, by=a_pilot("s1", vo="local")).status_code == 403
    assert api.patch(PATCH, {"s1": update}, by=a_pilot("s1", vo="belle")).status_code == 403
    both = api.patch(PATCH, {"s1": update, "s2": update}, by=a_pilot("s1", vo="local"))
    words = "Insufficient permissions to modify more than one pilot."
    assert (both.status_code, both.json()["detail"]) == (403, words)
    legacy = replace(a_pilot("s1", vo="local"), pilot_stamp=None)
    assert api.patch(PATCH, {"s2": update}, by=legacy).status_code == 204
    assert api.patch(PATCH, {"s1": update}, by=DAVE).status_code == 403


@pytest.mark.parametrize(
    "update",
    [
        {"Status": "Sleeping"},
        {"PilotStamp": "other"},
        {"AccountingSent": "perhaps"},
        {"BenchMark": float("nan")},
        {"BenchMark": float("inf")},
        {"CurrentJobID": -1},
        {"CurrentJobID": 2**31},
        {"StatusReason": "x" * 256},
        {"Queue": "x" * 129},
        None,
    ],
    ids=str,
)
def test_a_malformed_correction_is_422(api: Api, update: Any) -> None:
    put("local", "s1")
    assert api.patch(PATCH, {"s1": update}, by=CAROL).status_code == 422


@given(
    body=st.dictionaries(
        st.sampled_from(["Status", "Queue", "BenchMark", "CurrentJobID", "StatusReason", "AccountingSent"]),
        st.one_of(st.text(max_size=300), st.integers(), st.floats(), st.booleans(), st.none()),
    )
)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_corrected_is_done_or_refused(api: Api, body: dict[str, Any]) -> None:
    enrol(api, "s1")
    answer = api.patch(PATCH, {"s1": body}, by=CAROL)
    assert answer.status_code in (204, 422), answer.text
    assert api.post(SEARCH, by=DAVE).status_code == 200
