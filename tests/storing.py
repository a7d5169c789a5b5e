"""The HTTP side of small servers of tests: files are posted to /store and fetched there; the rest is JSON."""

import json
import re
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl


class Storing(BaseHTTPRequestHandler):
    """`state.store` has the files by their keys; how JSON is answered says who inherits this."""

    protocol_version = "HTTP/1.1"
    # Header and body are two packets: without this the second waits for the client's delayed ACK.
    disable_nagle_algorithm = True
    state: Any

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """A file, or what JSON is answered with."""
        if self.path.startswith("/store?"):
            content = self.state.store.get(self.path.partition("?")[2])
            self.send(404 if content is None else 200, content or b"", whole=self._is_whole())
        else:
            self.answer(None)

    def do_POST(self) -> None:
        """Keep a file, or answer JSON."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/store":
            self.send(self.keep(_parts(self.headers["Content-Type"], body)), b"")
        else:
            self.answer(self.understood(body))

    def understood(self, body: bytes) -> Any:
        """What JSON or a form says; None of nothing."""
        if self.headers.get("Content-Type") == "application/x-www-form-urlencoded":
            return dict(parse_qsl(body.decode()))
        return json.loads(body) if body else None

    def keep(self, parts: dict[str, bytes]) -> int:
        """Keep the file of a form under its key; the answer's status."""
        self.state.store[parts["key"].decode()] = parts["file"]
        return 204

    def answer(self, body: Any) -> None:
        """Answer JSON."""
        raise NotImplementedError

    def send(self, status: int, content: bytes, *, whole: bool = True) -> None:
        """Send an answer, or half of it before the line breaks."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if whole else content[: len(content) // 2])
        self.close_connection = self.close_connection or not whole

    def _is_whole(self) -> bool:
        self.state.breaks -= 1
        return bool(self.state.breaks < 0)


def _parts(content_type: str, body: bytes) -> dict[str, bytes]:
    boundary = content_type.partition("boundary=")[2].encode()
    parts = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        assert name is not None
        parts[name[1].decode()] = content.removesuffix(b"\r\n")
    return parts
