"""Files: grants, the folder store behind signed addresses, and other people's files."""

import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import Status
from diracx_tasks.sandboxes.store import FolderStore
from tests.api.caller import Api
from tests.builders import HEX, Installation, a_job, a_pilot, a_user

CONTENT = b"hey"
FILES = "/api/sandboxes/files"
FOREIGN = f"/S3/local/lhcb/user/bob/sha256:{HEX}.file"


def grant(api: Api, content: bytes = CONTENT, **more: Any) -> dict[str, Any]:
    body = {"checksum": hashlib.sha256(content).hexdigest(), "size": len(content), "format": "file", **more}
    found: dict[str, Any] = api.post("/api/jobs/sandbox", body).json()
    return found


def upload(api: Api, fields: dict[str, str], content: bytes = CONTENT) -> int:
    answer = api.client.post(FILES, data=fields, files={"file": ("x", content)})
    return int(answer.status_code)


def address(api: Api, pfn: str) -> str:
    found = urlsplit(api.get("/api/jobs/sandbox", params={"pfn": pfn}).json()["url"])
    return f"{found.path}?{found.query}"


def test_a_file_goes_in_and_comes_out_and_is_not_sent_twice(api: Api) -> None:
    given = grant(api)
    assert given["pfn"] == f"SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:{HEX}.file"
    assert given["location"] == f"sandbox:/S3/local/lhcb/user/alice/sha256:{HEX}.file"
    assert upload(api, given["fields"]) == 204
    assert api.client.get(address(api, given["pfn"])).content == CONTENT
    assert grant(api)["url"] is None
    assert upload(api, given["fields"]) == 204


def test_an_announced_file_that_never_came_is_granted_again(api: Api) -> None:
    assert grant(api)["url"] and grant(api)["url"]


@pytest.mark.parametrize("content", [b"", b"he", b"heyy", b"hex", b"h" * 100_000])
def test_another_content_than_announced_is_refused_and_not_stored(
    api: Api, installation: Installation, content: bytes
) -> None:
    assert upload(api, grant(api)["fields"], content) == 400
    assert [path for path in (installation.folder / "sandboxes").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("field", ["key", "checksum", "size", "expires", "signature"])
@pytest.mark.parametrize("value", ["", "0", "../../../etc/passwd", "é", "1" * 64])
def test_a_changed_field_breaks_the_signature(api: Api, field: str, value: str) -> None:
    fields = grant(api)["fields"]
    assert upload(api, {**fields, field: value}) in (400, 403)
    del fields[field]
    assert upload(api, fields) == 400


def test_a_form_without_the_file_is_400(api: Api) -> None:
    fields = grant(api)["fields"]
    assert api.client.post(FILES, data=fields).status_code in (400, 422)
    assert api.client.post(FILES, content=b"x").status_code in (400, 422)


def test_an_expired_grant_or_address_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = grant(api)
    assert upload(api, stored["fields"]) == 204
    monkeypatch.setattr("diracx_tasks.sandboxes.store._expiry", lambda: "1")
    assert upload(api, grant(api, b"other")["fields"], b"other") == 403
    assert api.client.get(address(api, stored["pfn"])).status_code == 403


def test_a_changed_address_is_refused(api: Api) -> None:
    given = grant(api)
    upload(api, given["fields"])
    path, query = address(api, given["pfn"]).split("?")
    signature = parse_qs(query)["signature"][0]
    later = query.replace("expires=", "expires=9")
    for changed in (query.replace(signature, "0" * 64), later, query.replace(signature, "é" * 60)):
        assert api.client.get(f"{path}?{changed}").status_code == 403
    assert api.client.get(f"{path.replace('alice', 'bob')}?{query}").status_code == 403
    assert api.client.get(path).status_code == 422


@pytest.mark.parametrize("key", ["../../secret", "a/../../../secret", "/etc/passwd", "a\0b"])
def test_no_signed_key_leads_out_of_the_store(installation: Installation, key: str) -> None:
    (installation.folder.parent / "secret").write_text("secret")
    folder = FolderStore(installation.folder / "sandboxes")
    with pytest.raises(Exception, match=r"outside|null byte|not in the sandbox store"):
        folder.read(key, 10)


@pytest.mark.parametrize(
    "pfn",
    [
        "",
        "SB:SandboxSE|/S3/local/lhcb/user/alice/../bob/sha256:" + HEX + ".file",
        "SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:" + HEX + ".file\n",
        "SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:" + HEX + "./../../x",
        "SB:SandboxSE|/S3/local/lhcb/user/alice/x",
        "/etc/passwd",
        "x" * 600,
    ],
    ids=range(7),
)
def test_what_is_no_name_of_a_file_is_the_askers_fault(api: Api, pfn: str) -> None:
    assert api.get("/api/jobs/sandbox", params={"pfn": pfn}).status_code in (400, 422)


def test_a_file_of_another_user_group_or_vo_is_403(api: Api) -> None:
    for who in (a_user("bob"), a_user(group="other"), a_user(vo="belle")):
        pfn = grant(api)["pfn"]
        assert api.get("/api/jobs/sandbox", params={"pfn": pfn}, by=who).status_code == 403


def test_a_file_beyond_the_limit_is_413(api: Api) -> None:
    body = {"checksum": HEX, "size": (1 << 30) + 1, "format": "file"}
    assert api.post("/api/jobs/sandbox", body).status_code == 413


@pytest.mark.parametrize(
    "changed",
    [
        {"checksum": "x"},
        {"checksum": HEX[:-1]},
        {"size": -1},
        {"size": 2**80},
        {"format": "exe"},
        {"checksum_algorithm": "md5"},
    ],
)
def test_a_malformed_announcement_is_422(api: Api, changed: dict[str, Any]) -> None:
    body = {"checksum": HEX, "size": 3, "format": "file", **changed}
    assert api.post("/api/jobs/sandbox", body).status_code in (413, 422)


def test_a_pilot_stores_and_fetches_for_the_owner_of_its_job_only(api: Api, db: Session) -> None:
    job_id = a_job(db, Status.RUNNING)
    db.commit()
    path = f"/api/pilots/jobs/{job_id}"
    files = {"attempt": 1, "files": [{"checksum": HEX, "size": 3}]}
    (given,) = api.post(f"{path}/uploads", files, by=a_pilot()).json()
    assert upload(api, given["fields"]) == 204
    assert api.post(f"{path}/uploads", files, by=a_pilot()).json()[0]["url"] is None
    wanted = {"attempt": 1, "locations": [given["location"]]}
    (found,) = api.post(f"{path}/downloads", wanted, by=a_pilot()).json()
    target = urlsplit(found["url"])
    assert api.client.get(f"{target.path}?{target.query}").content == CONTENT
    for foreign in (f"sandbox:{FOREIGN}", f"sandbox:{FOREIGN}".replace("lhcb", "belle")):
        body = {"attempt": 1, "locations": [foreign]}
        assert api.post(f"{path}/downloads", body, by=a_pilot()).status_code == 403
    for wrong in ("", "http://x", "bundle:x", "sandbox:/S3/local/../x", "\ud800"):
        body = {"attempt": 1, "locations": [wrong]}
        assert api.post(f"{path}/downloads", body, by=a_pilot()).status_code in (400, 422)


@pytest.mark.parametrize("status", [Status.DONE, Status.KILLED, Status.FAILED])
def test_a_pilot_of_a_job_that_is_over_gets_no_grants(api: Api, db: Session, status: Status) -> None:
    job_id = a_job(db, Status.RUNNING)
    db.commit()
    api.post(f"/api/jobs/{job_id}/kill")
    files = {"attempt": 1, "files": [{"checksum": HEX, "size": 3}]}
    assert api.post(f"/api/pilots/jobs/{job_id}/uploads", files, by=a_pilot()).status_code == 409
