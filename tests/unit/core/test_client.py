"""The HTTP client against a small server that misbehaves on purpose."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError, LoginNeeded, Unreachable
from tests.servers.ports import free_port

Answer = tuple[int, Any]


class Script:
    """What the server answers, one after the other; then the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [(200, {})]
        self.seen: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.is_mute = threading.Event()
        # So many bytes of each answer never come.
        self.missing = 0

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            script.seen.append((self.command, self.path, body, dict(self.headers)))
            if script.is_mute.is_set():
                script.is_mute.wait()
                self.close_connection = True
                threading.Event().wait(3)
                return
            status, content = script.next()
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data) + script.missing))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = bool(script.missing)

        do_GET = do_POST = do_PATCH = do_PUT = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_requests_carry_token_query_and_json(url: str, script: Script) -> None:
    script.answers = [(200, {"x": 1})]
    assert Client(url + "/", "secret").post("/path", {"a": "é"}, page=2, nothing=None) == {"x": 1}
    ((method, path, body, headers),) = script.seen
    assert (method, path, json.loads(body)) == ("POST", "/path?page=2", {"a": "é"})
    assert headers["Authorization"] == "Bearer secret"


def test_every_method_gives_the_answers_json_or_none(url: str, script: Script) -> None:
    client = Client(url, "t")
    script.answers = [(200, [1])]
    assert [client.get("/"), client.patch("/", {}), client.put("/", {})] == [[1]] * 3
    script.answers = [(204, b"")]
    assert client.patch("/", {}) is None


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_server_that_is_away_for_a_moment_is_asked_again(url: str, script: Script, status: int) -> None:
    script.answers = [(status, b""), (status, b""), (200, {"x": 1})]
    assert Client(url, "t").post("/", {"a": 1}) == {"x": 1}
    assert len({seen[2] for seen in script.seen}) == 1 and len(script.seen) == 3


def test_a_server_that_stays_away_is_unreachable(url: str, script: Script) -> None:
    script.answers = [(503, {"detail": "the database is busy"})]
    with pytest.raises(Unreachable, match="is not ready: the database is busy"):
        Client(url, "t", retries=1).get("/")
    assert len(script.seen) == 2


def test_no_server_is_unreachable_in_words() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        Client(f"http://127.0.0.1:{free_port()}", "t", retries=1).get("/path")


def test_a_mute_server_is_unreachable_and_a_post_is_not_repeated(url: str, script: Script) -> None:
    script.is_mute.set()
    with pytest.raises(Unreachable, match="does not answer"):
        Client(url, "t", timeout=0.2).post("/path", {"a": 1})
    assert len(script.seen) == 1


def test_a_refused_token_asks_for_a_login(url: str, script: Script) -> None:
    script.answers = [(401, {"detail": "Invalid JWT"})]
    with pytest.raises(LoginNeeded, match="does not accept the token: Invalid JWT"):
        Client(url, "t").get("/")


@pytest.mark.parametrize(
    "detail, words, code",
    [
        ("there is no job 4", "there is no job 4", 1),
        ({"kind": "invalid", "message": "wrong", "diagnostics": []}, "wrong", 34),
        ({"kind": "unsupported", "message": "too new", "diagnostics": []}, "too new", 33),
        ([{"loc": ["query", "page"], "msg": "too small"}], "query.page: too small", 1),
    ],
    ids=str,
)
def test_a_refusal_keeps_status_and_words(
    url: str, script: Script, detail: Any, words: str, code: int
) -> None:
    script.answers = [(422, {"detail": detail})]
    with pytest.raises(ApiError, match=words) as caught:
        Client(url, "t").get("/")
    assert (caught.value.status, caught.value.body, caught.value.exit_code) == (422, detail, code)


@pytest.mark.parametrize("content", [b"<html>proxy</html>", b"", b"\xff\xfe", b"[1]"])
def test_an_error_without_json_is_an_error_in_words(url: str, script: Script, content: bytes) -> None:
    script.answers = [(500, content)]
    with pytest.raises(ApiError) as caught:
        Client(url, "t").get("/")
    assert caught.value.status == 500 and str(caught.value)


def test_a_success_that_is_no_json_is_an_error_in_words(url: str, script: Script) -> None:
    script.answers = [(200, b"<html>login page of a proxy</html>")]
    with pytest.raises((ApiError, Unreachable)):
        Client(url, "t").get("/")


def test_a_download_is_whole_or_not_there(url: str, script: Script, tmp_path: Path) -> None:
    script.answers = [(200, b"content")]
    Client(url, "t").download("/file", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"content"
    script.answers = [(403, {"detail": "expired"})]
    with pytest.raises(ApiError, match="expired"):
        Client(url, "t").download(url + "/file", tmp_path / "y")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("status", [200, 403])
def test_a_download_that_breaks_off_is_unreachable_and_leaves_nothing(
    url: str, script: Script, tmp_path: Path, status: int
) -> None:
    script.answers, script.missing = [(status, b"half")], 4
    words = r"/file broke off: IncompleteRead\(4 bytes read, 4 more expected\)$"
    with pytest.raises(Unreachable, match=words):
        Client(url, "t").download("/file?secret", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [200, 403])
def test_a_stream_that_breaks_off_is_unreachable(url: str, script: Script, status: int) -> None:
    script.answers, script.missing = [(status, b"half")], 4
    with pytest.raises(Unreachable, match="/log broke off"), Client(url, "t").stream("/log") as answer:
        answer.read()


def test_what_a_full_disk_cannot_take_is_not_left_there(url: str, script: Script, tmp_path: Path) -> None:
    script.answers = [(200, b"content")]
    (tmp_path / "x.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        Client(url, "t").download("/file", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_an_upload_sends_the_grants_fields_and_the_file_last(
    url: str, script: Script, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"content")
    script.answers = [(204, b"")]
    Client(url, "t").upload({"url": f"{url}/store", "fields": {"key": "k", "policy": "p"}}, tmp_path / "x")
    ((_, path, body, headers),) = script.seen
    assert path == "/store" and "Authorization" not in headers
    assert body.index(b'name="key"') < body.index(b'name="policy"') < body.index(b'name="file"')


def test_the_environment_states_where_to_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DIRACX_DATA", str(tmp_path))
    monkeypatch.delenv("DIRACX_URL", raising=False)
    monkeypatch.delenv("DIRACX_TOKEN", raising=False)
    with pytest.raises(Unreachable, match="no server is known"):
        Client.from_environment()
    monkeypatch.setenv("DIRACX_URL", "http://x")
    with pytest.raises(LoginNeeded, match="no token"):
        Client.from_environment()
    monkeypatch.setenv("DIRACX_TOKEN", "stated")
    assert (Client.from_environment().url, Client.from_environment().token) == ("http://x", "stated")
    (tmp_path / "client.json").write_text('{"url": "http://stored", "token": "stored"}')
    monkeypatch.delenv("DIRACX_URL")
    monkeypatch.delenv("DIRACX_TOKEN")
    assert (Client.from_environment().url, Client.from_environment().token) == ("http://stored", "stored")


def test_a_stored_token_is_not_sent_to_another_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DIRACX_DATA", str(tmp_path))
    monkeypatch.setenv("DIRACX_URL", "http://elsewhere")
    monkeypatch.delenv("DIRACX_TOKEN", raising=False)
    (tmp_path / "client.json").write_text('{"url": "http://stored", "token": "stored"}')
    with pytest.raises(LoginNeeded):
        Client.from_environment()
