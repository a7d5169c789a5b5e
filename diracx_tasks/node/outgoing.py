"""Outputs of a payload: which files they consist of, where those are to go, and what they are."""

import hashlib
import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from diracx_tasks.node.placing import FOLDER
from diracx_tasks.node.transfer import StagingError

Value = dict[str, Any]
KEPT = ("class", "basename", "size", "checksum", "format", "secondaryFiles")
LFN = re.compile("^lfn:", re.IGNORECASE)
BLOCK = 1 << 20


@dataclass
class Outgoing:
    """A file of the outputs: its CWL object, where it is, its path below its output, and where it goes.

    With an LFN it goes to one of the storage elements `ses`, without one to the sandbox store.
    """

    value: Value
    path: Path
    place: str = ""
    sha256: str = ""
    sha1: str = ""
    adler32: str = ""
    size: int = 0
    lfn: str = ""
    ses: Sequence[str] = ()
    format: str = "file"
    # What the server has granted.
    location: str = ""
    se: str = ""
    failures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivery:
    """What is to become of outputs beside going to the sandbox store.

    `data` are folders of LFNs and storage elements by outputs; outputs in `sandbox` become an archive of the
    job as well, with the files in its working folders that match `patterns`.
    """

    data: Mapping[str, tuple[str, Sequence[str]]] = field(default_factory=dict)
    sandbox: Sequence[str] = ()
    patterns: Sequence[str] = ()

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> "Delivery":
        """What a payload says in `output_data`, `output_sandbox` and `output_globs`; see `cwl.hints`."""
        data = {}
        for one in payload.get("output_data") or []:
            ses = one.get("output_se") or []
            folder = LFN.sub("", str(one["output_path"])).rstrip("/")
            data[_id(one["source"])] = (folder, [ses] if isinstance(ses, str) else ses)
        sandbox = [_id(one) for one in payload.get("output_sandbox") or []]
        return cls(data, sandbox, payload.get("output_globs") or [])


def outgoing(outputs: Value, delivery: Delivery, files: dict[str, list[Outgoing]]) -> Value:
    """The outputs as they will be told to the server; puts their files, to be measured, into `files`."""
    if unknown := sorted({*delivery.data, *delivery.sandbox} - outputs.keys()):
        raise StagingError(f"{unknown[0]!r} is none of the outputs: {', '.join(outputs) or 'there are none'}")
    told = {}
    for name, value in outputs.items():
        own: list[Outgoing] = []
        told[name] = _outgoing(value, own, "")
        if name in delivery.data:
            folder, ses = delivery.data[name]
            for file in own:
                file.lfn, file.ses = f"{folder}/{file.place}", ses
        files[name] = own
    return told


def measure(file: Outgoing) -> None:
    """Fill in size and checksums; the CWL checksum is SHA-1, names in the sandbox store are SHA-256."""
    try:
        file.value["basename"].encode()
        if not stat.S_ISREG(os.stat(file.path).st_mode):
            raise StagingError(f"output {file.path.name} is neither a file nor a directory")
        _read(file)
    except UnicodeEncodeError as error:
        raise StagingError(f"output {file.path.name!a}: the file's name is not UTF-8") from error
    except OSError as error:
        raise StagingError(f"output {file.path.name}: {error.strerror}") from error
    file.value["size"] = file.size
    file.value.setdefault("checksum", f"sha1${file.sha1}")


def _read(file: Outgoing) -> None:
    stated = str(file.value.get("checksum") or "")
    sha256, sha1, adler32 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), 1
    # cwltool has been there already; the catalogue wants its own.
    digests = [sha256] if stated.startswith("sha1$") else [sha256, sha1]
    file.size = 0
    with file.path.open("rb") as stream:
        while block := stream.read(BLOCK):
            file.size += len(block)
            for digest in digests:
                digest.update(block)
            if file.lfn:
                adler32 = zlib.adler32(block, adler32)
    file.sha256, file.adler32 = sha256.hexdigest(), f"{adler32:08x}" if file.lfn else ""
    file.sha1 = sha1.hexdigest() if len(digests) > 1 else stated.removeprefix("sha1$")


def _id(name: Any) -> str:
    return str(name).rpartition("#")[2].rpartition("/")[2]


def _outgoing(value: Any, files: list[Outgoing], above: str) -> Any:
    if isinstance(value, list):
        return [_outgoing(item, files, above) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class") == "File":
        return _file(value, files, above)
    if value.get("class") == "Directory":
        return _directory(value, files, above)
    return {key: _outgoing(item, files, above) for key, item in value.items()}


def _file(value: Value, files: list[Outgoing], above: str) -> Value:
    kept = {key: _outgoing(value[key], files, above) for key in KEPT if key in value}
    location = _local(value)
    if location is None:
        return kept | ({"contents": value["contents"]} if "contents" in value else {})
    kept.setdefault("basename", location.name)
    files.append(Outgoing(kept, location, f"{above}{kept['basename']}"))
    return kept


def _directory(value: Value, files: list[Outgoing], above: str) -> Value:
    location = _local(value)
    listing = value.get("listing")
    if listing is None:
        listing = list(_listing(location, ())) if location else []
    name = value.get("basename") or (location.name if location else "")
    inside = _outgoing(listing, files, f"{above}{name}/")
    found = {"class": "Directory", "basename": name, "listing": inside}
    found |= {FOLDER: True} if location else {}
    if beside := value.get("secondaryFiles"):
        found["secondaryFiles"] = _outgoing(beside, files, above)
    return found


def _listing(folder: Path, above: tuple[Path, ...]) -> Iterator[Value]:
    here = folder.resolve()
    if here in above:
        raise StagingError(f"{folder.name}: a link in this output directory leads back to one above it")
    for path in sorted(folder.iterdir()):
        kind = "Directory" if path.is_dir() else "File"
        entry: Value = {"class": kind, "basename": path.name, "location": path.as_uri()}
        if kind == "Directory":
            entry["listing"] = list(_listing(path, (*above, here)))
        yield entry


def _local(value: Value) -> Path | None:
    location = str(value.get("location") or value.get("path") or "_:")
    if location.startswith("_:"):
        return None
    if location.startswith("/"):
        return Path(location)
    if not location.startswith("file:"):
        raise StagingError(f"{location}: an output {value['class']} must be a file of the job")
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(location.replace("#", "%23")).path)))
