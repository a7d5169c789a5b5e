"""Files of this machine on their way to the store: those that inputs name, and sandboxes."""

import hashlib
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diracx_tasks.cli.progress import transfer
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.form import Told

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

FILE = ("File", "Directory")
# Says of a Directory that it was a real one: its listing is seen where `loadListing` asks for it.
FOLDER = "diracx:folder"
PARALLEL = 4
# As the official client packs sandboxes.
PACKED = "tar.zst"


@dataclass
class Storing:
    """Uploads the local files of values, those of up to `most` bytes; the others are only announced."""

    client: "Client"
    most: int | None = None
    _wanted: list[tuple[dict[str, Any], Path]] = field(default_factory=list)

    def store(self, values: dict[str, Any]) -> dict[str, Any]:
        """Inputs by name, with locations in the store for absolute paths, and directories as literals."""
        found = {name: self._outward(value, name) for name, value in values.items()}
        paths = list(dict.fromkeys(path for _, path in self._wanted))
        stored = self._stored(paths)
        for file, path in self._wanted:
            file.update(stored[path])
        return found

    def _outward(self, value: Any, name: str) -> Any:
        if isinstance(value, list):
            return [self._outward(one, name) for one in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") not in FILE or "path" not in value:
            return {key: self._outward(one, name) for key, one in value.items()}
        path = Path(value["path"])
        found = {key: self._outward(one, name) for key, one in value.items() if key != "path"}
        found.setdefault("basename", path.name)
        is_file = value["class"] == "File"
        if not (path.is_file() if is_file else path.is_dir()):
            what = f"is no {'file' if is_file else 'folder'}" if path.exists() else "does not exist"
            raise BadRequest(f"input {name!r}: {path} {what}")
        if is_file:
            self._wanted.append((found, path))
        elif "listing" not in found:
            found |= {"listing": self._outward(list(_listing(path)), name), FOLDER: True}
        return found

    def _stored(self, paths: Sequence[Path]) -> dict[Path, dict[str, Any]]:
        """What is known of files that are in the store now."""
        if not paths:
            return {}
        total = sum(path.stat().st_size for path in paths)
        with transfer(f"uploading {files_of(paths)}", total) as told, ThreadPoolExecutor(PARALLEL) as pool:
            return dict(zip(paths, pool.map(lambda path: self._upload(path, told), paths), strict=True))

    def _upload(self, path: Path, told: Told) -> dict[str, Any]:
        sha256, sha1, size = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), 0
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                size += len(block)
                sha256.update(block)
                sha1.update(block)
        grant = _granted(self.client, sha256.hexdigest(), size, "file")
        if grant["url"] and (self.most is None or size <= self.most):
            self.client.upload(grant, path, told)
        else:
            told(size)
        location = f"sandbox:{grant['pfn'].rpartition('|')[2]}"
        return {"location": location, "size": size, "checksum": f"sha1${sha1.hexdigest()}"}


def store_sandbox(client: "Client", paths: Sequence[Path]) -> str:
    """The PFN of an input sandbox of files and folders, packed as the official client does."""
    import zstandard

    if taken := next((one for one, count in Counter(map(_name, paths)).items() if count > 1), None):
        raise BadRequest(f"two of the files are called {taken}: in the sandbox they would be one")
    with tempfile.TemporaryDirectory(prefix="diracx-") as made:
        archive = Path(made) / f"sandbox.{PACKED}"
        with (
            zstandard.open(archive, "wb") as packed,
            tarfile.open(fileobj=packed, mode="w|") as found,
        ):
            for path in paths:
                found.add(path.resolve(), _name(path))
        with archive.open("rb") as content:
            checksum = hashlib.file_digest(content, "sha256").hexdigest()
        size = archive.stat().st_size
        grant = _granted(client, checksum, size, PACKED)
        if grant["url"]:
            with transfer(f"uploading {files_of(paths)}", size) as told:
                client.upload(grant, archive, told)
    return str(grant["pfn"])


def files_of(paths: Sequence[Path]) -> str:
    """A file's name, or how many files there are."""
    return _name(paths[0]) if len(paths) == 1 else f"{len(paths)} files"


def _name(path: Path) -> str:
    return path.resolve().name


def _granted(client: "Client", checksum: str, size: int, kind: str) -> dict[str, Any]:
    asked = {"checksum_algorithm": "sha256", "checksum": checksum, "size": size, "format": kind}
    grant: dict[str, Any] = client.post("/api/jobs/sandbox", asked)
    return grant


def _listing(folder: Path) -> Iterator[dict[str, Any]]:
    here = folder.resolve()
    if any(parent.resolve() == here for parent in folder.parents):
        raise BadRequest(f"{folder}: a link in this folder leads back to one above it")
    for path in sorted(folder.iterdir()):
        yield {"class": "Directory" if path.is_dir() else "File", "path": str(path)}
