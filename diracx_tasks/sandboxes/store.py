"""Where sandboxes lie: S3, or a folder of the embedded installation behind the same signed addresses."""

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote, urlencode

from diracx_tasks.auth.keys import key_set, signing_key
from diracx_tasks.core.errors import BadRequest, Forbidden, NotFound
from diracx_tasks.core.settings import settings

Grant = dict[str, Any]
DELETE_AT_ONCE = 1000


class Store(Protocol):
    """An object store; a key is `<vo>/<group>/<owner>/sha256:<hex>.<format>`."""

    bucket: str
    # The bytes that one upload may have.
    largest: int

    def grant(self, key: str, *, checksum: str, size: int) -> Grant:
        """`{"url", "fields"}` of a presigned POST of this size, and of this content if the store checks."""

    def url(self, key: str, name: str = "") -> str:
        """A presigned GET; browsers keep what it gives under the name, where there is one."""

    def has(self, key: str) -> bool:
        """Whether the object is there."""

    def size(self, key: str) -> int | None:
        """Its bytes; None when it is not there."""

    def read(self, key: str, most: int) -> bytes:
        """Its first bytes."""

    def put(self, key: str, content: bytes) -> None:
        """Store something small, over what was there."""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are no error."""


@lru_cache(1)
def store() -> Store:
    """This process's store, as the settings say."""
    if not settings().s3_endpoint:
        return FolderStore(settings().data / "sandboxes")
    # Importing its client takes longer than much of the rest together.
    from diracx_tasks.sandboxes.s3 import S3Store

    return S3Store()


class FolderStore:
    """A folder behind the API's own signed addresses, which begin with `at`."""

    bucket = "local"

    def __init__(self, folder: Path, at: str = "/api/sandboxes/files") -> None:
        self.folder = folder
        self.at = at
        self.largest = settings().sandbox_bytes

    def grant(self, key: str, *, checksum: str, size: int) -> Grant:
        """Form fields whose signature `receive` checks."""
        fields = {"key": key, "checksum": checksum, "size": str(size), "expires": _expiry()}
        signature = _sign("PUT", self.at, fields)
        return {"url": f"{settings().url}{self.at}", "fields": {**fields, "signature": signature}}

    def url(self, key: str, name: str = "") -> str:
        """An address whose signature `locate` checks; a name is not known to it."""
        fields = {"key": key, "expires": _expiry()}
        query = urlencode({"expires": fields["expires"], "signature": _sign("GET", self.at, fields)})
        return f"{settings().url}{self.at}/{quote(key)}?{query}"

    def receive(self, fields: dict[str, str], content: IO[bytes]) -> None:
        """Store what was uploaded under a grant; refuses another size or content."""
        signed = {name: fields[name] for name in ("key", "checksum", "size", "expires")}
        _check("PUT", self.at, signed, fields["signature"])
        target = self._path(fields["key"])
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{time.monotonic_ns()}")
        try:
            _copy(content, part, int(fields["size"]), fields["checksum"])
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def locate(self, key: str, expires: str, signature: str) -> Path:
        """The file behind a signed address."""
        _check("GET", self.at, {"key": key, "expires": expires}, signature)
        return self.path(key)

    def path(self, key: str) -> Path:
        """The file of a key; whoever asks has seen to it that it may be read."""
        path = self._path(key)
        if not path.is_file():
            raise NotFound(f"{key} is not in the sandbox store")
        return path

    def has(self, key: str) -> bool:
        """Whether the file is there."""
        return self._path(key).is_file()

    def size(self, key: str) -> int | None:
        """Its bytes; None when it is not there."""
        path = self._path(key)
        return path.stat().st_size if path.is_file() else None

    def read(self, key: str, most: int) -> bytes:
        """The first bytes of a file."""
        try:
            with self._path(key).open("rb") as stream:
                return stream.read(most)
        except OSError as error:
            raise NotFound(f"{key} is not in the sandbox store") from error

    def put(self, key: str, content: bytes) -> None:
        """Write a small file, at once or not at all, over what was there."""
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{time.monotonic_ns()}")
        part.write_bytes(content)
        part.replace(target)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove files."""
        for key in keys:
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        path = (self.folder / key).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise Forbidden(f"{key!r} lies outside the sandbox store")
        return path


def _copy(content: IO[bytes], to: Path, size: int, checksum: str) -> None:
    digest, count = hashlib.sha256(), 0
    with to.open("wb") as out:
        while block := content.read(1 << 20):
            count += len(block)
            if count > size:
                break
            digest.update(block)
            out.write(block)
    if count != size or digest.hexdigest() != checksum:
        raise BadRequest(
            f"the file does not have the {size} bytes with the SHA-256 {checksum} that were announced"
        )


def _expiry() -> str:
    return str(int(time.time()) + settings().url_seconds)


def _sign(verb: str, at: str, fields: dict[str, str]) -> str:
    return _signed(str(signing_key().as_dict(private=True)["d"]), verb, at, fields)


def _signed(key: str, verb: str, at: str, fields: dict[str, str]) -> str:
    secret = hashlib.sha256(f"sandboxes{key}".encode()).digest()
    return hmac.new(secret, json.dumps([verb, at, fields], sort_keys=True).encode(), "sha256").hexdigest()


def _check(verb: str, at: str, fields: dict[str, str], signature: str) -> None:
    # Also by a key that signed a moment ago: a rotation ends no upload.
    privates = (key.as_dict(private=True).get("d") for key in key_set().keys if key.is_private)
    made = [_signed(str(private), verb, at, fields) for private in privates]
    if not any(hmac.compare_digest(one.encode(), signature.encode()) for one in made):
        raise Forbidden("the signature of this address does not hold")
    if float(fields["expires"]) < time.time():
        raise Forbidden("this address has expired: ask for a new one")
