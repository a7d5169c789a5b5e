"""The keys that sign tokens: a JWK set in a setting or a file, made when an embedded server first starts."""

import json
import os
from functools import lru_cache
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.settings import settings


@lru_cache(1)
def key_set() -> KeySet:
    """All keys; the first whose `key_ops` hold "sign" signs."""
    given = settings().token_keys
    try:
        text = given if given.lstrip().startswith("{") else settings().keys_file.read_text()
        return KeySet.import_key_set(json.loads(text))
    except (OSError, ValueError, KeyError, JoseError) as error:
        raise SettingsError(f"no keys to sign tokens with: {error}; set DIRACX_TOKEN_KEYS") from error


def signing_key() -> OKPKey:
    """The key that signs."""
    for key in key_set().keys:
        if isinstance(key, OKPKey) and "sign" in (key.get("key_ops") or []):
            return key
    raise SettingsError("none of the keys in DIRACX_TOKEN_KEYS may sign: one needs key_ops with 'sign'")


def create(file: Path) -> None:
    """Write a new key set unless there is one; readable by its owner only."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = OKPKey.generate_key("Ed25519", {"key_ops": ["sign", "verify"], "alg": "Ed25519"}, auto_kid=True)
    write_private(file, json.dumps({"keys": [key.as_dict(private=True)]}))


def write_private(file: Path, text: str) -> None:
    """Replace a file by one with this text and mode 0600, in one step."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    part.replace(file)
