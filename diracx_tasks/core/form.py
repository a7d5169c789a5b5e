"""A file in a form, as presigned uploads want it: read as it is sent, never whole in memory."""

import os
from collections.abc import Callable, Mapping
from typing import BinaryIO
from uuid import uuid4

# Is told how many bytes went or came; fewer than none when an upload begins again.
Told = Callable[[int], None]
ENDS = {'"': "%22", "\r": "%0D", "\n": "%0A"}


def untold(_: int) -> None:
    """Nobody is told how many bytes have gone."""


class Form:
    """The body of a `multipart/form-data` request (RFC 7578) with one file at its end."""

    def __init__(self, fields: Mapping[str, str], name: str, file: BinaryIO, told: Told) -> None:
        border = uuid4().hex
        parts = [
            f'--{border}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in fields.items()
        ]
        shown = "".join(ENDS.get(letter, letter) for letter in name)
        parts.append(
            f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{shown}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head = "".join(parts).encode(errors="surrogateescape")
        self._tail = f"\r\n--{border}--\r\n".encode()
        self._file, self._told, self._at, self._sent = file, told, 0, 0
        self._size = os.fstat(file.fileno()).st_size
        length = len(self._head) + self._size + len(self._tail)
        kind = f"multipart/form-data; boundary={border}"
        self.headers = {"Content-Type": kind, "Content-Length": str(length)}

    def read(self, size: int = -1) -> bytes:
        """The next bytes, no more than `size`; none at the end."""
        start, end = len(self._head), len(self._head) + self._size
        wanted = end + len(self._tail) if size < 0 else size
        if self._at < start:
            data = self._head[self._at : self._at + wanted]
        elif self._at < end:
            self._file.seek(self._at - start)
            data = self._file.read(min(wanted, end - self._at))
            self._sent += len(data)
            self._told(len(data))
        else:
            data = self._tail[self._at - end : self._at - end + wanted]
        self._at += len(data)
        return data

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, at: int) -> None:
        """Go back, as a repeated request does."""
        self._told(-self._sent)
        self._at, self._sent = at, 0
