"""New keys for signing tokens; those before them verify until what they signed has expired."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diracx_tasks.auth import keys
from diracx_tasks.auth.tokens import MOST_SECONDS
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.settings import settings


@dataclass(frozen=True)
class Rotation:
    """What a rotation did: which key signs now, and how many verify and went."""

    kid: str
    file: Path
    kept: int
    removed: int


def rotate(*, to: Path | None = None, forget: bool = False) -> Rotation:
    """Put a new key in front; SettingsError says what to do when the keys cannot be written where they are.

    `forget` drops all others at once: every token and every login that they signed ends.
    """
    before = _present()
    after = rotated(before, now=time.time(), forget=forget)
    file = to or settings().keys_file
    if to is None and keys.are_stated():
        raise SettingsError(
            "the keys stand in DIRACX_TOKEN_KEYS itself: run this again with `--to FILE`, state that file's "
            "text (or its path) in DIRACX_TOKEN_KEYS for all servers, and restart them"
        )
    try:
        keys.write_private(file, json.dumps(after))
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be written ({error.strerror}): run this where it can, or again with `--to FILE`, "
            "and put that file in its place, as into the Secret that is mounted there"
        ) from error
    first, *others = after["keys"]
    return Rotation(first["kid"], file, len(others), len(before["keys"]) - len(others))


def rotated(found: dict[str, Any], *, now: float, forget: bool = False) -> dict[str, Any]:
    """The key set with a new key in front and without those that have expired.

    A key that no longer signs gets `exp`: by then the longest of its tokens has expired.
    """
    others = [] if forget else [_retired(key, now) for key in found["keys"]]
    return {**found, "keys": [keys.new_key(), *(key for key in others if key["exp"] > now)]}


def _retired(key: dict[str, Any], now: float) -> dict[str, Any]:
    return {**key, "key_ops": ["verify"], "exp": key.get("exp") or int(now + MOST_SECONDS)}


def _present() -> dict[str, Any]:
    try:
        found = keys.stored()
        if not isinstance(found["keys"], list):
            raise ValueError("`keys` is no list")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"there are no keys to rotate: {error}; see DIRACX_TOKEN_KEYS") from error
    return found
