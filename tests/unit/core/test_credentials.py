"""A login's credentials: the official clients' file, renewed by one process at a time, for one server."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from diracx_tasks.core import credentials
from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import LoginNeeded, Unreachable
from tests.servers import free_port


class Issuer:
    """A server that gives tokens, each refresh token once."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.given = [a_jwt(0)]
        self.asked = 0

    def renew(self, token: str) -> tuple[int, dict[str, Any]]:
        """New tokens for the newest refresh token."""
        self.asked += 1
        if self.status != 200 or token != self.given[-1]:
            return max(self.status, 401), {"detail": "Revoked refresh token reused"}
        self.given.append(a_jwt(len(self.given)))
        return 200, {
            "access_token": f"access-{self.asked}",
            "expires_in": 1200,
            "refresh_token": self.given[-1],
        }


def a_jwt(number: int, exp: float | None = None) -> str:
    claims = {"jti": number, "exp": exp or time.time() + 3600}
    return f"x.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            status, body = made.renew(form["refresh_token"][0])
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the credentials of this test are; nothing else is known of servers."""
    monkeypatch.setenv("DIRACX_CREDENTIALS_PATH", str(tmp_path / "here" / "credentials.json"))
    monkeypatch.setenv("DIRACX_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("DIRACX_URL", raising=False)
    monkeypatch.delenv("DIRACX_TOKEN", raising=False)
    return tmp_path / "here" / "credentials.json"


def logged_in(issuer: Issuer, seconds: float = 1200) -> None:
    tokens = {"access_token": "access-0", "expires_in": seconds, "refresh_token": issuer.given[-1]}
    credentials.write(issuer.url, tokens)


def test_a_login_is_kept_privately_in_the_official_form(issuer: Issuer, file: Path) -> None:
    file.parent.mkdir()
    file.write_text("x" * 5000)
    file.chmod(0o644)
    logged_in(issuer)
    assert file.stat().st_mode & 0o777 == 0o600
    kept = json.loads(file.read_text())
    assert kept["access_token"] == "access-0" and kept["refresh_token"] == issuer.given[0]
    assert 1100 < kept["expires_on"] - time.time() <= 1185


def test_a_token_that_lasts_is_used_and_one_that_does_not_is_renewed(issuer: Issuer) -> None:
    logged_in(issuer)
    assert Client.from_environment().token == "access-0" and issuer.asked == 0
    logged_in(issuer, seconds=250)
    client = Client.from_environment()
    assert client.token == client.token == Client.from_environment().token == "access-1"
    assert issuer.asked == 1 and credentials.read()["refresh_token"] == issuer.given[1]


def test_of_many_at_once_one_renews(issuer: Issuer) -> None:
    logged_in(issuer, seconds=10)
    with ThreadPoolExecutor(12) as pool:
        found = set(pool.map(lambda _: credentials.Login(issuer.url)(), range(12)))
    assert found == {"access-1"} and issuer.asked == 1


def test_a_login_that_has_ended_asks_for_another(issuer: Issuer) -> None:
    logged_in(issuer, seconds=10)
    issuer.status = 401
    with pytest.raises(
        LoginNeeded, match=r"log in again with `diracx login` \(Revoked refresh token reused\)"
    ):
        _ = Client.from_environment().token


def test_while_the_server_is_away_what_still_holds_is_used(issuer: Issuer) -> None:
    logged_in(issuer, seconds=250)
    issuer.status = 503
    assert Client.from_environment().token == "access-0"
    logged_in(issuer, seconds=1)
    with pytest.raises(Unreachable):
        _ = Client.from_environment().token
    issuer.status = 200
    assert Client.from_environment().token.startswith("access-")


def test_a_login_is_for_the_server_that_gave_it(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    logged_in(issuer)
    assert Client.from_environment().url == issuer.url
    monkeypatch.setenv("DIRACX_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(LoginNeeded, match="log in with `diracx login`"):
        Client.from_environment()
    monkeypatch.setenv("DIRACX_URL", f"{issuer.url}/")
    assert Client.from_environment().token == "access-0"


def test_a_login_elsewhere_meanwhile_sends_its_tokens_nowhere_else(issuer: Issuer) -> None:
    here = credentials.Login(issuer.url)
    elsewhere = {"access_token": "theirs", "expires_in": 1200, "refresh_token": issuer.given[-1]}
    for seconds in (1200, 10):
        credentials.write("http://elsewhere.example.org", elsewhere | {"expires_in": seconds})
        with pytest.raises(LoginNeeded, match=r"the login is to http://elsewhere\.example\.org now"):
            here()
    assert issuer.asked == 0 and credentials.read()["access_token"] == "theirs"
    credentials.write(f"{issuer.url}/", elsewhere | {"access_token": "ours"})
    assert here() == "ours"


def test_what_the_official_clients_wrote_is_for_the_stated_server(
    issuer: Issuer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged_in(issuer)
    kept = {name: value for name, value in credentials.read().items() if name != "url"}
    file.write_text(json.dumps(kept))
    with pytest.raises(Unreachable, match="no server is known"):
        Client.from_environment()
    monkeypatch.setenv("DIRACX_URL", issuer.url)
    assert Client.from_environment().token == "access-0"


def test_a_login_comes_before_what_up_has_left_and_after_the_environment(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "client.json").write_text(json.dumps({"url": issuer.url, "token": "left"}))
    assert Client.from_environment().token == "left"
    logged_in(issuer)
    assert Client.from_environment().token == "access-0"
    monkeypatch.setenv("DIRACX_TOKEN", "stated")
    assert Client.from_environment().token == "stated"
    monkeypatch.delenv("DIRACX_TOKEN")
    expired = {"access_token": "x", "expires_in": -60, "refresh_token": a_jwt(1, exp=1)}
    credentials.write(issuer.url, expired)
    assert Client.from_environment().token == "left"


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "{}", '{"access_token": null}'])
def test_a_file_that_is_no_login_is_none(
    issuer: Issuer, file: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    file.write_text(content)
    monkeypatch.setenv("DIRACX_URL", issuer.url)
    with pytest.raises(LoginNeeded):
        Client.from_environment()
    credentials.remove()
    credentials.remove()
    assert credentials.read() == {}
