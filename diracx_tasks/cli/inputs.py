"""What a submission sends: a document with all that it refers to, and inputs whose files are in the store."""

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from diracx_tasks.cli.output import bytes_of
from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import BadRequest, InvalidCwl, TooLarge
from diracx_tasks.cwl.bundle import MAX_BYTES, MAX_FILES, Bundle

PARALLEL = 4
# CWL's limit of loadContents: a check reads no more of a file.
READ_IN_CHECKS = 64 * 1024
SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
FILE = ("File", "Directory")
DOCUMENT = ("run", "$import", "$mixin")
Parameters = Mapping[str, Any]


def submission(
    client: Client, documents: "Documents", values: dict[str, Any] | str, *, is_check: bool = False
) -> dict[str, Any]:
    """The body of a submission; files of the values are uploaded, for a check only those of a few bytes."""
    if isinstance(values, dict):
        declared = documents.parameters() or {}
        whole = {
            name: _with_secondary(value, _patterns(declared.get(name))) for name, value in values.items()
        }
        values = Sending(client, READ_IN_CHECKS if is_check else None).send(whole)
    return {**documents.body(), "inputs": values}


def read_values(path: Path) -> dict[str, Any] | str:
    """An input object whose files have absolute paths; the text itself when it is none: the server complains."""
    text = path.read_text(errors="replace")
    try:
        found = parse(text)
    except (YAMLError, RecursionError):
        return text
    found = {} if found is None else found
    return anchored(found, path.absolute().parent) if isinstance(found, dict) else text


@dataclass
class Documents:
    """The files of a submission by absolute path; `add` follows what a document refers to.

    `.cwl` files may lie anywhere; all other files must be in or below the folder that they have in common,
    so that a workflow from elsewhere cannot send one's keys away.
    """

    main: Path
    fragment: str = ""
    files: dict[Path, bytes] = field(default_factory=dict)
    parsed: dict[Path, Any] = field(default_factory=dict)
    _later: list[tuple[Path, Any, str, Path]] = field(default_factory=list)

    @classmethod
    def of(cls, workflow: str) -> "Documents":
        """All files of `x.cwl` or `x.cwl#id`; InvalidCwl for a reference that is missing or leads outside."""
        name, _, fragment = workflow.partition("#")
        found = cls(Path(os.path.abspath(name)), fragment)
        if not found.main.is_file():
            raise BadRequest(f"there is no file {name}")
        found.add(found.main)
        while found._later:
            found._bring(*found._later.pop(0))
        return found

    @property
    def root(self) -> Path:
        """The folder that names in the submission are relative to."""
        cwl = [path.parent for path in self.parsed if path.suffix == ".cwl"]
        return Path(os.path.commonpath([self.main.parent, *cwl]))

    def body(self) -> dict[str, Any]:
        """The submission's `files` and `main`."""
        main = self._name(self.main) + (f"#{self.fragment}" if self.fragment else "")
        bundle = Bundle.of({self._name(path): content for path, content in self.files.items()}, main)
        return {"files": bundle.to_json()["files"], "main": main}

    def places(self) -> dict[str, Path]:
        """The files' names as the server knows them, and their paths as the user would write them."""
        return {self._name(path): Path(os.path.relpath(path)) for path in self.files}

    def parameters(self) -> Parameters | None:
        """The main process's input parameters by name; None when they cannot be found."""
        document = self.parsed.get(self.main)
        if isinstance(document, dict) and isinstance(graph := document.get("$graph"), list):
            wanted = self.fragment or "main"
            processes = (one for one in graph if isinstance(one, dict))
            document = next((one for one in processes if str(one.get("id")).lstrip("#") == wanted), None)
        inputs = document.get("inputs") if isinstance(document, dict) else None
        if isinstance(inputs, dict) and "$import" not in inputs:
            return inputs
        if isinstance(inputs, list) and all(isinstance(one, dict) and "id" in one for one in inputs):
            return {re.split("[#/]", str(one["id"]))[-1]: one for one in inputs}
        return None

    def add(self, document: Path) -> None:
        """Take a document and the documents that it refers to; other files are brought later."""
        if document in self.parsed:
            return
        self.parsed[document] = None
        self._take(document)
        try:
            self.parsed[document] = parse(self.files[document].decode(), "rt")
        except (YAMLError, UnicodeDecodeError, RecursionError):
            return  # The server will say what is wrong with it, and where.
        self._follow(self.parsed[document], document, set())

    def _follow(self, node: Any, document: Path, seen: set[int]) -> None:
        if not isinstance(node, (dict, list)) or id(node) in seen:
            return
        seen.add(id(node))
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            if isinstance(value, str) and isinstance(node, dict) and _is_reference(node, key):
                name = value if node.get("class") in FILE else value.partition("#")[0]
                path = _local(name, document.parent) if name else None
                if path and key in DOCUMENT and path.suffix == ".cwl" and path.is_file():
                    self.add(path)
                elif path:
                    self._later.append((path, node, key, document))
            self._follow(value, document, seen)

    def _bring(self, path: Path, node: Any, key: str, document: Path) -> None:
        reference = node[key]
        if not path.exists():
            # A default File that is missing matters only when it is used.
            if node.get("class") not in FILE:
                raise self._wrong(node, key, document, f"there is no file {reference}")
            return
        # At home or above, one stray .cwl file would open everything.
        allowed = self.main.parent if Path(os.path.expanduser("~")).is_relative_to(self.root) else self.root
        for file in [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file()):
            if not file.resolve().is_relative_to(allowed.resolve()):
                raise self._wrong(node, key, document, f"{reference}: {file} lies outside {allowed}")
            self.add(file) if key in DOCUMENT else self._take(file)
        if os.path.isabs(reference) or SCHEME.match(reference):
            raise self._wrong(node, key, document, f"{reference}: write the path relative to this document")

    def _take(self, path: Path) -> None:
        size = sum(map(len, self.files.values())) + path.stat().st_size
        if len(self.files) >= MAX_FILES or size > MAX_BYTES:
            raise TooLarge(
                f"at {path}: documents may bring {MAX_FILES} files and {bytes_of(MAX_BYTES)}; give the rest as inputs"
            )
        if path not in self.files:
            self.files[path] = path.read_bytes()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _wrong(self, node: Any, key: str, document: Path, words: str) -> InvalidCwl:
        try:
            line, column = (count + 1 for count in node.lc.value(key))
        except (AttributeError, KeyError, TypeError):
            line = column = None
        place = {"file": os.path.relpath(document), "line": line, "column": column}
        return InvalidCwl(words, [{"severity": "error", **place, "message": words}])


@dataclass
class Sending:
    """Uploads the local files of values, those of up to `most` bytes; the others are only announced."""

    client: Client
    most: int | None = None
    _wanted: list[tuple[dict[str, Any], Path]] = field(default_factory=list)

    def send(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values with locations in the store, directories as literals."""
        found = {name: self._outward(value, name) for name, value in values.items()}
        paths = list(dict.fromkeys(path for _, path in self._wanted))
        with ThreadPoolExecutor(PARALLEL) as pool:
            stored = dict(zip(paths, pool.map(self._store, paths), strict=True))
        for file, path in self._wanted:
            file.update(stored[path])
        return found

    def _outward(self, value: Any, name: str) -> Any:
        if isinstance(value, list):
            return [self._outward(one, name) for one in value]
        if not isinstance(value, dict):
            return value
        path = Path(value["path"]) if value.get("class") in FILE and "path" in value else None
        found = {
            key: one if key == "class" else self._outward(one, name)
            for key, one in value.items()
            if key != "path" or not path
        }
        if path:
            found.setdefault("basename", path.name)
            if not (path.is_file() if value["class"] == "File" else path.is_dir()):
                what = (
                    "is no " + ("file" if value["class"] == "File" else "folder")
                    if path.exists()
                    else "does not exist"
                )
                raise BadRequest(f"input {name!r}: {path} {what}")
            if value["class"] == "File":
                self._wanted.append((found, path))
            elif "listing" not in value:
                found["listing"] = self._outward(list(_listing(path)), name)
        return found

    def _store(self, path: Path) -> dict[str, Any]:
        sha256, sha1, size = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), 0
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                size += len(block)
                sha256.update(block)
                sha1.update(block)
        asked = {
            "checksum_algorithm": "sha256",
            "checksum": sha256.hexdigest(),
            "size": size,
            "format": "file",
        }
        grant = self.client.post("/api/jobs/sandbox", asked)
        if grant["url"] and (self.most is None or size <= self.most):
            if sys.stderr.isatty():
                click.echo(f"uploading {path.name} ({bytes_of(size)})", err=True)
            self.client.upload(grant, path)
        location = "sandbox:" + grant["pfn"].rpartition("|")[2]
        return {"location": location, "size": size, "checksum": f"sha1${sha1.hexdigest()}"}


def parse(text: str, kind: str = "safe") -> Any:
    """A YAML or JSON text as plain values, dates as strings; raises YAMLError. With kind `rt`, with places."""
    yaml = YAML(typ=kind, pure=True)
    yaml.allow_duplicate_keys = True
    made = yaml.constructor.yaml_constructors
    made["tag:yaml.org,2002:timestamp"] = made["tag:yaml.org,2002:str"]
    return yaml.load(text)


def anchored(value: Any, folder: Path) -> Any:
    """A value in which local Files and Directories have an absolute `path` and no location."""
    if isinstance(value, list):
        return [anchored(one, folder) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: anchored(one, folder) for key, one in value.items()}
    reference = value.get("location") or value.get("path")
    if value.get("class") in FILE and isinstance(reference, str):
        path = _local(reference, folder)
        found = {key: one for key, one in found.items() if key not in ("path", "location")}
        found |= {"path": str(path)} if path else {"location": reference}
    return found


def _local(reference: str, folder: Path) -> Path | None:
    """Where a path or URI points on this machine; None for other places (`sandbox:`, `lfn:`, `http:`, ...)."""
    literal = Path(os.path.normpath(folder / reference))
    scheme = SCHEME.match(reference)
    if literal.exists():
        return literal
    if reference.startswith("_:") or (scheme and scheme[1] != "file"):
        return None
    decoded = Path(os.path.normpath(folder / unquote(urlsplit(reference).path if scheme else reference)))
    return decoded if scheme or decoded.exists() else literal


def _is_reference(node: Mapping[str, Any], key: str) -> bool:
    # An input may be called `run` as well; only steps have `in` and `out` beside it.
    if key == "run":
        return "in" in node and "out" in node
    return key in (*DOCUMENT, "$include") or (key in ("location", "path") and node.get("class") in FILE)


def _listing(folder: Path) -> Iterator[dict[str, Any]]:
    here = folder.resolve()
    if any(parent.resolve() == here for parent in folder.parents):
        raise BadRequest(f"{folder}: a link in this folder leads back to one above it")
    for path in sorted(folder.iterdir()):
        yield {"class": "Directory" if path.is_dir() else "File", "path": str(path)}


def _patterns(parameter: Any) -> list[str]:
    """The patterns of a parameter's secondary files; expressions are left out."""
    given = parameter.get("secondaryFiles") if isinstance(parameter, dict) else None
    entries = given if isinstance(given, list) else [given]
    patterns = [one.get("pattern") if isinstance(one, dict) else one for one in entries]
    return [one.rstrip("?") for one in patterns if isinstance(one, str) and "$" not in one]


def _with_secondary(value: Any, patterns: Sequence[str]) -> Any:
    """Files with the secondary files that lie beside them, as cwltool finds them."""
    if isinstance(value, list):
        return [_with_secondary(one, patterns) for one in value]
    if not isinstance(value, dict) or "path" not in value or "secondaryFiles" in value:
        return value
    beside = []
    for pattern in patterns:
        path = Path(value["path"])
        carets = len(pattern) - len(pattern.lstrip("^"))
        for _ in range(carets):
            path = path.with_suffix("")
        beside.append(path.with_name(path.name + pattern[carets:]))
    found = [
        {"class": "Directory" if one.is_dir() else "File", "path": str(one)} for one in beside if one.exists()
    ]
    return {**value, "secondaryFiles": found} if found else value
