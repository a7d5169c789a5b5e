"""Files of inputs from the store into the attempt's folder, files of outputs from there into the store."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError, DiracXError, LoginNeeded
from diracx_tasks.node.halt import Halt, ask, insist

T = TypeVar("T")

PARALLEL = 4
PER_REQUEST = 500
# URLs of the store expire; each round asks for fresh ones.
ROUNDS = 3
KEPT = ("class", "basename", "size", "checksum", "format", "secondaryFiles")


class StagingError(DiracXError):
    """A file cannot be brought to the payload or away from it; trying again would not help."""


@dataclass
class Stored:
    """A file of the outputs: its CWL object, where it is, and what the store is told about it."""

    value: dict[str, Any]
    path: Path
    sha256: str = ""
    size: int = 0


@dataclass
class Placing:
    """Where files of the inputs go: stored ones below `folder`; the bundle is in `bundle_folder`."""

    folder: Path
    bundle_folder: Path
    shipped: frozenset[str]
    wanted: dict[tuple[str, str], Path] = field(default_factory=dict)

    def place(self, value: Any) -> Any:
        """The value with local locations; what has to be fetched for it is in `wanted`."""
        if isinstance(value, list):
            return [self.place(item) for item in value]
        if not isinstance(value, dict):
            return value
        placed = {key: self.place(item) for key, item in value.items()}
        location = str(value.get("location") or "")
        if value.get("class") not in ("File", "Directory") or location.startswith(("_:", "http:", "https:")):
            return placed
        placed.pop("path", None)
        if location.startswith("sandbox:") and value["class"] == "File":
            placed["location"] = self._want(location, _basename(value)).as_uri()
        elif location.startswith("bundle:"):
            placed["location"] = self._shipped(location).as_uri()
        elif location:
            raise StagingError(f"{location}: an input {value['class']} cannot be read from there")
        return placed

    def _want(self, location: str, basename: str) -> Path:
        return self.wanted.setdefault((location, basename), self.folder / str(len(self.wanted)) / basename)

    def _shipped(self, location: str) -> Path:
        name = location.removeprefix("bundle:").strip("/")
        if name in self.shipped or any(one.startswith(f"{name}/") for one in self.shipped):
            return self.bundle_folder / name
        raise StagingError(f"{location} is not among the files sent with the workflow")


@dataclass
class Staging:
    """Moves the files of one attempt."""

    client: Client
    halt: Halt
    job_id: int
    attempt: int

    def fetch(self, inputs: Any, placing: "Placing", before_download: Callable[[], None]) -> Any:
        """The inputs with all their files on disk; `before_download` is called if that takes the store.

        Raises StagingError, Halted, and ApiError when the server refuses.
        """
        placed = placing.place(inputs)
        if placing.wanted:
            before_download()
        for number in range(ROUNDS):
            missing = {key: path for key, path in placing.wanted.items() if not path.exists()}
            failed = [words for words in self._download(missing) if words]
            if not failed:
                return placed
            if number == ROUNDS - 1:
                raise StagingError(failed[0])
        return placed

    def store(self, outputs: dict[str, Any], before_upload: Callable[[int], None]) -> Any:
        """The outputs with all their files in the store.

        `before_upload` is told the number of bytes to send, unless the store has everything already.
        Raises StagingError, Halted, and ApiError when the server refuses.
        """
        files: list[Stored] = []
        stored = _outgoing(outputs, files)
        for file in files:
            self.halt.check()
            _measure(file)
        # The same content is sent once.
        distinct = list({file.sha256: file for file in files}.values())
        locations = self._upload(distinct, before_upload)
        for file in files:
            file.value["location"] = locations[file.sha256]
        return stored

    def _download(self, missing: dict[tuple[str, str], Path]) -> list[str | None]:
        def one(item: tuple[tuple[str, str], Path]) -> str | None:
            (location, _), path = item
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".whole")
            failed = self._transfer(location, lambda: self.client.download(urls[location], part))
            if failed is None and (failed := _wrong_content(location, part)) is None:
                part.rename(path)
            return failed

        locations = list({location for location, _ in missing})
        urls: dict[str, str] = {}
        for some in _chunks(locations):
            body = {"attempt": self.attempt, "locations": some}
            urls |= {one["location"]: one["url"] for one in self._post("downloads", body)}
        return self._in_parallel(one, list(missing.items()))

    def _upload(self, files: list[Stored], before_upload: Callable[[int], None]) -> dict[str, str]:
        def one(item: tuple[Stored, dict[str, Any]]) -> str | None:
            file, grant = item
            return self._transfer(file.path.name, lambda: self.client.upload(grant, file.path))

        locations: dict[str, str] = {}
        for number in range(ROUNDS):
            granted = [pair for some in _chunks(files) for pair in zip(some, self._grants(some), strict=True)]
            locations |= {file.sha256: grant["location"] for file, grant in granted}
            to_send = [(file, grant) for file, grant in granted if grant["url"]]
            if to_send and number == 0:
                before_upload(sum(file.size for file, _ in to_send))
            answers = self._in_parallel(one, to_send)
            failed = [(words, file) for words, (file, _) in zip(answers, to_send, strict=True) if words]
            if not failed:
                break
            if number == ROUNDS - 1:
                raise StagingError(failed[0][0])
            files = [file for _, file in failed]
        return locations

    def _grants(self, files: list[Stored]) -> list[dict[str, Any]]:
        wanted = [{"checksum": file.sha256, "size": file.size} for file in files]
        grants: list[dict[str, Any]] = self._post("uploads", {"attempt": self.attempt, "files": wanted})
        return grants

    def _post(self, what: str, body: dict[str, Any]) -> Any:
        return ask(lambda: self.client.post(f"/api/pilots/jobs/{self.job_id}/{what}", body), self.halt)

    def _transfer(self, name: str, transfer: Callable[[], None]) -> str | None:
        try:
            insist(transfer, self.halt)
        except (ApiError, LoginNeeded) as error:
            return f"{name}: the store answered: {error}"
        return None

    def _in_parallel(self, one: Callable[[T], str | None], items: list[T]) -> list[str | None]:
        if not items:
            return []
        with ThreadPoolExecutor(PARALLEL) as pool:
            return list(pool.map(one, items))


def _outgoing(value: Any, files: list[Stored]) -> Any:
    if isinstance(value, list):
        return [_outgoing(item, files) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class") == "File":
        return _outgoing_file(value, files)
    if value.get("class") == "Directory":
        return _outgoing_directory(value, files)
    return {key: _outgoing(item, files) for key, item in value.items()}


def _outgoing_file(value: dict[str, Any], files: list[Stored]) -> dict[str, Any]:
    kept = {key: _outgoing(value[key], files) for key in KEPT if key in value}
    location = _local(value)
    if location is None:
        return kept | ({"contents": value["contents"]} if "contents" in value else {})
    kept.setdefault("basename", location.name)
    files.append(Stored(kept, location))
    return kept


def _outgoing_directory(value: dict[str, Any], files: list[Stored]) -> dict[str, Any]:
    location = _local(value)
    listing = value.get("listing")
    if listing is None:
        listing = list(_listing(location, ())) if location else []
    name = value.get("basename") or (location.name if location else "")
    return {"class": "Directory", "basename": name, "listing": _outgoing(listing, files)}


def _listing(folder: Path, above: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    here = folder.resolve()
    if here in above:
        raise StagingError(f"{folder.name}: a link in this output directory leads back to one above it")
    for path in sorted(folder.iterdir()):
        kind = "Directory" if path.is_dir() else "File"
        entry: dict[str, Any] = {"class": kind, "basename": path.name, "location": path.as_uri()}
        if kind == "Directory":
            entry["listing"] = list(_listing(path, (*above, here)))
        yield entry


def _local(value: dict[str, Any]) -> Path | None:
    location = str(value.get("location") or value.get("path") or "_:")
    if location.startswith("_:"):
        return None
    if location.startswith("/"):
        return Path(location)
    if not location.startswith("file:"):
        raise StagingError(f"{location}: an output {value['class']} must be a file of the job")
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(location.replace("#", "%23")).path)))


def _measure(file: Stored) -> None:
    """Fill in size and checksums; the CWL checksum is SHA-1, names in the store are SHA-256."""
    try:
        file.value["basename"].encode()
        if not stat.S_ISREG(os.stat(file.path).st_mode):
            raise StagingError(f"output {file.path.name} is neither a file nor a directory")
        sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
        digests = [sha256] if "checksum" in file.value else [sha256, sha1]
        file.size = 0
        with file.path.open("rb") as stream:
            while block := stream.read(1 << 20):
                file.size += len(block)
                for digest in digests:
                    digest.update(block)
    except UnicodeEncodeError as error:
        raise StagingError(f"output {file.path.name!a}: the file's name is not UTF-8") from error
    except OSError as error:
        raise StagingError(f"output {file.path.name}: {error.strerror}") from error
    file.sha256 = sha256.hexdigest()
    file.value["size"] = file.size
    file.value.setdefault("checksum", f"sha1${sha1.hexdigest()}")


def _wrong_content(location: str, path: Path) -> str | None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if f"/sha256:{found}." in location:
        return None
    return f"{location}: what the store sent has the checksum {found}"


def _basename(value: dict[str, Any]) -> str:
    name = str(value.get("basename") or "")
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise StagingError(f"{value['location']}: {name!r} is not a file name")
    return name


def _chunks(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), PER_REQUEST):
        yield items[start : start + PER_REQUEST]
