"""Archives of strangers, such as sandboxes: unpacked within limits, and only below one folder."""

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import zstandard

from diracx_tasks.core.errors import BadRequest, TooLarge

CHUNK = 1 << 20
# Long names and other remarks that stand before a file.
MAX_REMARKS = 1 << 20
# Archives of little text compress very well.
FREE = 16 << 20
LONGEST_PART = 255
MAX_PARTS = 32
BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x28\xb5\x2f\xfd": lambda file: zstandard.ZstdDecompressor().stream_reader(
        file, read_across_frames=True
    ),
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


@dataclass(frozen=True)
class Limits:
    """What an archive may become: bytes in all, files and folders, and bytes for each byte of the archive."""

    size: int = 4 << 30
    files: int = 20_000
    ratio: int = 200


@dataclass
class Unpacked:
    """The files that are there now, and the names of links and devices, which were left out."""

    files: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


class Member(NamedTuple):
    """A file in an archive: its place, bytes, last change (seconds since 1970), and content."""

    name: str
    size: int
    changed: float
    content: IO[bytes]


DEFAULT = Limits()


def unpack(archive: Path, folder: Path, limits: Limits = DEFAULT) -> Unpacked:
    """Unpack a tar archive, also compressed (zstd, gzip, bzip2, xz), into a folder that is not there yet.

    Hard links become copies; symbolic links and devices are left out. Raises TooLarge beyond the limits and
    BadRequest for a broken archive or a name that leads out of the folder; then nothing is left of it.
    """
    folder.mkdir(parents=True)
    try:
        with archive.open("rb") as file, _reading(archive, file, limits) as source:
            return _unpacked(source, archive, folder, limits)
    except (BadRequest, TooLarge):
        shutil.rmtree(folder)
        raise
    except BROKEN as error:
        shutil.rmtree(folder)
        raise _unreadable(archive, error) from error


@contextmanager
def reading(archive: Path, limits: Limits = DEFAULT) -> Iterator[Iterator[Member]]:
    """The files of a tar archive one after the other, each to be read before the next; nothing is unpacked.

    Links and devices are left out. Raises as `unpack`.
    """
    try:
        with archive.open("rb") as file, _reading(archive, file, limits) as source:
            yield _files(source, archive, limits)
    except BROKEN as error:
        # A system's own errors have numbers: the reader's pipe may be closed.
        if isinstance(error, OSError) and error.errno:
            raise
        raise _unreadable(archive, error) from error


class _Counted(io.RawIOBase):
    """What comes out of the compression: no more than is allowed in all, and between two files."""

    def __init__(self, source: Any, name: str, most: int, words: str) -> None:
        self._source = source
        self._name = name
        self._left = most
        self._words = words
        self.allowance = MAX_REMARKS

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._source.read(size)
        self.spend(len(data))
        self.allowance -= len(data)
        if self.allowance < 0:
            raise BadRequest(f"{self._name} is not unpacked: more than {MAX_REMARKS} bytes that are no files")
        return data

    def spend(self, size: int) -> None:
        """Count bytes that are written; TooLarge when there are too many."""
        self._left -= size
        if self._left < 0:
            raise TooLarge(f"{self._name} is not unpacked: {self._words}")


@contextmanager
def _reading(archive: Path, file: IO[bytes], limits: Limits) -> Iterator[_Counted]:
    beginning = file.read(8)
    file.seek(0)
    opener = next((opener for magic, opener in OPENERS.items() if beginning.startswith(magic)), None)
    packed = archive.stat().st_size
    by_ratio = max(FREE, packed * limits.ratio)
    words = f"it holds more than {limits.size} bytes"
    if by_ratio < limits.size:
        words = f"it holds more than {limits.ratio} times its own {packed} bytes"
    source = opener(file) if opener else file
    try:
        yield _Counted(source, archive.name, min(limits.size, by_ratio), words)
    finally:
        source.close()


def _unreadable(archive: Path, error: BaseException) -> BadRequest:
    return BadRequest(f"{archive.name} is no archive that can be read: {error}")


def _members(
    members: tarfile.TarFile, source: _Counted, archive: Path, limits: Limits
) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    """What is in an archive, in its order, with the place of each."""
    for count, member in enumerate(members, 1):
        if count > limits.files:
            raise TooLarge(f"{archive.name} is not unpacked: it holds more than {limits.files} files")
        # The blocks of a tar archive are read ahead.
        source.allowance = member.size + MAX_REMARKS
        yield member, _inside(archive, member.name)
        # What is left of a file that nobody reads is skipped.
        if not member.isfile():
            source.allowance = MAX_REMARKS


def _files(source: _Counted, archive: Path, limits: Limits) -> Iterator[Member]:
    with tarfile.open(fileobj=source, mode="r|", encoding="utf-8") as members:
        for member, place in _members(members, source, archive, limits):
            content = members.extractfile(member) if member.isfile() else None
            if content is not None:
                yield Member(str(place), member.size, member.mtime, content)


def _unpacked(source: _Counted, archive: Path, folder: Path, limits: Limits) -> Unpacked:
    found = Unpacked()
    with tarfile.open(fileobj=source, mode="r|", encoding="utf-8") as members:
        for member, place in _members(members, source, archive, limits):
            target = folder / place
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isfile():
                found.files.append(_written(archive, target, members.extractfile(member), member.mode))
            elif member.islnk() and (first := folder / _inside(archive, member.linkname)) in found.files:
                source.spend(first.stat().st_size)
                with first.open("rb") as content:
                    found.files.append(_written(archive, target, content, first.stat().st_mode))
            else:
                found.left_out.append(member.name)
    return found


def _written(archive: Path, target: Path, content: IO[bytes] | None, mode: int) -> Path:
    assert content is not None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            shutil.copyfileobj(content, file, CHUNK)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadRequest(f"{archive.name} is not unpacked: it holds {target.name!r} twice") from error
    target.chmod(0o755 if mode & 0o100 else 0o644)
    return target


def _inside(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    is_good = not path.is_absolute() and ".." not in path.parts and "\0" not in name
    is_short = len(path.parts) <= MAX_PARTS and all(_is_short(part) for part in path.parts)
    if not is_good or not is_short:
        raise BadRequest(f"{archive.name} is not unpacked: the name {name[:300]!a} is not allowed in it")
    return path


def _is_short(part: str) -> bool:
    return len(part.encode(errors="surrogateescape")) <= LONGEST_PART
