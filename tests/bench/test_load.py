"""The load generator and what it asks, on a small server whose answers are known."""

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from tests.bench.load import Answer, Target, ask, press
from tests.bench.operations import FEWEST_RUNNING, OPERATIONS, Contents, Operation
from tests.servers import free_port


class Handler(BaseHTTPRequestHandler):
    """Answers by the path, and keeps what it was asked and over how many connections."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, str, bytes]]] = []
    connections: ClassVar[set[int]] = set()
    running: ClassVar[list[int]] = []
    # A port may come again, the number of a connection does not.
    numbers: ClassVar[Iterator[int]] = itertools.count()

    def setup(self) -> None:
        self.number = next(self.numbers)
        super().setup()

    def do_GET(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, body))
        self.connections.add(self.number)
        status, _, manner = self.path.strip("/").partition("-")
        if self.path.startswith("/api"):
            status, manner = ("201" if self.path == "/api/jobs/jdl" else "200"), ""
        if manner == "drop":
            self.close_connection = True
            return
        self.send_response(int(status))
        if manner == "close":
            self.send_header("Connection", "close")
        content = self._content(body)
        if manner == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\n" + content[:3] + b"\r\n%x\r\n" % len(content[3:]) + content[3:])
            self.wfile.write(b"\r\n0\r\n\r\n")
            return
        if status != "304":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(b"" if status == "304" else content)

    do_POST = do_PATCH = do_GET

    def _content(self, body: bytes) -> bytes:
        if self.path == "/api/jobs/jdl":
            first = len(self.running) + 1
            self.running.extend(range(first, first + len(json.loads(body))))
            return json.dumps([{"JobID": number} for number in self.running[first - 1 :]]).encode()
        if self.path.startswith("/api/jobs/search"):
            return json.dumps([{"JobID": number} for number in self.running]).encode()
        return b'{"detail": "as asked"}'

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def target() -> Iterator[Target]:
    """The server's address."""
    for kept in (Handler.asked, Handler.connections, Handler.running):
        kept.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Target(f"http://127.0.0.1:{server.server_port}", "a-token")
    server.shutdown()
    server.server_close()
    thread.join()


def named(name: str) -> Operation:
    return next(one for one in OPERATIONS if one.name == name)


def wrong(answer: Answer) -> str:
    return "" if answer.status == 200 else str(answer)


@pytest.mark.parametrize("manner", ["plain", "chunked", "close"])
def test_an_answer_comes_whole_however_it_is_sent(target: Target, manner: str) -> None:
    answer = ask(target, target.request("GET", f"/200-{manner}"))
    assert (answer.status, answer.content) == (200, b'{"detail": "as asked"}')


def test_an_answer_without_a_body_is_not_waited_for(target: Target) -> None:
    assert ask(target, target.request("GET", "/304-plain")).content == b""


@pytest.mark.parametrize("manner", ["plain", "chunked"])
def test_a_connection_is_kept_for_all_requests(target: Target, manner: str) -> None:
    request = target.request("GET", f"/200-{manner}")
    load = press(target, lambda: request, wrong=wrong, connections=3, seconds=0.5)
    assert len(load.latencies) == len(Handler.asked) > 3
    assert len(Handler.connections) == 3


def test_a_connection_that_the_server_closes_is_made_again(target: Target) -> None:
    request = target.request("GET", "/200-close")
    load = press(target, lambda: request, wrong=wrong, connections=1, seconds=0.5)
    assert load.errors == 0
    assert len(Handler.connections) == len(load.latencies) > 1


def test_other_answers_are_errors_and_the_first_is_kept(target: Target) -> None:
    requests = iter([target.request("GET", f"/{status}-plain") for status in (200, 404, 500, 200)])
    load = press(target, lambda: next(requests), wrong=wrong, connections=4, seconds=0)
    assert (len(load.latencies), load.errors) == (2, 2)
    assert load.first_error in ('404: {"detail": "as asked"}', '500: {"detail": "as asked"}')


def test_no_answer_is_an_error(target: Target) -> None:
    request = target.request("GET", "/200-drop")
    load = press(target, lambda: request, wrong=wrong, connections=2, seconds=0)
    assert (load.latencies, load.errors) == ([], 2)
    assert load.first_error.startswith("no answer: IncompleteReadError")


def test_a_server_that_is_away_is_an_error() -> None:
    away = Target(f"http://127.0.0.1:{free_port()}", "")
    assert ask(away, away.request("GET", "/")).status == 0


def test_jobs_that_are_missing_are_submitted_and_started(target: Target) -> None:
    contents = Contents(target)
    assert len(set(contents.running)) == FEWEST_RUNNING
    changes = [json.loads(body) for method, path, body in Handler.asked if path.endswith("force=true")]
    assert sorted(int(job) for change in changes for job in change) == sorted(contents.running)


@pytest.mark.parametrize(("name", "items"), [("heartbeat, 100 a call", 100), ("status, 1000 a call", 1000)])
def test_calls_go_round_all_jobs_before_one_comes_again(target: Target, name: str, items: int) -> None:
    contents = Contents(target)
    prepared = named(name).prepare(contents)
    assert prepared.items == items
    bodies = [json.loads(prepared.make().partition(b"\r\n\r\n")[2]) for _ in range(FEWEST_RUNNING // items)]
    assert sorted(int(job) for body in bodies for job in body) == sorted(contents.running)


@pytest.mark.parametrize("name", ["search, ever new", "summary, ever new"])
def test_what_is_ever_new_can_not_be_remembered(target: Target, name: str) -> None:
    prepared = named(name).prepare(Contents(target))
    assert len({prepared.make() for _ in range(1000)}) == 1000


def test_every_submission_has_an_id_of_its_own(target: Target) -> None:
    prepared = named("submit in bulk").prepare(Contents(target))
    assert prepared.items == 1000
    assert len({prepared.make() for _ in range(10)}) == 10


def test_an_answer_with_the_wrong_content_is_found_in_the_warm_up() -> None:
    one_job = named("search, one job")
    assert one_job.wrong_within(Answer(200, b'[{"JobID": 7}]'), 1) == ""
    assert one_job.wrong_within(Answer(200, b"[]"), 1) == "not what was asked for: 200: []"
    partly = Answer(200, b'{"success": {}, "failed": {"7": {"detail": "Not found"}}}')
    assert named("status, 1 job").wrong(partly) == ""
    assert "Not found" in named("status, 1 job").wrong_within(partly, 1)
