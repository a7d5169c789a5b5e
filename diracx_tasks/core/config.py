"""The configuration: DIRAC's CS as YAML in a git repository or a file, the last good one in force.

Sections under `Operations.Defaults` hold for every VO; what stands under `Operations.<VO>` goes over them.
"""

import hashlib
import json
import logging
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from diracx_tasks.core import repository
from diracx_tasks.core.document import ALTERNATIVES, DEFAULTS, SECTIONS, Config, forget_made, merged, parse
from diracx_tasks.core.errors import NeverConfigured, SettingsError
from diracx_tasks.core.settings import settings

__all__ = [
    "ALTERNATIVES",
    "DEFAULTS",
    "SECTIONS",
    "Config",
    "config",
    "merged",
    "parse",
    "problem",
    "version",
]
log = logging.getLogger(__name__)
FILE = "default.yml"
# A change is in force after so many seconds at most; a remote repository is asked less often.
CHECK_SECONDS = 2.0
FETCH_SECONDS = 10.0


@dataclass(frozen=True)
class Text:
    """What a source says: its version, the text unless that version is in force, and what to call it."""

    version: str
    text: str
    name: str
    revision: str
    modified: datetime


@dataclass(frozen=True)
class InForce:
    """What is in force; without a source nothing is configured, and the version is empty."""

    config: Config = field(default_factory=Config)
    version: str = ""
    modified: datetime | None = None


@dataclass
class Source:
    """Where the configuration comes from, what it said last, and what is wrong with what it says now."""

    url: str
    good: InForce = field(default_factory=InForce)
    problem: str = ""
    looked: float = float("-inf")
    # When a remote repository was last asked, and why in vain.
    fetched: float = float("-inf")
    trouble: str = ""
    # The version that was refused last, and why: it is not read again and again.
    refused: tuple[str, str] = ("", "")
    lock: threading.Lock = field(default_factory=threading.Lock)


def in_force() -> InForce:
    """The configuration in force with its version and time; NeverConfigured when there is none."""
    return _looked_at().good


def config() -> Config:
    """The configuration in force; SettingsError when there has never been a good one."""
    return in_force().config


def version() -> str:
    """What changes when the configuration in force changes."""
    return in_force().version


def problem() -> str:
    """What is wrong with the newest configuration, which is then not in force; empty when nothing is."""
    return _looked_at().problem


def vos() -> list[str]:
    """The VOs of this installation."""
    return sorted(config().Registry) or [settings().vo]


def newest(url: str) -> Text:
    """What a source says now, good or not; SettingsError when it cannot be read."""
    try:
        return _read(Source(url))
    except OSError as error:
        raise SettingsError(str(error)) from error


def folder_and_revision(url: str) -> tuple[Path, str]:
    """The folder of a `git+file://` address, and the revision that it names."""
    parts = urlsplit(url.removeprefix("git+"))
    return Path(parts.path), parse_qs(parts.query).get("revision", ["HEAD"])[0]


def _looked_at() -> Source:
    source = _source(settings().config_backend_url, os.getpid())
    if not source.url:
        return source
    # Nobody can go on without the first look; later ones keep nobody waiting but who looks.
    is_first = source.looked < 0
    if time.monotonic() > source.looked + CHECK_SECONDS and source.lock.acquire(is_first):
        try:
            if not is_first or source.looked < 0:
                _look(source)
        finally:
            source.lock.release()
    if not source.good.version:
        raise NeverConfigured(f"no configuration: {source.problem}; see DIRACX_CONFIG_BACKEND_URL")
    return source


@lru_cache(2)
def _source(url: str, pid: int) -> Source:
    return Source(url)


def _good_file(source: Source) -> Path:
    return settings().data / f"config-{hashlib.sha256(source.url.encode()).hexdigest()[:12]}.good"


def _remember(source: Source, text: str) -> None:
    """Leave the last good one for processes that start while the newest is refused."""
    file = _good_file(source)
    part = file.with_name(f"{file.name}.{os.getpid()}")
    kept = {"version": source.good.version, "text": text, "modified": str(source.good.modified)}
    with suppress(OSError):
        part.write_text(json.dumps(kept))
        part.replace(file)


def _recall(source: Source) -> None:
    """Put the last good one in force that a process on this machine has seen, if there is one."""
    with suppress(OSError, ValueError, KeyError, SettingsError):
        kept = json.loads(_good_file(source).read_text())
        found = parse(kept["text"], "the last good configuration")
        source.good = InForce(found, kept["version"], datetime.fromisoformat(kept["modified"]))


def _look(source: Source) -> None:
    """Take over what has changed if it is good; else keep what is in force and say so."""
    try:
        found = _read(source)
        if found.version != source.good.version:
            _take_over(source, found)
        source.problem = ""
    except (SettingsError, OSError) as error:
        if str(error) != source.problem:
            log.error("the configuration is not taken over, the last good one stays in force: %s", error)
        source.problem = str(error)
        if not source.good.version:
            _recall(source)
    source.looked = time.monotonic()


def _take_over(source: Source, found: Text) -> None:
    if found.version == source.refused[0]:
        raise SettingsError(source.refused[1])
    try:
        taken = parse(found.text, found.name, found.revision)
    except SettingsError as error:
        source.refused = found.version, str(error)
        raise
    source.good = InForce(taken, found.version, found.modified)
    forget_made()
    _remember(source, found.text)
    log.info("configuration %s is in force", found.version)


def _read(source: Source) -> Text:
    if not source.url.startswith("git+"):
        file = Path(source.url.removeprefix("file://"))
        seen = file.stat()
        # What is not UTF-8 becomes characters that YAML does not allow.
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
        version = f"{seen.st_mtime_ns}-{seen.st_ino}-{seen.st_size}"
        return Text(version, text, str(file), "", datetime.fromtimestamp(seen.st_mtime, UTC))
    local, revision = folder_and_revision(source.url)
    folder = local if source.url.startswith("git+file:") else _mirror(source)
    commit = repository.commit_of(folder, revision)
    if commit == source.good.version and source.good.modified:
        return Text(commit, "", FILE, commit[:10], source.good.modified)
    text = repository.git(folder, "show", f"{commit}:{FILE}")
    seconds = int(repository.git(folder, "show", "--no-patch", "--format=%ct", commit))
    return Text(commit, text, FILE, commit[:10], datetime.fromtimestamp(seconds, UTC))


def _mirror(source: Source) -> Path:
    """A copy of a remote repository in the data folder, brought up to date when it is old."""
    url = urlsplit(source.url.removeprefix("git+"))._replace(query="").geturl()
    folder = settings().data / f"config-{hashlib.sha256(url.encode()).hexdigest()[:12]}.git"
    if time.monotonic() > source.fetched + FETCH_SECONDS:
        source.trouble = ""
        try:
            repository.fetch(folder) if folder.exists() else repository.clone(url, folder)
        except SettingsError as error:
            source.trouble = str(error)
        # A clone that fails may have taken long.
        source.fetched = time.monotonic()
    if source.trouble:
        raise SettingsError(source.trouble)
    return folder
