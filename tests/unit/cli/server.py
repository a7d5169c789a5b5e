"""A small HTTP server that gives canned answers to the users' routes and keeps uploaded files."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.storing import Storing

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
    """A status and JSON, or bytes as they are; status 0 closes the connection without an answer.

    One that is not whole ends in its middle.
    """

    body: Any = None
    status: int = 200
    is_whole: bool = True


@dataclass
class Server:
    """Answers by route; of several answers to one route each is given once, the last one for ever."""

    answers: dict[tuple[str, str], list[Answer | Callable[[Request], Any]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    store: dict[str, bytes] = field(default_factory=dict)
    # What everybody may read or ask for.
    public: dict[str, Any] = field(default_factory=dict)
    # So many uploads are answered 503.
    busy: int = 0
    # So many downloads end in their middle.
    breaks: int = 0
    # The route whose answer waits until the test goes on.
    pauses: tuple[str, str] | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def pause(self, method: str, path: str) -> None:
        """Wait for the test, where it has said so."""
        if (method, path) == self.pauses:
            self.reached.set()
            self.goes_on.wait(30)

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
        self.pause(request.method, request.path)
        if request.path in self.public:
            found = self.public[request.path]
            made = found(request) if callable(found) else found
            return made if isinstance(made, Answer) else Answer(made)
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


class _Handler(Storing):
    def do_GET(self) -> None:
        """Wait before a file of the store, where the test has said so."""
        if self.path.startswith("/store?"):
            self.state.pause("GET", "/store")
        super().do_GET()

    def do_PATCH(self) -> None:
        """As POST."""
        self.do_POST()

    def do_DELETE(self) -> None:
        """As POST."""
        self.do_POST()

    def keep(self, parts: dict[str, bytes]) -> int:
        """Keep a file, unless the server is busy."""
        if self.state.busy:
            self.state.busy -= 1
            return 503
        return super().keep(parts)

    def answer(self, body: Any) -> None:
        """Answer JSON as the server says, or not at all."""
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, url.path, dict(parse_qsl(url.query)), headers, body)
        answer = self.state.answer(request)
        if answer.status:
            is_raw = isinstance(answer.body, bytes)
            content = answer.body if is_raw else json.dumps(answer.body).encode()
            self.send(answer.status, content, whole=answer.is_whole)
        else:
            self.close_connection = True
