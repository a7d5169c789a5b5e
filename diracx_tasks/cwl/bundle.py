"""A workflow's original files, content-addressed: what is stored, sent to pilots and loaded from."""

import base64
import hashlib
import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from diracx_tasks.core.errors import InvalidCwl, TooLarge

MAX_FILES = 1000
MAX_ENTRYPOINT = 255
MAX_BYTES = 16 * 1024 * 1024
# What file systems take.
LONGEST_PART = 255
MAX_PARTS = 32


@dataclass(frozen=True)
class Bundle:
    """Files by their relative POSIX path, and the document to start from (`workflow.cwl` or `x.cwl#id`)."""

    files: dict[str, bytes] = field(hash=False)
    entrypoint: str

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of entry point, names and contents, in hex."""
        digest = hashlib.sha256(self.entrypoint.encode() + b"\0")
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    @classmethod
    def of(cls, files: dict[str, bytes], entrypoint: str) -> "Bundle":
        """A bundle whose names and sizes have been checked.

        Raises InvalidCwl for a name that leaves the bundle and TooLarge beyond MAX_FILES or MAX_BYTES.
        """
        if len(files) > MAX_FILES:
            raise TooLarge(f"a workflow may bring at most {MAX_FILES} files, this one has {len(files)}")
        if (size := sum(map(len, files.values()))) > MAX_BYTES:
            raise TooLarge(f"a workflow's files may have {MAX_BYTES} bytes together, these have {size}")
        clean = {_checked_name(name): content for name, content in files.items()}
        _refuse_clashes(list(files), clean)
        if len(entrypoint) > MAX_ENTRYPOINT:
            raise InvalidCwl(f"the name of the main document may have {MAX_ENTRYPOINT} characters")
        document, hash_sign, fragment = entrypoint.partition("#")
        document = _checked_name(document)
        if not fragment.isprintable():
            raise InvalidCwl(f"there is no process {fragment[:300]!a} in {document}")
        if document not in clean:
            known = ", ".join(sorted(clean)) or "none"
            raise InvalidCwl(f"the main document {document!r} is not among the files sent: {known}")
        return cls(clean, document + hash_sign + fragment)

    def extended(self, added: Mapping[str, str]) -> "Bundle":
        """The bundle with further files, by their names: those that a check has named."""
        if not added:
            return self
        files = {**self.files, **{name: text.encode() for name, text in added.items()}}
        return Bundle.of(files, self.entrypoint)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Bundle":
        """The inverse of `to_json`, checked as `of` does."""
        return cls.of(
            {name: _decoded(name, text) for name, text in data["files"].items()}, data["entrypoint"]
        )

    def to_json(self) -> dict[str, Any]:
        """`{"entrypoint", "files": {path: text or {"base64": ...}}}`."""
        return {
            "entrypoint": self.entrypoint,
            "files": {name: _encoded(content) for name, content in self.files.items()},
        }

    def write_to(self, folder: Path) -> None:
        """Put the files below a folder."""
        for name, content in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def entry_document(cwl: str | dict[str, Any]) -> bytes:
    """The bytes of a document given as text or as JSON."""
    return (cwl if isinstance(cwl, str) else json.dumps(cwl, indent=1)).encode()


def _checked_name(name: str) -> str:
    path = PurePosixPath(name)
    is_inside = path.parts and not path.is_absolute() and ".." not in path.parts
    if not is_inside or "\0" in name or "\\" in name or not _is_file_name(path):
        raise InvalidCwl(
            f"the file name {name[:300]!a} is not allowed: names are relative and stay inside the bundle"
        )
    return str(path)


def _is_file_name(path: PurePosixPath) -> bool:
    try:
        return all(len(part.encode()) <= LONGEST_PART for part in path.parts) and len(path.parts) <= MAX_PARTS
    except UnicodeEncodeError:
        return False


def _refuse_clashes(names: list[str], clean: Container[str]) -> None:
    seen: set[str] = set()
    for path in map(PurePosixPath, names):
        if str(path) in seen:
            raise InvalidCwl(f"the file {str(path)!r} is sent twice")
        seen.add(str(path))
        if folder := next((str(one) for one in path.parents if str(one) in clean), None):
            raise InvalidCwl(f"{folder!r} is sent as a file, and as a folder with {path.name!r} in it")


def _encoded(content: bytes) -> str | dict[str, str]:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _decoded(name: str, content: Any) -> bytes:
    try:
        return (
            content.encode()
            if isinstance(content, str)
            else base64.b64decode(content["base64"], validate=True)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidCwl(f"{name}: a file is a text or {{'base64': ...}}") from error
