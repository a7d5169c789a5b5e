"""Uploads under a grant of a real S3: every client's form gets through, changed ones do not."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import urllib3

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import NotFound, Unavailable
from diracx_tasks.sandboxes.s3 import S3Store
from tests.builders import Installation, environment
from tests.servers import Rgw

pytestmark = pytest.mark.integration
CONTENT = b"what was announced"


@pytest.fixture
def store(installation: Installation, rgw: Rgw) -> Iterator[S3Store]:
    """The sandbox store in a real S3."""
    stated = {
        "DIRACX_DATA": str(installation.folder),
        "DIRACX_S3_ENDPOINT": rgw.endpoint,
        "DIRACX_S3_BUCKET": rgw.bucket,
        "DIRACX_S3_ACCESS_KEY": rgw.access_key,
        "DIRACX_S3_SECRET_KEY": rgw.secret_key,
        "DIRACX_S3_REGION": rgw.region,
    }
    with environment(**stated):
        yield S3Store()


def granted(store: S3Store, key: str) -> dict[str, Any]:
    store.delete([key])
    return store.grant(key, checksum=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT))


def sent(grant: dict[str, Any], content: bytes = CONTENT, **changed: str | None) -> int:
    fields = {name: value for name, value in (grant["fields"] | changed).items() if value is not None}
    form = {**fields, "file": ("one", content, "application/octet-stream")}
    return urllib3.request("POST", grant["url"], fields=form).status


def test_our_client_uploads_and_may_do_so_again(store: S3Store, tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_bytes(CONTENT)
    grant = granted(store, "ours")
    for _ in range(2):
        Client("http://127.0.0.1:9", "a-token").upload(grant, file)
    assert store.read("ours", 100) == CONTENT


def test_the_official_clients_form_uploads(store: S3Store, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(CONTENT)
    grant = granted(store, "theirs")
    with (tmp_path / "one").open("rb") as stream:
        files = {"file": ("file", stream)}
        assert httpx2.post(grant["url"], data=grant["fields"], files=files).status_code in (200, 204)
    assert store.read("theirs", 100) == CONTENT


def test_another_checksum_key_or_size_than_was_granted_is_refused(store: S3Store) -> None:
    grant = granted(store, "fixed")
    for changed in (
        {"x-amz-checksum-sha256": "AAAA"},
        {"x-amz-checksum-sha256": None},
        {"x-amz-checksum-algorithm": None},
        {"key": "another"},
    ):
        assert sent(grant, **changed) in (400, 403), changed
    assert sent(grant, CONTENT + b"!") in (400, 403)
    assert not store.has("fixed")


def test_what_the_server_puts_there_is_read_replaced_and_removed(store: S3Store) -> None:
    for content in (b"one", b"another one"):
        store.put("pilots/lhcb/stamp.log", content)
        assert store.read("pilots/lhcb/stamp.log", 100) == content
    store.delete(["pilots/lhcb/stamp.log"])
    assert not store.has("pilots/lhcb/stamp.log")


def test_an_object_that_the_server_keeps_is_no_deleted_one(store: S3Store, rgw: Rgw) -> None:
    """Its answer is 200, with what it has refused inside."""
    for key in ("kept/one", "two"):
        store.put(key, CONTENT)
    kept = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": f"arn:aws:s3:::{rgw.bucket}/kept/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [kept]})
    store.client.put_bucket_policy(Bucket=rgw.bucket, Policy=policy)
    try:
        with pytest.raises(Unavailable, match="does not delete kept/one"):
            store.delete(["kept/one", "two"])
        assert store.read("kept/one", 100) == CONTENT
    finally:
        store.client.delete_bucket_policy(Bucket=rgw.bucket)
    store.delete(["kept/one", "two"])
    with pytest.raises(NotFound):
        store.read("kept/one", 100)
