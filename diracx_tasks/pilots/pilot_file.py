"""The pilot's one file of this server: made when it is first asked for, and kept in the data folder.

Earlier ones stay for a while: pilots that wait in a queue know the checksum of the one that they are to run.
"""

import fcntl
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from diracx_tasks.core.errors import DiracXError, SettingsError, Unavailable
from diracx_tasks.core.settings import settings
from diracx_tasks.pilots import package

FOLDER = "pilot-files"
KEPT_DAYS = 45
DAY = 86400
CHECKSUM = re.compile("[0-9a-f]{64}")
AGAIN_SECONDS = 60.0
_making = threading.Lock()
log = logging.getLogger(__name__)


class PilotFile(NamedTuple):
    """The file and its SHA-256 in hexadecimal digits."""

    path: Path
    sha256: str


@dataclass
class Trouble:
    """Why the file could not be made, and until when it is not tried again."""

    words: str = ""
    until: float = 0.0


_trouble = Trouble()


def current() -> PilotFile:
    """The file that pilots are to run, made now if it is not there: that may take half a minute."""
    if settings().pilot_file:
        return _given(Path(settings().pilot_file))
    return _made() or _make()


def current_if_made() -> PilotFile:
    """The same without waiting: while it is being made, which this starts, it is Unavailable."""
    found = _given(Path(settings().pilot_file)) if settings().pilot_file else _made()
    if found is None:
        if _trouble.words and time.monotonic() < _trouble.until:
            raise package.NotPacked(_trouble.words)
        threading.Thread(target=_make_once, name="pilot's file", daemon=True).start()
        raise Unavailable("the pilot's file is being made: ask again in some seconds")
    return found


def kept(sha256: str) -> PilotFile | None:
    """The file with a checksum, also an earlier one; None when it is not here."""
    path = _folder() / f"{sha256}.pyz"
    return PilotFile(path, sha256) if CHECKSUM.fullmatch(sha256) and path.is_file() else None


def _folder() -> Path:
    return settings().data / FOLDER


def _given(path: Path) -> PilotFile:
    try:
        stated = path.stat()
    except OSError as error:
        raise SettingsError(f"DIRACX_PILOT_FILE: {path} cannot be read: {error.strerror}") from error
    return _copied(path, _folder(), stated.st_mtime_ns, stated.st_size)


@lru_cache(8)
def _copied(path: Path, folder: Path, changed: int, size: int) -> PilotFile:
    """Our copy of a file: when another takes its place, there are still pilots that wait for this one."""
    folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder):
        part = folder / "given.part"
        shutil.copyfile(path, part)
        digest = package.sha256(part)
        part.replace(folder / f"{digest}.pyz")
        forget(folder, but=digest)
    return PilotFile(folder / f"{digest}.pyz", digest)


def _made() -> PilotFile | None:
    try:
        return kept((_folder() / f"{package.content_key()}.sha256").read_text().strip())
    except FileNotFoundError:
        return None


def _make() -> PilotFile:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder):
        if found := _made():
            return found
        log.info("the pilot's file is being made")
        part = folder / f"{package.content_key()}.part"
        digest = package.build(part)
        part.replace(folder / f"{digest}.pyz")
        noted = folder / f"{package.content_key()}.noted"
        noted.write_text(digest)
        noted.replace(noted.with_suffix(".sha256"))
        forget(folder, but=digest)
    return PilotFile(folder / f"{digest}.pyz", digest)


def _make_once() -> None:
    if _making.acquire(blocking=False):
        try:
            _make()
        except (DiracXError, OSError) as error:
            log.exception("the pilot's file is not made")
            _trouble.words, _trouble.until = str(error), time.monotonic() + AGAIN_SECONDS
        finally:
            _making.release()


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Only one process of this machine makes the file; the others wait for it."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def forget(folder: Path, *, but: str) -> None:
    """Remove files for which no pilot can wait any more; one stays in any case.

    Pilots were given a file until the next one was made, which may be long after it was made itself.
    """
    until = time.time() - KEPT_DAYS * DAY
    made = sorted((file.stat().st_mtime, file) for file in folder.glob("*.pyz"))
    for (_, file), (replaced_at, _) in pairwise(made):
        if file.stem != but and replaced_at < until:
            file.unlink(missing_ok=True)
