"""Values as they are stored: JSON, compressed."""

import json
import zlib
from typing import Any

import orjson

from diracx_tasks.core.errors import BadRequest


def packed(value: Any) -> bytes:
    """A value as it is stored: JSON, compressed; BadRequest for what JSON cannot hold."""
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        text = _long_integers(value, error)
    return zlib.compress(text, 1)


def unpacked(data: bytes) -> Any:
    """The inverse of `packed`."""
    text = zlib.decompress(data)
    return json.loads(text) if text.startswith(b" ") else orjson.loads(text)


def _long_integers(value: Any, error: TypeError) -> bytes:
    # orjson holds integers of 64 bits; the space before tells `unpacked` that there is a longer one.
    try:
        return b" " + json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        raise BadRequest(f"a value cannot be stored: {error}") from error
