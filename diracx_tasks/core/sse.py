"""Server-sent events as a client reads them (WHATWG HTML, 9.2)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Message(NamedTuple):
    """One event; `last_id` is the newest id that was seen."""

    kind: str
    data: str
    last_id: str


def messages(chunks: Iterable[bytes]) -> Iterator[Message]:
    """The events of a stream, as its parts come in; one that is not complete at its end is none."""
    kind, data, last_id = "message", list[str](), ""
    for line in _lines(chunks):
        if not line:
            if data:
                yield Message(kind, "\n".join(data), last_id)
            kind, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            last_id = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Complete lines, without their ends; ours end with LF alone, proxies leave them so."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode(errors="replace")
