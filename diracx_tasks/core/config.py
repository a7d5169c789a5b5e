"""The configuration: DIRAC's CS as YAML in a git repository or a file, the last good one in force.

Sections under `Operations.Defaults` hold for every VO; what stands under `Operations.<VO>` goes over them.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.registry import VirtualOrganization
from diracx_tasks.core.settings import settings

log = logging.getLogger(__name__)
Model = TypeVar("Model", bound=BaseModel)
DEFAULTS = "Defaults"
FILE = "default.yml"
# A change is in force after so many seconds at most; a remote repository is asked less often.
CHECK_SECONDS = 2.0
FETCH_SECONDS = 10.0
# Whoever asks for the configuration may wait for so long: a beat leads no more after 8 s of silence.
GIT_SECONDS = 5
CLONE_SECONDS = 120
# Sections of Operations that a subject has a model for; its `tasks` or `tables` module adds it.
SECTIONS: dict[str, type[BaseModel]] = {}
# Keys of which a VO's one goes over any other of the defaults, as `cron` over `every`.
ALTERNATIVES: list[frozenset[str]] = []


class Config(BaseModel):
    """What the file says; sections that nobody has a model for are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)

    Registry: dict[str, VirtualOrganization] = Field(default_factory=dict)
    Operations: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def section(self, name: str, vo: str | None = None) -> Any:
        """A section of Operations: the defaults, and over them what the VO states."""
        common = self.Operations.get(DEFAULTS, {}).get(name)
        own = self.Operations.get(vo or DEFAULTS, {}).get(name)
        return merged({name: {} if common is None else common}, {} if own is None else {name: own})[name]

    # What was worked out of a configuration is kept under it.
    __hash__ = object.__hash__


@dataclass
class Source:
    """Where the configuration comes from, what it said last, and what is wrong with what it says now."""

    url: str
    config: Config = field(default_factory=Config)
    version: str = ""
    problem: str = ""
    looked: float = 0
    # When a remote repository was last asked, and why in vain.
    fetched: float = float("-inf")
    trouble: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


def config() -> Config:
    """The configuration in force; SettingsError when there has never been a good one."""
    source = _source(settings().config_backend_url, os.getpid())
    if source.url and time.monotonic() > source.looked + CHECK_SECONDS and source.lock.acquire(False):
        try:
            _look(source)
        finally:
            source.lock.release()
    return source.config


def version() -> str:
    """What changes when the configuration in force changes."""
    config()
    return _source(settings().config_backend_url, os.getpid()).version


def problem() -> str:
    """What is wrong with the newest configuration, which is then not in force; empty when nothing is."""
    config()
    return _source(settings().config_backend_url, os.getpid()).problem


def vos() -> list[str]:
    """The VOs of this installation."""
    return sorted(config().Registry) or [settings().vo]


def merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`common` with `own` over it, mapping by mapping."""
    replaced = {name for group in ALTERNATIVES if group & own.keys() for name in group}
    found = {name: value for name, value in common.items() if name not in replaced}
    for name, value in own.items():
        before = found.get(name)
        is_deep = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[name] = merged(before, value) if is_deep else value  # type: ignore[arg-type]
    return found


def parse(text: str, name: str) -> Config:
    """A configuration from its text; SettingsError says what is wrong and at which path."""
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise SettingsError(f"{name}: not YAML: {' '.join(str(error).split())}") from error
    if found is None:
        # An editor that writes in place empties the file first.
        raise SettingsError(f"{name}: it is empty; for a configuration that says nothing, state `{{}}`")
    config = _valid(Config, found, name, "")
    # The defaults first: what is wrong there is not every VO's.
    for vo in sorted(config.Operations, key=lambda one: (one != DEFAULTS, one)):
        for section, model in SECTIONS.items():
            _valid(model, config.section(section, vo), name, f"Operations.{vo}.{section}")
    return config


@lru_cache(2)
def _source(url: str, pid: int) -> Source:
    source = Source(url)
    if url:
        _look(source)
        if not source.version and not _recall(source):
            raise SettingsError(f"no configuration: {source.problem}; see DIRACX_CONFIG_BACKEND_URL")
    return source


def _good_file(source: Source) -> Path:
    return settings().data / f"config-{hashlib.sha256(source.url.encode()).hexdigest()[:12]}.good"


def _remember(source: Source, text: str) -> None:
    """Leave the last good one for processes that start while the newest is refused."""
    file = _good_file(source)
    part = file.with_name(f"{file.name}.{os.getpid()}")
    with suppress(OSError):
        part.write_text(json.dumps({"version": source.version, "text": text}))
        part.replace(file)


def _recall(source: Source) -> bool:
    """Put the last good one in force that a process on this machine has seen; False when there is none."""
    try:
        kept = json.loads(_good_file(source).read_text())
        source.config, source.version = parse(kept["text"], "the last good configuration"), kept["version"]
    except (OSError, ValueError, KeyError, SettingsError):
        return False
    return True


def _look(source: Source) -> None:
    """Take over what has changed if it is good; else keep what is in force and say so."""
    try:
        version, text, name = _read(source)
        if version != source.version:
            source.config, source.version = parse(text, name), version
            _remember(source, text)
            log.info("configuration %s is in force", version)
        source.problem = ""
    except (SettingsError, OSError) as error:
        if str(error) != source.problem:
            log.error("the configuration is not taken over, the last good one stays in force: %s", error)
        source.problem = str(error)
    source.looked = time.monotonic()


def _read(source: Source) -> tuple[str, str, str]:
    """Version, text and name of what the source says now."""
    if not source.url.startswith("git+"):
        file = Path(source.url.removeprefix("file://"))
        seen = file.stat()
        # What is not UTF-8 becomes characters that YAML does not allow.
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
        return f"{seen.st_mtime_ns}-{seen.st_ino}-{seen.st_size}", text, str(file)
    url = urlsplit(source.url.removeprefix("git+"))
    revision = parse_qs(url.query).get("revision", ["HEAD"])[0]
    folder = url.path if url.scheme == "file" else _mirror(source, url._replace(query="").geturl())
    commit = _git(folder, "rev-parse", "--verify", f"{revision}^{{commit}}").strip()
    text = _git(folder, "show", f"{commit}:{FILE}") if commit != source.version else ""
    return commit, text, f"{FILE} at {commit[:10]}"


def _mirror(source: Source, url: str) -> str:
    """A copy of a remote repository in the data folder, brought up to date when it is old."""
    folder = settings().data / f"config-{hashlib.sha256(url.encode()).hexdigest()[:12]}.git"
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(part, ignore_errors=True)
        _git(".", "clone", "--quiet", "--mirror", url, str(part), seconds=CLONE_SECONDS)
        with suppress(OSError):  # another process was quicker: its copy is as good
            part.rename(folder)
        shutil.rmtree(part, ignore_errors=True)
        source.fetched = time.monotonic()
    elif time.monotonic() > source.fetched + FETCH_SECONDS:
        source.fetched, source.trouble = time.monotonic(), ""
        try:
            _fetch(folder)
        except SettingsError as error:
            source.trouble = str(error)
    if source.trouble:
        raise SettingsError(source.trouble)
    return str(folder)


def _fetch(folder: Path) -> None:
    with (folder / "fetching").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another process is at it: what it brings is seen at the next look
        _git(str(folder), "fetch", "--quiet", "--prune", "origin")


def _git(folder: str, *arguments: str, seconds: float = GIT_SECONDS) -> str:
    command = ["git", "-c", "safe.directory=*", "-C", folder, *arguments]
    # It must not ask for a password on the terminal.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SettingsError(f"git {arguments[0]} in {folder}: no end within {seconds:g} s") from error
    if done.returncode:
        raise SettingsError(f"git {arguments[0]} in {folder}: {done.stderr.strip()}")
    return done.stdout


def _valid(model: type[Model], found: object, name: str, path: str) -> Model:
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (path, *first["loc"]) if part != "")
        raise SettingsError(f"{name}: {place or 'all of it'}: {first['msg']}") from error
