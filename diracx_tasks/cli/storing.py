"""Files of this machine on their way to the store: those that inputs name, and sandboxes."""

import hashlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli import output
from diracx_tasks.core.errors import BadRequest

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

FILE = ("File", "Directory")
# Says of a Directory that it was a real one: its listing is seen where `loadListing` asks for it.
FOLDER = "diracx:folder"
PARALLEL = 4


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
        with ThreadPoolExecutor(PARALLEL) as pool:
            stored = dict(zip(paths, pool.map(self._upload, paths), strict=True))
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

    def _upload(self, path: Path) -> dict[str, Any]:
        sha256, sha1, size = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), 0
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                size += len(block)
                sha256.update(block)
                sha1.update(block)
        asked = {"checksum_algorithm": "sha256", "checksum": sha256.hexdigest(), "size": size}
        grant = self.client.post("/api/jobs/sandbox", {**asked, "format": "file"})
        if grant["url"] and (self.most is None or size <= self.most):
            if sys.stderr.isatty():
                click.echo(f"uploading {path.name} ({output.bytes_of(size)})", err=True)
            self.client.upload(grant, path)
        location = f"sandbox:{grant['pfn'].rpartition('|')[2]}"
        return {"location": location, "size": size, "checksum": f"sha1${sha1.hexdigest()}"}


def _listing(folder: Path) -> Iterator[dict[str, Any]]:
    here = folder.resolve()
    if any(parent.resolve() == here for parent in folder.parents):
        raise BadRequest(f"{folder}: a link in this folder leads back to one above it")
    for path in sorted(folder.iterdir()):
        yield {"class": "Directory" if path.is_dir() else "File", "path": str(path)}
