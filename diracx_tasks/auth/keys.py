"""The keys that sign tokens: a JWK set in a setting or a file, made when an embedded server first starts."""

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.settings import settings

log = logging.getLogger(__name__)


class Keys:
    """This process's keys, read again when their file has changed or one of them has expired."""

    def __init__(self) -> None:
        self._kept: tuple[object, float, KeySet] | None = None

    def __call__(self) -> KeySet:
        """All keys that hold; the first that `may_sign` signs."""
        kept, stamp = self._kept, _stamp()
        if kept is not None and kept[0] == stamp and time.time() < kept[1]:
            return kept[2]
        try:
            found = _read()
            until = min((float(key["exp"]) for key in found["keys"] if key.get("exp")), default=float("inf"))
            fresh = KeySet.import_key_set(found)  # type: ignore[arg-type]  # read from JSON
        except (OSError, ValueError, KeyError, TypeError, AttributeError, JoseError) as error:
            words = f"no keys to sign tokens with: {error}; set DIRACX_TOKEN_KEYS"
            if kept is None:
                raise SettingsError(words) from error
            log.error("the keys are not read again, the last good ones stay in force: %s", words)
            until, fresh = time.time() + 5, kept[2]
        self._kept = (stamp, until, fresh)
        return fresh

    def cache_clear(self) -> None:
        """Forget them."""
        self._kept = None


key_set = Keys()


def are_stated() -> bool:
    """Whether the keys stand in the environment itself and not in a file."""
    return settings().token_keys.lstrip().startswith("{")


def signing_key() -> OKPKey:
    """The key that signs."""
    now = time.time()
    for key in key_set().keys:
        if isinstance(key, OKPKey) and may_sign(key, now):
            return key
    raise SettingsError("none of the keys in DIRACX_TOKEN_KEYS may sign: one needs key_ops with 'sign'")


def may_sign(key: Any, now: float) -> bool:
    """Whether a key signs, unless another before it does; a new one waits until all servers know it."""
    return "sign" in (key.get("key_ops") or []) and float(key.get("sign_after") or 0) <= now


def new_key() -> dict[str, Any]:
    """A new key that signs, as a JWK with its private part."""
    key = OKPKey.generate_key("Ed25519", {"key_ops": ["sign", "verify"], "alg": "Ed25519"}, auto_kid=True)
    return key.as_dict(private=True)


def create(file: Path) -> None:
    """Write a new key set unless there is one; readable by its owner only."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone(file):
        if not file.exists():
            write_private(file, json.dumps({"keys": [new_key()]}))


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """One process at a time changes a file; the lock is its folder's, since the file itself is replaced."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write_private(file: Path, text: str) -> None:
    """Replace a file by one with this text and mode 0600, in one step."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    part.replace(file)


def stored() -> dict[str, Any]:
    """The JWK set as it stands in the setting or the file, expired keys and all."""
    text = settings().token_keys if are_stated() else settings().keys_file.read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def _read() -> dict[str, Any]:
    found = stored()
    now = time.time()
    return {**found, "keys": [key for key in found["keys"] if not key.get("exp") or key["exp"] > now]}


def _stamp() -> object:
    """What changes when the keys change."""
    if are_stated():
        return settings().token_keys
    file = settings().keys_file
    try:
        seen = file.stat()
    except OSError:
        return str(file)
    return (str(file), seen.st_mtime_ns, seen.st_ino, seen.st_size)
