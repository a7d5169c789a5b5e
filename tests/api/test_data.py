"""Files with LFNs: stored once, registered as a whole, seen by their VO only."""

from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import commit, session, utc_now
from diracx_tasks.core.errors import BadRequest, Forbidden
from diracx_tasks.resources.status import Element, state
from diracx_tasks.storage import elements, read, write
from diracx_tasks.storage.entries import Replica
from diracx_tasks.storage.tables import Unclaimed
from tests.api.caller import Api
from tests.api.files import HOME, a_manager, fetch, installation, migrated, put, send, sha256
from tests.builders import VO, a_user, an_administrator

__all__ = ["installation", "migrated"]
LFN = f"{HOME}/data/x.root"


def known(api: Api, lfn: str, **options: Any) -> Any:
    answer = api.get("/api/data/files", params={"lfn": lfn}, **options)
    return answer.json() if answer.status_code == 200 else answer.status_code


def announce(api: Api, lfn: str, content: bytes = b"x", *ses: str, **options: Any) -> Any:
    file = {"lfn": lfn, "checksum": sha256(content), "size": len(content), "se": list(ses)}
    return api.post("/api/data/uploads", {"files": [file]}, **options)


def test_a_file_goes_in_is_found_comes_out_and_is_gone(api: Api) -> None:
    grant = put(api, LFN, b"content")
    found = known(api, LFN)
    assert (found["size"], found["sha256"], found["owner"]) == (7, sha256(b"content"), "alice")
    assert found["replicas"] == [{"se": grant["se"], "pfn": grant["pfn"]}]
    assert fetch(api, LFN) == {LFN: b"content"}
    for lfn, gone in ((LFN, [LFN]), (LFN, []), (f"{HOME}/data", [])):
        assert api.ask("DELETE", "/api/data/files", params={"lfn": lfn}).json() == {"lfns": gone}
    assert known(api, LFN) == 404
    assert api.post("/api/data/downloads", {"lfns": [LFN]}).status_code == 400


def test_a_content_is_sent_once_in_a_vo(api: Api) -> None:
    assert put(api, LFN, b"same")["url"]
    assert put(api, LFN, b"same")["url"] is None
    assert put(api, "/lhcb/user/b/bob/x", b"same", by=a_user("bob"))["url"] is None
    assert known(api, LFN)["guid"] != known(api, "/lhcb/user/b/bob/x")["guid"]


def test_an_lfn_keeps_its_content(api: Api) -> None:
    put(api, LFN, b"first")
    answer = announce(api, LFN, b"other")
    assert answer.status_code == 409 and f"{LFN} is there with another content (5 bytes" in answer.text
    there = announce(api, f"{HOME}/y", b"other").json()[0]
    assert send(api, there, b"other") == 204
    file = {"lfn": LFN, "se": there["se"], "checksum": sha256(b"other"), "size": 5}
    assert api.post("/api/data/files", {"files": [file]}).status_code == 409
    assert fetch(api, LFN) == {LFN: b"first"}


def test_what_is_not_at_its_element_is_not_registered_nor_what_came_with_it(api: Api) -> None:
    grant = announce(api, LFN).json()[0]
    assert send(api, grant, b"x") == 204
    here = {"lfn": LFN, "se": grant["se"], "checksum": sha256(b"x"), "size": 1}
    for wrong in ({"checksum": "0" * 64}, {"size": 2}, {"se": "RAL-TAPE"}, {"se": "BELLE-DISK"}):
        body = {"files": [here, {**here, "lfn": f"{HOME}/y", **wrong}]}
        answer = api.post("/api/data/files", body)
        assert answer.status_code in (400, 409), answer.text
        assert known(api, LFN) == 404
    two = {"files": [here, {**here, "checksum": sha256(b""), "size": 0}]}
    assert send(api, announce(api, f"{HOME}/empty", b"").json()[0], b"") == 204
    assert "is wanted for two contents" in api.post("/api/data/files", two).text
    assert known(api, LFN) == 404


def test_everybody_writes_at_home_and_managers_everywhere(api: Api) -> None:
    bob = a_user("bob")
    for lfn in (LFN, "/lhcb/data/x", "/lhcb/user/b/bobby/x", "/lhcb/user/b/bob", "/lhcb/x"):
        answer = announce(api, lfn, by=bob)
        assert answer.status_code == 403 and "/lhcb/user/b/bob/" in answer.text, lfn
    put(api, "/lhcb/data/x", b"raw", by=a_manager())
    put(api, LFN, b"mine")
    assert fetch(api, LFN, by=bob) == {LFN: b"mine"}
    assert api.ask("DELETE", "/api/data/files", params={"lfn": LFN}, by=bob).status_code == 403
    assert api.ask("DELETE", "/api/data/files", params={"lfn": LFN}, by=a_manager()).json() == {"lfns": [LFN]}


def test_no_vo_sees_another_ones(api: Api) -> None:
    put(api, LFN, b"secret")
    for who in (a_user(vo="belle"), an_administrator(vo="belle")):
        assert known(api, LFN, by=who) == 403
        assert api.post("/api/data/downloads", {"lfns": [LFN]}, by=who).status_code == 403
        assert api.get("/api/data/folder", params={"lfn": HOME}, by=who).status_code == 403
    assert announce(api, "/belle/user/a/alice/x", b"secret", by=a_user(vo="belle")).json()[0]["url"]
    assert [one["name"] for one in api.get("/api/data/elements", by=a_user(vo="belle")).json()][
        -1
    ] == "BELLE-DISK"


def test_a_folder_shows_what_is_right_below_it_page_by_page(api: Api) -> None:
    names = ["a/1", "a/2", "a/deep/3", "a-b", "b", "b+", "c/4", "d"]
    for name in names:
        put(api, f"{HOME}/{name}", b"")
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = api.get("/api/data/folder", params={"lfn": HOME, "after": after, "limit": 2}).json()
        assert len(page["folders"]) + len(page["files"]) <= 2
        found += [*page["folders"], *(one["lfn"].removeprefix(f"{HOME}/") for one in page["files"])]
        after = page["after"]
    assert sorted(found) == ["a", "a-b", "b", "b+", "c", "d"]
    assert api.get("/api/data/folder", params={"lfn": f"{HOME}/none"}).status_code == 404
    assert list(fetch(api, f"{HOME}/a/")) == [f"{HOME}/a/{name}" for name in ("1", "2", "deep/3")]


def test_a_file_is_no_folder_and_a_folder_no_file(api: Api) -> None:
    put(api, f"{HOME}/a/b", b"x")
    for lfn, why in ((f"{HOME}/a", "it is a folder"), (f"{HOME}/a/b/c", f"{HOME}/a/b is a file")):
        grant = announce(api, lfn).json()[0]
        file = {"lfn": lfn, "se": grant["se"], "checksum": sha256(b"x"), "size": 1}
        answer = api.post("/api/data/files", {"files": [file]})
        assert answer.status_code == 409 and why in answer.text


def test_many_names_are_looked_up_at_once(api: Api) -> None:
    put(api, LFN, b"x")
    names = [LFN, f"lfn:{LFN}", f"{HOME}/none"]
    found = api.post("/api/data/files/look-up", {"lfns": names}).json()
    assert list(found["files"]) == names[:2] and found["missing"] == names[2:]
    assert api.post("/api/data/files/look-up", {"lfns": ["x"]}).status_code == 400


def test_a_site_reads_what_is_near_and_nobody_what_is_banned(api: Api, db: Session) -> None:
    put(api, LFN, b"x", "CERN-DISK")
    put(api, LFN, b"x", "RAL-DISK")

    near = elements.nearest_first(["SE-USER", "RAL-DISK", "CERN-DISK"], "LCG.CERN.ch")
    assert near == ["CERN-DISK", "SE-USER", "RAL-DISK"]
    assert elements.nearest_first(near, "LCG.RAL.uk") == ["RAL-DISK", "CERN-DISK", "SE-USER"]
    assert len(read.addresses(db, VO, [LFN])[0].urls) == 2
    for access in ("ReadAccess", "WriteAccess", "CheckAccess", "RemoveAccess"):
        for se in ("CERN-DISK", "RAL-DISK"):
            state(db, Element(se, "StorageElement", access), "Banned", "maintenance")
    commit(db)
    with pytest.raises(BadRequest, match="cannot be read now: it is only at CERN-DISK, RAL-DISK"):
        read.addresses(db, VO, [LFN])
    db.rollback()
    assert announce(api, f"{HOME}/y", b"y", "CERN-DISK").status_code == 400
    assert announce(api, f"{HOME}/y", b"y", "CERN-DISK", "SE-USER").json()[0]["se"] == "SE-USER"


def test_a_value_gets_sizes_and_checksums_from_the_catalogue(api: Api, db: Session) -> None:
    put(api, LFN, b"text")
    file, folder = (
        {"class": "File", "location": f"LFN:{LFN}"},
        {"class": "Directory", "location": f"lfn:{HOME}/"},
    )
    lost = {"class": "File", "location": f"lfn:{HOME}/lost"}
    value = {
        "a": [file, {"b": {**file, "secondaryFiles": [lost]}}],
        "c": folder,
        "d": f"lfn:{HOME}/lost2",
        "n": 1,
    }
    found, missing = read.complete(db, VO, value)
    assert found["a"][0] == {"class": "File", "location": f"lfn:{LFN}", "size": 4}
    assert found["a"][1]["b"]["secondaryFiles"] == [lost]
    assert (found["c"]["location"], found["d"], found["n"]) == (f"lfn:{HOME}", f"lfn:{HOME}/lost2", 1)
    assert missing == [f"{HOME}/lost"]
    assert read.existing(db, VO, [f"lfn:{LFN}", f"{HOME}/data", f"{HOME}/dat"]) == {
        f"lfn:{LFN}",
        f"{HOME}/data",
    }
    db.rollback()
    assert read.contents(f"lfn:{LFN}", VO) == "text"
    put(api, f"{HOME}/long", b"x" * 65537)
    for location, error in ((f"lfn:{HOME}/long", BadRequest), ("lfn:/belle/x", Forbidden)):
        with pytest.raises(error):
            read.contents(location, VO)


def test_what_no_file_needs_is_removed_a_while_later(api: Api, db: Session) -> None:
    shared, never = put(api, LFN, b"shared"), announce(api, f"{HOME}/never", b"never").json()[0]
    assert send(api, never, b"never") == 204
    put(api, f"{HOME}/other", b"shared")
    places = [Replica(one["se"], one["pfn"]) for one in (shared, never)]

    def cleaned() -> list[bool]:
        with session() as other:
            write.clean(other, 3600)
        return [elements.element(one.se).size(one.pfn) is not None for one in places]

    assert cleaned() == [True, True]
    _make_old(db)
    assert cleaned() == [True, False]
    for lfn in (LFN, f"{HOME}/other"):
        assert api.ask("DELETE", "/api/data/files", params={"lfn": lfn}).status_code == 200
        assert cleaned() == [True, False]
    _make_old(db)
    assert cleaned() == [False, False]


def test_an_announced_file_is_young_again(api: Api, db: Session) -> None:
    grant = put(api, LFN, b"x")
    api.ask("DELETE", "/api/data/files", params={"lfn": LFN})
    _make_old(db)
    assert announce(api, LFN).json()[0]["url"] is None
    with session() as other:
        assert write.clean(other, 3600) == 0
    assert elements.element(grant["se"]).size(grant["pfn"]) == 1


def test_an_element_that_is_away_keeps_no_other_from_being_cleaned(api: Api, db: Session) -> None:
    grant = announce(api, LFN).json()[0]
    assert send(api, grant, b"x") == 204
    db.add(Unclaimed(se="SE-GONE", pfn="x", vo=VO, since=utc_now()))
    _make_old(db)
    with session() as other:
        assert write.clean(other, 3600) == 2
    assert elements.element(grant["se"]).size(grant["pfn"]) is None
    with session() as other:
        assert write.clean(other, 3600) == 0


def test_an_upload_goes_to_the_first_element_that_answers(api: Api) -> None:
    assert announce(api, LFN, b"x", "SE-AWAY", "RAL-DISK").json()[0]["se"] == "RAL-DISK"
    assert announce(api, LFN, b"x", "SE-AWAY").status_code == 503
    known_ones = {"lfn": LFN, "checksum": sha256(b"x"), "size": 1, "se": ["CERN-DISK", "RAL-DISK"]}
    body = {"files": [{**known_ones, "failed": ["CERN-DISK"]}]}
    assert api.post("/api/data/uploads", body).json()[0]["se"] == "RAL-DISK"
    answer = announce(api, LFN, b"x", "RAL-TAPE")
    assert (
        answer.status_code == 400
        and "none of RAL-TAPE can be written to now; SE-USER, RAL-DISK, CERN-DISK" in answer.text
    )


@pytest.mark.parametrize("installation", ["folder"], indirect=True)
def test_an_address_of_one_element_opens_no_other(api: Api) -> None:
    grant = announce(api, LFN, b"x", "CERN-DISK").json()[0]
    assert send(api, {**grant, "url": grant["url"].replace("CERN-DISK", "RAL-DISK")}, b"x") == 403
    assert send(api, {**grant, "url": "http://testserver/api/sandboxes/files"}, b"x") == 403
    assert send(api, {**grant, "url": grant["url"].replace("CERN-DISK", "NO-SUCH")}, b"x") == 404
    assert send(api, grant, b"y") == 400 and send(api, grant, b"x") == 204


def _make_old(db: Session) -> None:
    db.execute(update(Unclaimed).values(since=utc_now(-7200)))
    commit(db)
