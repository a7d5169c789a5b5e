"""Outputs to the sandbox store and to storage elements, and their entry into the catalogue as a whole."""

import bz2
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diracx_tasks.node.order import WORK_FOLDERS
from diracx_tasks.node.outgoing import Outgoing, measure
from diracx_tasks.node.transfer import ROUNDS, StagingError, Transfers, chunks

ARCHIVE = "tar.bz2"


@dataclass
class Upload:
    """Sends files; the same content to the same place once."""

    transfers: Transfers
    before: Callable[[int], None]

    def send(self, files: Sequence[Outgoing]) -> None:
        """Have all files stored; each then knows its location. StagingError when no store takes one."""
        alike: dict[tuple[str, str, str], list[Outgoing]] = {}
        for file in files:
            alike.setdefault((file.lfn, file.format, file.sha256), []).append(file)
        _refuse_clashes(files)
        self._send([same[0] for same in alike.values()])
        for first, *others in alike.values():
            for file in others:
                file.location, file.se = first.location, first.se

    def register(self, files: Sequence[Outgoing]) -> None:
        """Enter files with LFNs into the catalogue and give the job its archives: all, or none."""
        named = {file.lfn: file for file in files if file.lfn}
        archives = [file.location for file in files if file.format == ARCHIVE]
        if named or archives:
            told = [
                {
                    "lfn": file.lfn,
                    "se": file.se,
                    "checksum": file.sha256,
                    "size": file.size,
                    "sha1": file.sha1 or None,
                    "adler32": file.adler32,
                }
                for file in named.values()
            ]
            self.transfers.post("files", {"files": told, "sandboxes": archives})

    def _send(self, files: list[Outgoing]) -> None:
        is_first = True
        while files:
            granted = self._granted(files)
            to_send = [(file, grant) for file, grant in granted if grant["url"]]
            if to_send and is_first:
                self.before(sum(file.size for file, _ in to_send))
            answers = self.transfers.in_parallel(self._one, to_send)
            failed = [(words, file) for words, (file, _) in zip(answers, to_send, strict=True) if words]
            files, is_first = [file for _, file in failed], False
            for words, file in failed:
                file.failures[file.se] = file.failures.get(file.se, 0) + 1
                if file.failures[file.se] == ROUNDS:
                    raise StagingError(words)

    def _granted(self, files: list[Outgoing]) -> list[tuple[Outgoing, dict[str, Any]]]:
        found = []
        for some in chunks(files):
            grants = self.transfers.post("uploads", {"files": [_wanted(file) for file in some]})
            for file, grant in zip(some, grants, strict=True):
                file.location, file.se = grant["location"], grant.get("se") or ""
                found.append((file, grant))
        return found

    def _one(self, item: tuple[Outgoing, dict[str, Any]]) -> str | None:
        file, grant = item

        def send() -> None:
            self.transfers.client.upload(grant, file.path)

        # The first element that fails is not waited for: there may be another.
        is_patient = not file.lfn or file.se in file.failures
        name = f"{file.path.name} to {file.se}" if file.se else file.path.name
        return (self.transfers.persistent if is_patient else self.transfers.once)(name, send)


@contextmanager
def archives(files: Sequence[Outgoing], beside: Path | None) -> Iterator[list[Outgoing]]:
    """An output sandbox as DIRAC has them, of files under their places; gone with the block.

    None without files; the same files give the same archive.
    """
    if not files:
        yield []
        return
    with TemporaryDirectory(dir=beside, prefix="sandbox-") as folder:
        path = Path(folder) / f"sandbox.{ARCHIVE}"
        with bz2.open(path, "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
            for place, file in sorted({file.place: file for file in files}.items()):
                entry = tarfile.TarInfo(place)
                entry.size, entry.mode = file.size, 0o644
                with file.path.open("rb") as content:
                    archive.addfile(entry, content)
        made = Outgoing({"class": "File", "basename": path.name}, path, format=ARCHIVE)
        measure(made)
        yield [made]


def matching(folder: Path, patterns: Sequence[str]) -> list[Outgoing]:
    """Files that tools have left in their working folders below a folder, by patterns such as `*.log`.

    Of several tools' files at the same place the last in the order of names. Links that lead out of a
    working folder, as to inputs, are left out.
    """
    found: dict[str, Outgoing] = {}
    for work_folder in sorted(folder.resolve().glob(f"{WORK_FOLDERS}*")):
        for pattern in patterns:
            for path in files_of(work_folder, pattern):
                place = str(path.relative_to(work_folder))
                found[place] = Outgoing({"class": "File", "basename": path.name}, path, place)
    for file in found.values():
        measure(file)
    return list(found.values())


def files_of(folder: Path, pattern: str, *, with_folders: bool = False) -> Iterator[Path]:
    """The files of a pattern such as `*.log` below a folder; StagingError for what is no pattern.

    With folders also all files in those that match. The path of `folder` itself must have no links.
    """
    try:
        for path in folder.glob(pattern):
            if _is_inside(path, folder) and path.is_file():
                yield path
            elif with_folders and _is_inside(path, folder):
                below = (Path(above, name) for above, _, names in os.walk(path) for name in sorted(names))
                yield from (one for one in below if _is_inside(one, folder) and one.is_file())
    except (OSError, ValueError, IndexError, NotImplementedError) as error:
        raise StagingError(f"output_sandbox: {pattern!r} is no pattern of files: {error}") from error


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a path leads to something below the folder, over its links."""
    # A link that leads in a circle has no end.
    with suppress(OSError, RuntimeError):
        return path.resolve().is_relative_to(folder)
    return False


def _wanted(file: Outgoing) -> dict[str, Any]:
    wanted: dict[str, Any] = {"checksum": file.sha256, "size": file.size}
    if file.format == ARCHIVE:
        wanted["format"] = ARCHIVE
    if file.lfn:
        wanted |= {"lfn": file.lfn, "se": list(file.ses), "failed": list(file.failures)}
    return wanted


def _refuse_clashes(files: Sequence[Outgoing]) -> None:
    contents: dict[str, Outgoing] = {}
    for file in files:
        other = contents.setdefault(file.lfn, file) if file.lfn else file
        if other.sha256 != file.sha256:
            raise StagingError(f"two outputs with different contents would be {file.lfn}")
