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

# So long a new key is only published: by then servers know it that get the file late, as in a Secret.
DELAY_SECONDS = 600


@dataclass(frozen=True)
class Rotation:
    """What a rotation did: the new key and in how many seconds it signs, how many verify and went."""

    kid: str
    file: Path
    kept: int
    removed: int
    seconds: float


def rotate(*, to: Path | None = None, forget: bool = False, delay: float = DELAY_SECONDS) -> Rotation:
    """Put a new key in front, which signs after the delay; SettingsError when it cannot be written.

    `forget` drops all others at once: every token and every login that they signed ends.
    """
    if to is None and keys.are_stated():
        raise SettingsError(
            "the keys stand in DIRACX_TOKEN_KEYS itself: run this again with `--to FILE`, state that file's "
            "text (or its path) in DIRACX_TOKEN_KEYS for all servers, and restart them"
        )
    file = to or settings().keys_file
    wait = 0 if forget else delay
    try:
        with keys.alone(file):
            before = _present()
            after = rotated(before, now=time.time(), forget=forget, delay=wait)
            keys.write_private(file, json.dumps(after))
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be written ({error.strerror}): run this where it can, or again with `--to FILE`, "
            "and put that file in its place, as into the Secret that is mounted there"
        ) from error
    first, *others = after["keys"]
    return Rotation(first["kid"], file, len(others), len(before["keys"]) - len(others), wait)


def rotated(found: dict[str, Any], *, now: float, forget: bool = False, delay: float = 0) -> dict[str, Any]:
    """The key set with a new key in front and without those that have expired.

    Until it signs, the key that signs now goes on, and those that wait for their turn take it. All get `exp`:
    by then the longest of their tokens has expired.
    """
    held = [] if forget else [key for key in found["keys"] if not key.get("exp") or key["exp"] > now]
    first = keys.new_key() | ({"sign_after": int(now + delay)} if delay else {})
    signs = [key.get("kid") for key in _signing(held, now)] if delay else []
    return {**found, "keys": [first, *(_retired(key, now + delay, signs) for key in held)]}


def _signing(held: list[dict[str, Any]], now: float) -> list[dict[str, Any]]:
    """The key that signs, and those that will do so by themselves."""
    able = [key for key in held if key.get("kty") == "OKP" and keys.may_sign(key, float("inf"))]
    ready = [key for key in able if keys.may_sign(key, now)]
    return [*(key for key in able if key not in ready), *ready[:1]]


def _retired(key: dict[str, Any], end: float, signs: list[str | None]) -> dict[str, Any]:
    operations = key["key_ops"] if key.get("kid") in signs else ["verify"]
    return {**key, "key_ops": operations, "exp": key.get("exp") or int(end + MOST_SECONDS)}


def _present() -> dict[str, Any]:
    try:
        found = keys.stored()
        if not isinstance(found["keys"], list):
            raise ValueError("`keys` is no list")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"there are no keys to rotate: {error}; see DIRACX_TOKEN_KEYS") from error
    return found
