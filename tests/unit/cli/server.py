"""A small HTTP server that gives canned answers to the users' routes and keeps uploaded files."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Row = dict[str, Any]
STORE = "/S3/bucket/vo/group/alice"


@dataclass(frozen=True)
class Request:
    """What a client has sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """A status and JSON, or bytes as they are; status 0 closes the connection without an answer."""

    body: Any = None
    status: int = 200


@dataclass
class Server:
    """Answers by route; of several answers to one route each is given once, the last one for ever."""

    answers: dict[tuple[str, str], list[Answer | Callable[[Request], Any]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    store: dict[str, bytes] = field(default_factory=dict)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def gives(self, method: str, path: str, *answers: Any) -> None:
        """Answer so from now on; an answer is JSON, an Answer, or a function of the request."""
        self.answers[method, path] = [
            one if isinstance(one, Answer) or callable(one) else Answer(one) for one in answers
        ]

    def asked(self, method: str, path: str) -> list[Request]:
        """What was sent to a route."""
        return [one for one in self.requests if (one.method, one.path) == (method, path)]

    def stored(self, content: bytes, basename: str, **more: Any) -> Row:
        """A File of the store with this content."""
        name = f"{STORE}/sha256:{hashlib.sha256(content).hexdigest()}.file"
        self.store[name] = content
        file = {"class": "File", "location": f"sandbox:{name}", "basename": basename, "size": len(content)}
        return {**file, **more}

    def content(self, file: Row) -> bytes:
        """What the store has under the location of a File."""
        return self.store[file["location"].removeprefix("sandbox:")]

    def answer(self, request: Request) -> Answer:
        """The answer to a request."""
        self.requests.append(request)
        if request.headers.get("authorization") != "Bearer secret":
            return Answer({"detail": "the token does not hold"}, 401)
        if request.path == "/api/jobs/sandbox":
            return Answer(self._sandbox(request))
        answers = self.answers.get((request.method, request.path))
        if not answers:
            return Answer({"detail": f"there is no {request.path} in vo"}, 404)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, Answer):
            return found
        made = found(request)
        return made if isinstance(made, Answer) else Answer(made)

    def _sandbox(self, request: Request) -> Row:
        if request.method == "GET":
            name = request.query["pfn"].removeprefix("SB:SandboxSE|")
            return {"url": f"{self.url}/store?{name}", "expires_in": 300}
        name = f"{STORE}/sha256:{request.body['checksum']}.{request.body['format']}"
        url = None if name in self.store else f"{self.url}/store"
        return {"pfn": f"SB:SandboxSE|{name}", "url": url, "fields": {"key": name}}


@contextmanager
def running() -> Iterator[Server]:
    """A server that listens while the block lasts."""
    server = Server()

    class Handler(_Handler):
        state = server

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body are two packets: without this the second waits for the client's delayed ACK.
    disable_nagle_algorithm = True
    state: Server

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
            parts = _parts(self.headers["Content-Type"], body)
            self.state.store[parts["key"].decode()] = parts["file"]
            self._send(204, b"")
        else:
            self._json(json.loads(body) if body else None)

    def _json(self, body: Any) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, url.path, dict(parse_qsl(url.query)), headers, body)
        answer = self.state.answer(request)
        if answer.status:
            is_raw = isinstance(answer.body, bytes)
            self._send(answer.status, answer.body if is_raw else json.dumps(answer.body).encode())
        else:
            self.close_connection = True

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
