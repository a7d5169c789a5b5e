"""JSON, one value a line: what goes through the pipe between the isolate and its parent."""

import json
from typing import Any

import orjson


def written(value: Any) -> bytes:
    """A value as one line without its end; what JSON does not have becomes text."""
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError:
        # Integers beyond 64 bits, halves of characters, names that are no text: the space tells `read`.
        return b" " + json.dumps(value, default=_plain).encode()


def read(line: bytes) -> Any:
    """The inverse of `written`; ValueError for what is no JSON."""
    return json.loads(line) if line.startswith(b" ") else orjson.loads(line)


def _plain(value: object) -> object:
    return float(value) if isinstance(value, float) else str(value)
