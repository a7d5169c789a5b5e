"""Installations with storage elements, on SQLite with folders and on MariaDB with S3; files go in and out."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from sqlalchemy import delete

from diracx_tasks.core import remembered
from diracx_tasks.core.client import Client
from diracx_tasks.core.database import Table, session
from diracx_tasks.core.errors import ApiError, Unreachable
from diracx_tasks.core.form import Told, untold
from diracx_tasks.resources import view
from tests.api.caller import Api
from tests.builders import Installation, a_pilot, a_user, environment
from tests.integration.upstream import Databases, migrated
from tests.servers import Redis, Rgw

__all__ = ["Far", "a_manager", "fetch", "installation", "migrated", "put", "sha256"]
SERVER = "http://testserver"
HOME = "/lhcb/user/a/alice"
CONFIGURATION = """
Registry:
  lhcb:
    DefaultGroup: user
    Users: {a: {PreferedUsername: alice}, m: {PreferedUsername: mary}}
    Groups:
      user: {Properties: [NormalUser], Users: [a, m]}
      data: {Properties: [NormalUser, FileCatalogManagement], Users: [m]}
Resources:
  Sites:
    LCG: {LCG.CERN.ch: {SE: [CERN-DISK]}, LCG.RAL.uk: {SE: "RAL-DISK, CERN-DISK"}}
  StorageElements:
    RAL-DISK: ELEMENT
    CERN-DISK: ELEMENT
    SE-AWAY: {Type: s3, Endpoint: "http://127.0.0.1:9", Bucket: nothing}
    RAL-TAPE: {BackendType: Castor}
    BELLE-DISK: {Type: folder, VO: [belle]}
"""


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.integration)])
def installation(
    request: pytest.FixtureRequest, template: Path, tmp_path: Path, redis_server: Redis
) -> Iterator[Installation]:
    """A fresh installation: SQLite and folders, or MariaDB and a real S3."""
    stated: Mapping[str, str] = {}
    element = "{Type: folder}"
    if request.param == "s3":
        databases: Databases = request.getfixturevalue("migrated")
        rgw: Rgw = request.getfixturevalue("rgw")
        stated = {**databases.settings, **_s3(rgw)}
        _forget_objects(rgw)
        element = f"{{Type: s3, Endpoint: '{rgw.endpoint}', Bucket: {rgw.bucket}}}"
    folder = tmp_path / "data"
    shutil.copytree(template, folder)
    (folder / "configuration.yml").write_text(CONFIGURATION.replace("ELEMENT", element))
    redis_server.flush()
    remembered._KEPT.clear()
    view.forget()
    places = {"DIRACX_DATA": str(folder), "DIRACX_REDIS_URL": redis_server.url, "DIRACX_URL": SERVER}
    source = {"DIRACX_CONFIG_BACKEND_URL": str(folder / "configuration.yml")}
    keys = {name: ["diracx", "diracx-tests"] for name in ("CERN-DISK", "RAL-DISK", "SE-AWAY")}
    with environment(**places, **source, **stated, DIRACX_STORAGE_KEYS=json.dumps(keys)):
        if stated:
            _empty()
        yield Installation(folder, redis_server)


def _s3(rgw: Rgw) -> dict[str, str]:
    return {
        "DIRACX_S3_ENDPOINT": rgw.endpoint,
        "DIRACX_S3_BUCKET": rgw.bucket,
        "DIRACX_S3_ACCESS_KEY": rgw.access_key,
        "DIRACX_S3_SECRET_KEY": rgw.secret_key,
        "DIRACX_S3_REGION": rgw.region,
    }


def _forget_objects(rgw: Rgw) -> None:
    with closing(rgw.client()) as s3:
        for one in s3.list_objects_v2(Bucket=rgw.bucket, Prefix="data/").get("Contents", []):
            s3.delete_object(Bucket=rgw.bucket, Key=one["Key"])


def _empty() -> None:
    with session() as db:
        for table in reversed(Table.metadata.sorted_tables):
            db.execute(delete(table))


class Far(Client):
    """A pilot's client: requests to the server go to the API in this process, those to S3 go to S3."""

    def __init__(self, api: Api, stamp: str = "stamp-1") -> None:
        super().__init__(SERVER, "", retries=0)
        self._api, self._by = api, a_pilot(stamp)
        # Addresses that do not answer any more.
        self.cut: tuple[str, ...] = ()
        self.sent: list[str] = []

    def post(self, path: str, body: Any = None, **_: Any) -> Any:
        """The answer's JSON."""
        answer = self._api.post(path, body, by=self._by)
        if answer.status_code >= 400:
            raise ApiError(answer.status_code, answer.json()["detail"])
        return answer.json() if answer.content else None

    def upload(self, grant: dict[str, Any], path: Path, told: Told = untold) -> None:
        """Store a file under an upload grant."""
        self._reach(grant["url"] + grant["fields"].get("key", ""))
        self.sent.append(path.name)
        if not grant["url"].startswith(SERVER):
            return super().upload(grant, path, told)
        form = {"data": grant["fields"], "files": {"file": (path.name, path.read_bytes())}}
        answer = self._api.client.post(urlsplit(grant["url"]).path, **form)
        if answer.status_code >= 400:
            raise ApiError(answer.status_code, answer.json()["detail"])
        return None

    def download(self, url: str, to: Path, told: Told = untold) -> None:
        """Fetch an address into a file."""
        self._reach(url)
        if not url.startswith(SERVER):
            return super().download(url, to, told)
        answer = self._api.client.get(url.removeprefix(SERVER))
        if answer.status_code >= 400:
            raise ApiError(answer.status_code, answer.json()["detail"])
        to.write_bytes(answer.content)
        return None

    def _reach(self, url: str) -> None:
        if any(one in url for one in self.cut):
            raise Unreachable(f"{url} does not answer")


def a_manager(name: str = "mary") -> Any:
    """Somebody who may write anywhere in his VO."""
    return a_user(name, group="data", properties=("NormalUser", "FileCatalogManagement"))


def sha256(content: bytes) -> str:
    """In hex."""
    return hashlib.sha256(content).hexdigest()


def put(api: Api, lfn: str, content: bytes, *ses: str, by: Any = None) -> dict[str, Any]:
    """A file of the catalogue; the answer to its announcement."""
    who = {"by": by or a_user()}
    known = {"lfn": lfn, "checksum": sha256(content), "size": len(content)}
    answer = api.post("/api/data/uploads", {"files": [{**known, "se": list(ses)}]}, **who)
    assert answer.status_code == 200, answer.text
    grant: dict[str, Any] = answer.json()[0]
    if grant["url"]:
        assert send(api, grant, content) == 204
    answer = api.post("/api/data/files", {"files": [{**known, "se": grant["se"]}]}, **who)
    assert answer.status_code == 200, answer.text
    return grant


def send(api: Api, grant: dict[str, Any], content: bytes) -> int:
    """The status of an upload under a grant."""
    if grant["url"].startswith(SERVER):
        form = {"data": grant["fields"], "files": {"file": ("x", content)}}
        return int(api.client.post(urlsplit(grant["url"]).path, **form).status_code)
    fields = {**grant["fields"], "file": ("x", content, "application/octet-stream")}
    return urllib3.request("POST", grant["url"], fields=fields).status


def fetch(api: Api, lfn: str, *, by: Any = None) -> dict[str, bytes]:
    """The contents of a file, or of all files of a folder, by their LFNs."""
    answer = api.post("/api/data/downloads", {"lfns": [lfn]}, by=by or a_user())
    assert answer.status_code == 200, answer.text
    return {one["location"].removeprefix("lfn:"): _get(api, one["url"]) for one in answer.json()}


def _get(api: Api, url: str) -> bytes:
    if url.startswith(SERVER):
        answer = api.client.get(url.removeprefix(SERVER))
        assert answer.status_code == 200, answer.text
        return bytes(answer.content)
    return urllib3.request("GET", url).data
