"""How the pilots' routes are reached: the HTTP side of the small server."""

import json
import re
from http.server import BaseHTTPRequestHandler
from typing import Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body are two packets: without this the second waits for the client's delayed ACK.
    disable_nagle_algorithm = True
    state: Any

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path.startswith("/store?"):
            content = self.state.store.get(self.path.partition("?")[2])
            self._send(404 if content is None else 200, content or b"")
        else:
            self._json(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/store":
            self.state.requests.append("POST /store")
            parts = _parts(self.headers["Content-Type"], body)
            self.state.store[parts["key"].decode()] = parts["file"]
            self._send(204, b"")
        else:
            self._json(json.loads(body) if body else None)

    do_PATCH = do_POST

    def _json(self, body: Any) -> None:
        if self.headers["Authorization"] != f"Bearer {self.state.token}":
            self._send(401, b'{"detail": "the token does not hold"}')
            return
        status, answer = self.state.answer(self.command, self.path, body)
        self._send(status, b"" if answer is None else json.dumps(answer).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _parts(content_type: str, body: bytes) -> dict[str, bytes]:
    boundary = content_type.partition("boundary=")[2].encode()
    parts = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        assert name is not None
        parts[name[1].decode()] = content.removesuffix(b"\r\n")
    return parts
