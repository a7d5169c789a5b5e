"""Which sites and resources may be used: for everybody, over it for one's VO, and never stale."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import commit, now, session
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.resources import view
from diracx_tasks.resources.status import Element, state
from diracx_tasks.resources.tables import (
    ResourceHistory,
    ResourceLog,
    ResourceStatus,
    SiteHistory,
    SiteLog,
    SiteStatus,
)
from tests.api.caller import Api
from tests.builders import a_pilot, a_user
from tests.integration.upstream import either, migrated

__all__ = ["migrated"]
TABLES = (ResourceHistory, ResourceLog, ResourceStatus, SiteHistory, SiteLog, SiteStatus)
FRIDAY = datetime(2026, 11, 20, 10)
BELLE = a_user(vo="belle")
ACTIVE = {"allowed": True, "warnings": None}
ACCESS = ("ReadAccess", "WriteAccess", "CheckAccess", "RemoveAccess")


@pytest.fixture(params=["sqlite", "mariadb"])
def everywhere(request: pytest.FixtureRequest) -> Iterator[Api]:
    """The API on either database, without a resource."""
    with either(request, *TABLES) as found:
        yield found


@pytest.fixture(autouse=True)
def looking_anew() -> None:
    """What an earlier test has read is not remembered."""
    view._READ.clear()


def put(table: Any, name: str, status: str, reason: str = "because", **stated: Any) -> None:
    """A row as DIRAC writes it, past our verbs; it is looked for anew."""
    with session() as db:
        row = {"name": name, "status": status, "reason": reason, "effective_at": FRIDAY, **stated}
        db.execute(insert(table).values(row))
    view.forget()


def put_compute(name: str, status: str, reason: str = "because", **stated: Any) -> None:
    put(ResourceStatus, name, status, reason, **{"kind": "ComputeElement", **stated})


def put_storage(name: str, *access: str, status: str = "Active", **stated: Any) -> None:
    for one in access:
        put(ResourceStatus, name, status, kind="StorageElement", status_type=one, **stated)


def get(api: Api, what: str, **options: Any) -> httpx2.Response:
    return api.get(f"/api/rss/{what}", **options)


@pytest.mark.parametrize(
    "status, told",
    [
        ("Active", ACTIVE),
        ("Degraded", {"allowed": True, "warnings": "because"}),
        ("Banned", {"allowed": False, "reason": "because"}),
        ("Probing", {"allowed": False, "reason": "because"}),
        ("Error", {"allowed": False, "reason": "because"}),
        ("Unknown", {"allowed": False, "reason": "because"}),
        ("Odd", {"allowed": False, "reason": "Unknown status: Odd"}),
        ("", {"allowed": False, "reason": "Unknown status: "}),
    ],
)
def test_diracs_statuses_become_a_yes_or_a_no(everywhere: Api, status: str, told: dict[str, Any]) -> None:
    put_compute("ce01.cern.ch", status)
    put(ResourceStatus, "fts3.cern.ch", status, kind="FTS")
    put(SiteStatus, "LCG.CERN.ch", status, kind="Site")
    put_storage("CERN-DST", *ACCESS, status=status)
    assert get(everywhere, "compute").json() == {"ce01.cern.ch": {"all": told}}
    assert get(everywhere, "fts").json() == {"fts3.cern.ch": {"all": told}}
    assert get(everywhere, "site").json() == {"LCG.CERN.ch": {"all": told}}
    kinds = ("read", "write", "check", "remove")
    assert get(everywhere, "storage").json() == {"CERN-DST": dict.fromkeys(kinds, told)}


def test_a_storage_element_of_which_a_kind_of_access_is_unknown_is_left_out(everywhere: Api) -> None:
    put_storage("whole", *ACCESS)
    put_storage("half", *ACCESS[:3])
    assert list(get(everywhere, "storage").json()) == ["whole"]


def test_what_is_said_for_a_vo_goes_over_what_is_said_for_all(everywhere: Api) -> None:
    put_compute("ce", "Active", vo="all")
    put_compute("ce", "Banned", "not for lhcb", vo="lhcb")
    put_compute("own", "Active", vo="lhcb")
    put_compute("old", "Active", vo="")
    put_storage("SE", *ACCESS)
    put_storage("SE", "WriteAccess", status="Banned", vo="lhcb")
    lhcb = get(everywhere, "compute").json()
    assert lhcb["ce"] == {"all": {"allowed": False, "reason": "not for lhcb"}}
    assert list(lhcb) == ["ce", "old", "own"]
    assert get(everywhere, "compute", by=BELLE).json() == {"ce": {"all": ACTIVE}, "old": {"all": ACTIVE}}
    shown = get(everywhere, "storage").json()["SE"]
    assert (shown["read"], shown["write"]) == (ACTIVE, {"allowed": False, "reason": "because"})
    assert get(everywhere, "storage", by=BELLE).json()["SE"]["write"] == ACTIVE


def test_vos_that_differ_in_capitals_only_are_two(everywhere: Api) -> None:
    put_compute("ce", "Banned", vo="LHCB")
    assert get(everywhere, "compute").json() == {}
    assert list(get(everywhere, "compute", by=a_user(vo="LHCB")).json()) == ["ce"]


def test_whoever_has_a_token_may_ask_and_nobody_else(api: Api) -> None:
    for what in ("storage", "compute", "site", "fts"):
        assert get(api, what, by=None).status_code == 401
        for who in (a_user(properties=()), a_pilot()):
            assert (get(api, what, by=who).status_code, get(api, what, by=who).json()) == (200, {})


def test_the_answer_says_what_it_depends_on_and_how_old_it_is(everywhere: Api) -> None:
    empty = get(everywhere, "compute")
    assert empty.headers["ETag"] == "empty-0-lhcb" and "Last-Modified" not in empty.headers
    put_compute("a", "Active")
    put_compute("b", "Active", effective_at=FRIDAY - timedelta(days=1))
    answer = get(everywhere, "compute")
    assert answer.headers["ETag"].startswith("2026-11-20T10:00:00-2-lhcb")
    assert answer.headers["Last-Modified"] == "Fri, 20 Nov 2026 10:00:00 GMT"
    assert "Authorization" in answer.headers["Vary"].split(", ")
    assert answer.headers["Content-Type"] == "application/json"


def test_who_has_it_already_is_told_so(everywhere: Api) -> None:
    put_compute("ce", "Active")
    first = get(everywhere, "compute")
    tag = first.headers["ETag"]
    for given in (tag, f'"{tag}"', f'W/"{tag}"', f'"other", "{tag}"', "*"):
        again = get(everywhere, "compute", headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag), given
        assert again.headers["Last-Modified"] == first.headers["Last-Modified"]
        assert "Authorization" in again.headers["Vary"]
    later = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert get(everywhere, "compute", headers={"If-None-Match": "other"}).status_code == 200
    assert get(everywhere, "compute", headers={**later, "If-None-Match": "other"}).status_code == 200
    assert get(everywhere, "compute", headers=later).status_code == 304
    for given in (
        "Thu, 19 Nov 2026 10:00:00 GMT",
        "Fri, 20 Nov 2026 10:00:00 GMT",
        "yesterday",
        "",
        "9" * 40,
    ):
        assert get(everywhere, "compute", headers={"If-Modified-Since": given}).status_code == 200, given


def test_vos_have_tags_of_their_own(everywhere: Api) -> None:
    put_compute("ce", "Active")
    tag = get(everywhere, "compute").headers["ETag"]
    other = get(everywhere, "compute", by=BELLE, headers={"If-None-Match": tag})
    assert other.status_code == 200 and other.headers["ETag"] != tag


@pytest.mark.parametrize(
    "change",
    [
        update(ResourceStatus).values(reason="another"),
        update(ResourceStatus).values(status="Error"),
        update(ResourceStatus).where(ResourceStatus.name == "b").values(name="c"),
        delete(ResourceStatus).where(ResourceStatus.name == "b"),
    ],
    ids=("reason", "status", "name", "deleted"),
)
def test_a_change_is_seen_also_when_date_effective_stays(everywhere: Api, change: Any) -> None:
    put_compute("a", "Degraded", effective_at=FRIDAY)
    put_compute("b", "Degraded", effective_at=FRIDAY)
    first = get(everywhere, "compute")
    with session() as db:
        db.execute(change)
    asked = now()
    time.sleep(view.KEPT)
    for headers in (
        {"If-None-Match": first.headers["ETag"]},
        {"If-Modified-Since": asked.strftime("%a, %d %b %Y %H:%M:%S GMT")},
    ):
        second = get(everywhere, "compute", headers=headers)
        assert second.status_code == 200 and second.json() != first.json()
        assert second.headers["ETag"] != first.headers["ETag"]


def test_within_a_second_the_database_is_asked_once(everywhere: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "KEPT", 60.0)
    looked: list[str] = []
    look = view._look

    def counted(db: Session, name: str, vo: str) -> view.View:
        looked.append(f"{name} {vo}")
        return look(db, name, vo)

    monkeypatch.setattr(view, "_look", counted)
    for _ in range(5):
        assert get(everywhere, "compute").status_code == 200
    get(everywhere, "compute", by=BELLE)
    get(everywhere, "site")
    assert looked == ["compute lhcb", "compute belle", "site lhcb"]


def test_a_status_that_is_set_is_in_force_at_once_and_kept_as_history(everywhere: Api) -> None:
    element = Element("CERN-DST", "StorageElement", "ReadAccess", "lhcb")
    assert get(everywhere, "storage").json() == {}
    with session() as db:
        for access in ACCESS:
            assert state(db, Element("CERN-DST", "StorageElement", access), "Active", "ok")
        assert state(db, element, "Banned", "disks", by="alice")
    assert get(everywhere, "storage").json()["CERN-DST"]["read"] == {"allowed": False, "reason": "disks"}
    with session() as db:
        assert not state(db, element, "Banned", "disks")
        assert state(db, element, "Banned", "disks and tapes")
        assert state(db, element, "Active", "x" * 600)
    shown = get(everywhere, "storage").json()["CERN-DST"]
    assert shown["read"] == ACTIVE
    with session() as db:
        mine = ResourceLog.vo == "lhcb"
        log = db.execute(select(ResourceLog.status, ResourceLog.by).where(mine).order_by(ResourceLog.row_id))
        assert [tuple(row) for row in log] == [
            ("Banned", "alice"),
            ("Banned", "rs_svc"),
            ("Active", "rs_svc"),
        ]
        kept = select(ResourceHistory.status, ResourceHistory.name, ResourceHistory.status_type)
        history = db.execute(kept.where(ResourceHistory.vo == "lhcb").order_by(ResourceHistory.row_id))
        assert [tuple(row) for row in history] == [
            ("Banned", "CERN-DST", "ReadAccess"),
            ("Active", "CERN-DST", "ReadAccess"),
        ]
        assert db.scalars(select(SiteLog.row_id)).all() == []


def test_a_sites_status_goes_to_the_sites_tables(everywhere: Api) -> None:
    with session() as db:
        state(db, Element("LCG.CERN.ch", "Site"), "Degraded", "slow")
    assert get(everywhere, "site").json() == {"LCG.CERN.ch": {"all": {"allowed": True, "warnings": "slow"}}}
    with session() as db:
        assert db.scalars(select(SiteLog.status)).all() == ["Degraded"]
        assert db.scalars(select(SiteHistory.status)).all() == ["Degraded"]
        assert db.scalars(select(ResourceLog.status)).all() == []


@pytest.mark.parametrize(
    "element, status",
    [
        (Element("ce", "ComputeElement"), "Sleeping"),
        (Element("", "ComputeElement"), "Active"),
        (Element("x" * 65, "ComputeElement"), "Active"),
        (Element("ce", "x" * 33), "Active"),
        (Element("ce", "ComputeElement", vo="x" * 65), "Active"),
    ],
)
def test_what_the_tables_cannot_hold_is_refused(api: Api, element: Element, status: str) -> None:
    with session() as db:
        with pytest.raises(BadRequest):
            state(db, element, status, "because")
        commit(db)
        assert db.scalars(select(ResourceStatus.name)).all() == []
