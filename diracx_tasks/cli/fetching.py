"""The files of outputs: from the stores to this machine, each verified."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diracx_tasks.cli.progress import transfer
from diracx_tasks.core.errors import ApiError, DiracXError, Unreachable
from diracx_tasks.core.form import Told

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

Row = dict[str, Any]
CONTENT = re.compile(r"/sha256:([0-9a-f]{64})\.")
LFN = "lfn:"


@dataclass
class Fetching:
    """Downloads the files of outputs, each with its secondary files beside it."""

    client: "Client"
    taken: set[Path] = field(default_factory=set)
    told: Told = lambda count: None

    def fetch(self, value: Any, folder: Path) -> Any:
        """As `place`, with a bar at a terminal; the folder is made."""
        folder.mkdir(parents=True, exist_ok=True)
        with transfer("downloading", sum(_sizes(value))) as self.told:
            return self.place(value, folder.resolve())

    def place(self, value: Any, folder: Path) -> Any:
        """The value with its files below the folder."""
        if isinstance(value, list):
            return [self.place(one, folder) for one in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") not in ("File", "Directory"):
            return {key: self.place(one, folder) for key, one in value.items()}
        together = [value, *(value.get("secondaryFiles") or [])]
        return self._put(value, self._free(folder, [_name(one) for one in together if _is_here(one)]))

    def _put(self, value: Row, folder: Path) -> Row:
        if not _is_here(value):
            return value
        path = folder / _name(value)
        placed = {**value, "location": path.as_uri(), "path": str(path)}
        if value["class"] == "File":
            self._fetch(value, path)
        else:
            path.mkdir(exist_ok=True)
            placed["listing"] = self.place(value["listing"], path)
        if beside := value.get("secondaryFiles"):
            placed["secondaryFiles"] = [self._put(one, folder) for one in beside]
        return placed

    def _free(self, folder: Path, names: list[str]) -> Path:
        """The folder, or one numbered below it where these names are not taken by other outputs."""
        number, found = 1, folder
        while any(found / name in self.taken for name in names):
            number += 1
            found = folder / str(number)
        found.mkdir(exist_ok=True)
        self.taken.update(found / name for name in names)
        return found

    def _fetch(self, value: Row, path: Path) -> None:
        location = str(value.get("location") or "")
        if location.startswith(LFN):
            fetch_lfn(self.client, location, path, self.told)
            return
        known = CONTENT.search(location)
        wanted = known[1] if known else hashlib.sha256(value.get("contents", "").encode()).hexdigest()
        if path.exists():
            if _sha256(path) != wanted:
                raise DiracXError(f"{path} is there with another content: choose another folder")
        elif location:
            pfn = f"SB:SandboxSE|{location.removeprefix('sandbox:')}"
            self.client.download(self.client.get("/api/jobs/sandbox", pfn=pfn)["url"], path, self.told)
            if _sha256(path) != wanted:
                path.unlink()
                raise DiracXError(f"{path.name}: the store has sent another content than it should have")
        else:
            path.write_bytes(value["contents"].encode())


def fetch_lfn(client: "Client", location: str, path: Path, told: Told) -> None:
    """Have a file of the catalogue at a path; DiracXError when another one is there."""
    from diracx_tasks.node.incoming import wrong_content

    (address,) = client.post("/api/data/downloads", {"lfns": [location]})
    if not path.exists():
        fetch_address(client, address, path, told)
    elif wrong_content(address, path):
        raise DiracXError(f"{path} is there with another content: choose another folder")


def fetch_address(client: "Client", address: Row, path: Path, told: Told) -> None:
    """Have the file of an answer to `/api/data/downloads` at a path, from the first place that gives it."""
    from diracx_tasks.node.incoming import wrong_content

    path.parent.mkdir(parents=True, exist_ok=True)
    part, words = path.with_name(f"{path.name}.whole"), ""
    for url in address["urls"]:
        try:
            client.download(url, part, told)
        except (ApiError, Unreachable) as error:
            words = str(error)
            continue
        if not (wrong := wrong_content(address, part)):
            part.rename(path)
            return
        words = wrong
        part.unlink()
    raise DiracXError(f"{address['location']} cannot be fetched: {words}")


def _sizes(value: Any) -> Iterator[int]:
    """The bytes of the files in a value that are fetched."""
    if isinstance(value, list):
        for one in value:
            yield from _sizes(one)
    elif isinstance(value, dict):
        if value.get("class") == "File" and "location" in value:
            yield value.get("size") or 0
        yield from _sizes([one for one in value.values() if isinstance(one, dict | list)])


def _is_here(value: Row) -> bool:
    """Whether we can make it: from the store, or from the value itself."""
    if value["class"] == "Directory":
        return "listing" in value
    location = str(value.get("location") or "")
    if location.startswith(LFN):
        return True
    return bool(location.startswith("sandbox:") and CONTENT.search(location)) or "contents" in value


def _name(value: Row) -> str:
    location = str(value.get("location") or "")
    of_lfn = location.rpartition("/")[2] if location.startswith(LFN) else ""
    name = str(value.get("basename") or of_lfn)
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise DiracXError(f"{name!r} in the outputs is not a file name")
    return name


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
