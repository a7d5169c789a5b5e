"""The configuration: DIRAC's CS as YAML in a git repository or a file, the last good one in force.

Sections under `Operations.Defaults` hold for every VO; what stands under `Operations.<VO>` goes over them.
"""

import logging
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.settings import settings

log = logging.getLogger(__name__)
DEFAULTS = "Defaults"
FILE = "default.yml"
# A change is in force after so many seconds at most; a remote repository is asked less often.
CHECK_SECONDS = 2.0
FETCH_SECONDS = 10.0
GIT_SECONDS = 20
# Sections of Operations that a subject has a model for; its `tasks` or `tables` module adds it.
SECTIONS: dict[str, type[BaseModel]] = {}


class Config(BaseModel):
    """What the file says; sections that nobody has a model for are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)

    Registry: dict[str, dict[str, Any]] = Field(default_factory=dict)
    Operations: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def section(self, name: str, vo: str | None = None) -> dict[str, Any]:
        """A section of Operations: the defaults, and over them what the VO states."""
        common = self.Operations.get(DEFAULTS, {}).get(name) or {}
        own = self.Operations.get(vo or DEFAULTS, {}).get(name) or {}
        return merged(common, own)


@dataclass
class Source:
    """Where the configuration comes from, what it said last, and what is wrong with what it says now."""

    url: str
    config: Config = field(default_factory=Config)
    version: str = ""
    problem: str = ""
    looked: float = 0
    fetched: float = 0
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
    found = dict(common)
    for name, value in own.items():
        before = found.get(name)
        is_deep = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[name] = merged(before, value) if is_deep else value  # type: ignore[arg-type]
    return found


def parse(text: str, name: str) -> Config:
    """A configuration from its text; SettingsError says what is wrong and at which path."""
    try:
        found = Config.model_validate(YAML(typ="safe", pure=True).load(text) or {})
    except YAMLError as error:
        raise SettingsError(f"{name}: not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise SettingsError(f"{name}: {_words(error, '')}") from error
    for vo in found.Operations:
        for section, model in SECTIONS.items():
            try:
                model.model_validate(found.section(section, vo))
            except ValidationError as error:
                raise SettingsError(f"{name}: {_words(error, f'Operations.{vo}.{section}.')}") from error
    return found


@lru_cache(2)
def _source(url: str, pid: int) -> Source:
    source = Source(url)
    if url:
        _look(source)
        if not source.version:
            raise SettingsError(f"no configuration: {source.problem}; see DIRACX_CONFIG_BACKEND_URL")
    return source


def _look(source: Source) -> None:
    """Take over what has changed if it is good; else keep what is in force and say so."""
    try:
        version, text, name = _read(source)
        if version != source.version:
            source.config, source.version = parse(text, name), version
            log.info("configuration %s is in force", version)
        source.problem = ""
    except (SettingsError, OSError, subprocess.SubprocessError) as error:
        if str(error) != source.problem:
            log.error("the configuration is not taken over, the last good one stays in force: %s", error)
        source.problem = str(error)
    source.looked = time.monotonic()


def _read(source: Source) -> tuple[str, str, str]:
    """Version, text and name of what the source says now."""
    if not source.url.startswith("git+"):
        file = Path(source.url.removeprefix("file://"))
        seen = file.stat()
        return f"{seen.st_mtime_ns}-{seen.st_ino}-{seen.st_size}", file.read_text(), str(file)
    url = urlsplit(source.url.removeprefix("git+"))
    revision = parse_qs(url.query).get("revision", ["HEAD"])[0]
    folder = url.path if url.scheme == "file" else _mirror(source, url._replace(query="").geturl())
    commit = _git(folder, "rev-parse", "--verify", f"{revision}^{{commit}}").strip()
    text = _git(folder, "show", f"{commit}:{FILE}") if commit != source.version else ""
    return commit, text, f"{FILE} at {commit[:10]}"


def _mirror(source: Source, url: str) -> str:
    """A copy of a remote repository in the data folder, brought up to date when it is old."""
    folder = settings().data / "config.git"
    if not folder.exists():
        part = folder.with_name(f"config.git.{os.getpid()}")
        _git(".", "clone", "--quiet", "--mirror", url, str(part))
        with suppress(OSError):  # another process was quicker: its copy is as good
            part.rename(folder)
    elif time.monotonic() > source.fetched + FETCH_SECONDS:
        _git(str(folder), "fetch", "--quiet", "--prune", "origin")
    source.fetched = time.monotonic()
    return str(folder)


def _git(folder: str, *arguments: str) -> str:
    command = ["git", "-c", "safe.directory=*", "-C", folder, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)
    if done.returncode:
        raise SettingsError(f"git {arguments[0]} in {folder}: {done.stderr.strip()}")
    return done.stdout


def _words(error: ValidationError, prefix: str) -> str:
    found = error.errors()[0]
    return f"{prefix}{'.'.join(str(part) for part in found['loc'])}: {found['msg']}"
