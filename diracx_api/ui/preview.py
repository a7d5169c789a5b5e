"""What is shown of a file in a page: text, JSON and pictures; everything else is only to be downloaded."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import orjson

# By how they begin: what a file is called says nothing.
PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
PICTURE_BYTES = 5_000_000
TEXT_BYTES, JSON_BYTES = 64 * 1024, 256 * 1024
# What no text has: all that steers a terminal but line ends, tabs and colours.
STEERING = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
WHITE = b" \t\r\n"
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}:,]|[^][{}:,"\s]+')
OPENS, CLOSES = ("{", "["), ("}", "]")
DEEPEST = 200


class Preview(NamedTuple):
    """`kind` is text, json, picture or none; `words` say what is left out, or why there is nothing."""

    kind: str
    text: str = ""
    words: str = ""


def picture_kind(data: bytes) -> str | None:
    """The media type of a picture that browsers show without harm; None for everything else."""
    return next((kind for kind, begin in PICTURES.items() if data.startswith(begin)), None)


def preview(data: bytes, size: int) -> Preview:
    """What is to be shown of a file of `size` bytes, whose first JSON_BYTES these are."""
    if picture_kind(data):
        is_large = size > PICTURE_BYTES
        words = f"a picture of more than {PICTURE_BYTES // 1_000_000} MB is not shown" if is_large else ""
        return Preview("none" if is_large else "picture", words=words)
    if size <= JSON_BYTES and (pretty := _pretty(data)):
        return _cut("json", pretty)
    text = _text(data)
    if text is None:
        return Preview("none", words="it is neither text nor a picture")
    return _cut("text", text) if len(data) >= size else _cut("text", text, size)


def _pretty(data: bytes) -> str:
    """JSON with line ends, its values as they are written; empty when it is none, or too deep.

    Of what is longer than is shown the beginning.
    """
    if data.lstrip(WHITE)[:1] not in (b"{", b"["):
        return ""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return ""
    parts, length = [], 0
    for part, depth in _laid_out(data.decode()):
        parts.append(part)
        length += len(part)
        if depth > DEEPEST:
            return ""
        if length > TEXT_BYTES:
            break
    return "".join(parts)


def _laid_out(text: str) -> Iterator[tuple[str, int]]:
    """The parts of JSON that is known to be right, and how deep each is."""
    depth, before = 0, ""
    for part in TOKEN.findall(text):
        depth -= part in CLOSES
        # What is empty stays in one line.
        if before == "," or (before in OPENS) != (part in CLOSES):
            yield "\n" + "  " * depth, depth
        yield (": " if part == ":" else part), depth
        depth += part in OPENS
        before = part


def _text(data: bytes) -> str | None:
    """The text; what a cut has broken at its end is left out. None when it is something else."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if error.start < len(data) - 3:
            return None
        text = data[: error.start].decode()
    return None if STEERING.search(text) else text


def _cut(kind: str, text: str, size: int = 0) -> Preview:
    if len(text) <= TEXT_BYTES and not size:
        return Preview(kind, text)
    return Preview(kind, text[:TEXT_BYTES], f"only the first {TEXT_BYTES // 1024} KiB are shown")
