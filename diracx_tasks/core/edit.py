"""Changing the configuration: VOs, users, groups; what would be wrong is not written."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diracx_tasks.core import config, repository
from diracx_tasks.core.document import Config, check, parse
from diracx_tasks.core.errors import BadRequest, Conflict, NotFound, SettingsError
from diracx_tasks.core.insert import append, put
from diracx_tasks.core.registry import VirtualOrganization

# What a change makes of a configuration and its text.
Change = Callable[[Config, str], str]


def add_vo(vo: str, *, default_group: str, idp: dict[str, str] | None) -> Change:
    """A VO with one group of normal users, and its identity provider (`URL`, `ClientID`) if it has one."""

    def change(found: Config, text: str) -> str:
        if vo in found.Registry:
            raise Conflict(f"there is a VO {vo} already")
        entry: dict[str, Any] = {"IdP": idp} if idp else {}
        group = {"Properties": ["NormalUser"], "Users": []}
        entry |= {"DefaultGroup": default_group, "Users": {}, "Groups": {default_group: group}}
        return put(text, ("Registry",), vo, entry)

    return change


def add_group(vo: str, group: str, *, properties: Sequence[str]) -> Change:
    """A group of a VO, with nobody in it."""

    def change(found: Config, text: str) -> str:
        if group in _vo(found, vo).Groups:
            raise Conflict(f"{vo} has a group {group} already")
        entry = {"Properties": list(properties), "Users": []}
        return put(text, ("Registry", vo, "Groups"), group, entry)

    return change


def add_user(vo: str, subject: str, name: str, *, groups: Sequence[str], email: str | None) -> Change:
    """A user of a VO in some of its groups; with none stated, in its default group."""

    def change(found: Config, text: str) -> str:
        registry = _vo(found, vo)
        _refuse_twice(registry, vo, subject, name)
        chosen = list(dict.fromkeys(groups)) or [one for one in (registry.DefaultGroup,) if one]
        for group in chosen:
            if group not in registry.Groups:
                known = ", ".join(registry.Groups) or "none"
                raise NotFound(f"{vo} has no group {group}; its groups: {known}")
        entry = {"PreferedUsername": name, **({"Email": email} if email else {})}
        text = put(text, ("Registry", vo, "Users"), subject, entry)
        for group in chosen:
            text = append(text, ("Registry", vo, "Groups", group, "Users"), subject)
        return text

    return change


def _vo(found: Config, vo: str) -> VirtualOrganization:
    if vo not in found.Registry:
        raise NotFound(f"there is no VO {vo}; there are: {', '.join(found.Registry) or 'none'}")
    return found.Registry[vo]


def _refuse_twice(registry: VirtualOrganization, vo: str, subject: str, name: str) -> None:
    if subject in registry.Users:
        raise Conflict(f"{vo} has the subject {subject} already: {registry.Users[subject].PreferedUsername}")
    if other := registry.subject_of(name):
        raise Conflict(f"{vo} has a user {name} already, with the subject {other}")


def changed(source: config.Text, change: Change) -> str:
    """The text after a change; SettingsError when it was wrong before, BadRequest when it would be."""
    found = change(parse(source.text, source.name, source.revision), source.text)
    result, faults = check(found)
    if result is None:
        raise BadRequest(f"nothing was written: {faults[0].words} ({'.'.join(map(str, faults[0].path))})")
    return found


def apply(url: str, change: Change, message: str) -> str:
    """Change what a source says and answer where it stands now: the file, or the commit that was made.

    Of several at once, each sees what the one before has written.
    """
    if url.startswith("git+") and not url.startswith("git+file:"):
        raise BadRequest(f"{url} is a remote repository: change a clone of it, commit, and push")
    if not url:
        raise SettingsError("no configuration is named: set DIRACX_CONFIG_BACKEND_URL or use --source")
    return (
        _apply_to_repository(url, change, message) if url.startswith("git+") else _apply_to_file(url, change)
    )


def _apply_to_repository(url: str, change: Change, message: str) -> str:
    folder, revision = config.folder_and_revision(url)
    with repository.changing(folder):
        newest = config.newest(url)
        text = changed(newest, change)
        made = repository.commit_file(folder, revision, config.FILE, text, message, parent=newest.version)
    return f"commit {made[:10]} in {folder}"


def _apply_to_file(url: str, change: Change) -> str:
    file = Path(url.removeprefix("file://")).resolve()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        text = changed(config.newest(url), change)
        _replace(file, text)
    finally:
        os.close(folder)
    return str(file)


def _replace(file: Path, text: str) -> None:
    """Another text in a file, at once or not at all; whose it is and who may read it stays."""
    seen = file.stat()
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}.", delete=False) as part:
        try:
            part.write(text)
            part.flush()
            os.fchmod(part.fileno(), seen.st_mode)
            if os.geteuid() == 0:
                os.fchown(part.fileno(), seen.st_uid, seen.st_gid)
            os.fsync(part.fileno())
            Path(part.name).replace(file)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
