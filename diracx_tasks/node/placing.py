"""Where the files of the inputs go on this node."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diracx_tasks.node.transfer import StagingError

Value = dict[str, Any]
LEFT = ("_:", "http:", "https:")
FILE, DIRECTORY = "File", "Directory"
# Says of a Directory that it was a real one: its listing is seen where `loadListing` asks for it.
FOLDER = "diracx:folder"


@dataclass(frozen=True)
class Wanted:
    """A stored file that is to come, and the size that it had when the inputs were made."""

    location: str
    size: int | None = None


@dataclass
class Placing:
    """Where files of the inputs go: stored ones below `folder`; the bundle is in `bundle_folder`.

    A Directory of stored files becomes a real one: cwltool keeps no literal through some of its steps.
    """

    folder: Path
    bundle_folder: Path
    shipped: frozenset[str]
    wanted: dict[Path, Wanted] = field(default_factory=dict)
    # LFNs of folders whose files are to come, by the folders here.
    folders: dict[Path, str] = field(default_factory=dict)
    _placed: dict[str, Value] = field(default_factory=dict)
    _made: int = 0

    def place(self, value: Any) -> Any:
        """The value with local locations; what has to be fetched for it is in `wanted` and `folders`."""
        if isinstance(value, list):
            return [self.place(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") not in (FILE, DIRECTORY) or not self._comes_here(value):
            return self._in_place(value)
        key = json.dumps(value, sort_keys=True)
        if key not in self._placed:
            self._placed[key] = self._put(value, self._new_folder())
        # Each has its own: cwltool changes values.
        found: Value = json.loads(json.dumps(self._placed[key]))
        return found

    def _in_place(self, value: Value) -> Value:
        """A value whose own location stays, or is in the bundle."""
        placed = {key: self.place(item) for key, item in value.items()}
        location = _location(value)
        if value.get("class") not in (FILE, DIRECTORY) or location.startswith(LEFT):
            return placed
        placed.pop("path", None)
        if not location.startswith("bundle:"):
            raise StagingError(f"{location}: an input {value['class']} cannot be read from there")
        placed["location"] = self._shipped(location).as_uri()
        return placed

    def _comes_here(self, value: Value) -> bool:
        """Whether a File or Directory is made here: it is stored, or consists of what is."""
        location = _location(value)
        if value["class"] == FILE:
            return _is_stored(location)
        if not location.startswith("_:"):
            return location.startswith("lfn:")
        inside = value.get("listing") or []
        return any(self._is_of_stored(one) for one in inside) and all(
            self._can_be_made(one) for one in inside
        )

    def _is_of_stored(self, value: Value) -> bool:
        inside = [*(value.get("listing") or []), *(value.get("secondaryFiles") or [])]
        is_stored = _is_stored(_location(value)) and (value["class"] == FILE or "listing" not in value)
        return is_stored or any(self._is_of_stored(one) for one in inside)

    def _can_be_made(self, value: Value) -> bool:
        location = _location(value)
        inside = [*(value.get("listing") or []), *(value.get("secondaryFiles") or [])]
        is_literal = location.startswith("_:") and ("contents" in value or value["class"] == DIRECTORY)
        return (_is_stored(location) or is_literal) and all(self._can_be_made(one) for one in inside)

    def _put(self, value: Value, folder: Path) -> Value:
        """The value, which will be in a folder."""
        path = folder / _basename(value)
        if value["class"] == DIRECTORY:
            return self._put_directory(value, path)
        placed = {key: item for key, item in value.items() if key not in ("path", "secondaryFiles")}
        placed["location"] = path.as_uri()
        if _is_stored(location := _location(value)):
            self._want(path, Wanted(location, value.get("size")))
        elif "contents" in placed:
            self._write(path, placed.pop("contents"))
        else:
            raise StagingError(f"{location}: an input File cannot be read from there")
        if beside := value.get("secondaryFiles"):
            placed["secondaryFiles"] = [self._put_beside(one, folder) for one in beside]
        return placed

    def _put_beside(self, value: Value, folder: Path) -> Value:
        if not self._comes_here(value):
            placed: Value = self.place(value)
            return placed
        path = folder / _basename(value)
        taken = self.wanted.get(path)
        is_free = path not in self.folders and (taken is None or taken.location == _location(value))
        return self._put(value, folder if is_free else self._new_folder())

    def _put_directory(self, value: Value, path: Path) -> Value:
        placed = {key: item for key, item in value.items() if key not in ("path", "listing", FOLDER)}
        placed["location"] = path.as_uri()
        if _location(value).startswith("lfn:") and "listing" not in value:
            self.folders[path] = _location(value).rstrip("/")
            return placed
        self._make(path)
        listing = [self._put(one, path) for one in value.get("listing") or []]
        return placed if value.get(FOLDER) else {**placed, "listing": listing}

    def _want(self, path: Path, wanted: Wanted) -> None:
        if self.wanted.setdefault(path, wanted).location != wanted.location:
            raise StagingError(f"two files of one input directory are called {path.name}")

    def _write(self, path: Path, text: str) -> None:
        if path in self.wanted:
            raise StagingError(f"two files of one input directory are called {path.name}")
        self._make(path.parent)
        path.write_text(text)

    def _make(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def _new_folder(self) -> Path:
        self._made += 1
        return self.folder / str(self._made - 1)

    def _shipped(self, location: str) -> Path:
        name = location.removeprefix("bundle:").strip("/")
        if name in self.shipped or any(one.startswith(f"{name}/") for one in self.shipped):
            return self.bundle_folder / name
        raise StagingError(f"{location} is not among the files sent with the workflow")


def _location(value: Value) -> str:
    return str(value.get("location") or "_:")


def _is_stored(location: str) -> bool:
    return location.startswith(("sandbox:", "lfn:"))


def _basename(value: Value) -> str:
    location = _location(value)
    of_lfn = location.rstrip("/").rpartition("/")[2] if location.startswith("lfn:") else ""
    name = str(value.get("basename") or of_lfn)
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise StagingError(f"{location}: {name!r} is not a file name")
    return name
