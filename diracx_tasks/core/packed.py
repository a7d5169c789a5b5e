"""Values as they are stored: JSON, compressed where that is worth it."""

import json
import zlib
from typing import Any

import orjson

from diracx_tasks.core.errors import BadRequest

SHORT = 256
# No compressed value begins like this.
JSON_BEGINS = frozenset(bytes([letter]) for letter in b' {["0123456789-tfn')


def packed(value: Any) -> bytes:
    """A value as it is stored: JSON, compressed unless short; BadRequest for what JSON cannot hold."""
    text = plain(value)
    return text if len(text) < SHORT else zlib.compress(text, 1)


def plain(value: Any) -> bytes:
    """A small value as JSON that is not compressed; BadRequest as `packed`."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        return _long_integers(value, error)


def unpacked(data: bytes) -> Any:
    """The inverse of `packed` and of `plain`."""
    text = data if data[:1] in JSON_BEGINS else zlib.decompress(data)
    return json.loads(text) if text.startswith(b" ") else orjson.loads(text)


def _long_integers(value: Any, error: TypeError) -> bytes:
    # orjson holds integers of 64 bits; the space before tells `unpacked` that there is a longer one.
    try:
        return b" " + json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        raise BadRequest(f"a value cannot be stored: {error}") from error
