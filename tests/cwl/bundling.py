"""A CWL file on disk, with its inputs, as what a client would send: a bundle and a job order."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urldefrag

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.inputs import parsed

DOCUMENTS = (".cwl", ".yml", ".yaml", ".json")
FILES = ("File", "Directory")


@dataclass
class Files:
    """The files that a document refers to, by absolute path. Every text that names a file refers to it."""

    found: set[Path] = field(default_factory=set)

    def add(self, path: Path) -> None:
        """Take a file with what it refers to, or a folder with all that is in it."""
        if path.is_dir():
            for inner in path.rglob("*"):
                self._take(inner)
        elif path.is_file() and path not in self.found:
            self._take(path)
            if path.suffix in DOCUMENTS:
                self.follow(_parsed(path), path.parent)

    def follow(self, node: Any, folder: Path) -> None:
        """Take what a document's value refers to, from a folder."""
        for text in _texts(node):
            name = unquote(urldefrag(text)[0]) if text not in ("", ".") else ""
            if not name or "\0" in name or len(name) > 255:
                continue
            path = Path(os.path.normpath(folder / name))
            if path.exists() and path not in folder.parents and path != folder:
                self.add(path)

    def _take(self, path: Path) -> None:
        if not path.is_file():
            return
        self.found.add(path)
        # Secondary files are named by patterns: all that begins alike comes along.
        if path.suffix not in DOCUMENTS:
            stem = path.name.partition(".")[0]
            self.found |= {one for one in path.parent.glob(f"{stem}.*") if one.is_file()}


def bundled(document: str, job: Path | None) -> tuple[Bundle, dict[str, Any]]:
    """The bundle of `x.cwl` or `x.cwl#id` and the inputs, whose files are in the bundle as well."""
    name, fragment = urldefrag(document)
    main = Path(os.path.abspath(name))
    files = Files()
    files.add(main)
    inputs = parsed(job.read_text()) if job else {}
    if job:
        files.follow(inputs, job.parent)
    root = Path(os.path.commonpath([path.parent for path in files.found]))
    entrypoint = str(main.relative_to(root)) + (f"#{fragment}" if fragment else "")
    bundle = Bundle.of({str(path.relative_to(root)): path.read_bytes() for path in files.found}, entrypoint)
    return bundle, _placed(inputs, job.parent, root) if job else {}


def _placed(value: Any, folder: Path, root: Path) -> Any:
    if isinstance(value, list):
        return [_placed(item, folder, root) for item in value]
    if not isinstance(value, dict):
        return value
    placed = {key: _placed(item, folder, root) for key, item in value.items()}
    given = placed.pop("path", None)
    if given is not None and value.get("class") in FILES:
        placed["location"] = quote(given)
    location = placed.get("location", "")
    if value.get("class") in FILES and location and ":" not in location:
        path = os.path.normpath(folder / unquote(location))
        placed["location"] = f"bundle:{os.path.relpath(path, root)}"
    return placed


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)


def _parsed(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path.read_text())
    except (YAMLError, UnicodeDecodeError):
        return None
