"""`diracx login`: a browser opens where there is one; else address and code are shown."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Run, Terminals, json_of
from tests.unit.cli.server import Answer, Server

PAGE = "http://login.example.org/device?user_code=ABCD"
NOT_YET = Answer({"error": "authorization_pending"}, 400)
SCREENS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "SSH_TTY")


@pytest.fixture
def answers(environment: None, server: Server, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the server says to those who ask for tokens: these first, then always the last."""
    for name in (*SCREENS, "DIRACX_CREDENTIALS_PATH"):
        monkeypatch.delenv(name, raising=False)
    tokens = {"access_token": "secret", "refresh_token": "more", "expires_in": 1200}
    found: list[Any] = [NOT_YET, tokens]
    codes = {"device_code": "d", "user_code": "ABCD", "verification_uri_complete": PAGE}
    me = {"preferred_username": "alice", "vo": "lhcb", "dirac_group": "user"}
    server.public = {
        "/.well-known/dirac-metadata": {"virtual_organizations": {"lhcb": {"groups": {}}}},
        "/api/auth/device": {**codes, "expires_in": 600, "interval": 0.05},
        "/api/auth/token": lambda _: found.pop(0) if len(found) > 1 else found[0],
        "/api/auth/userinfo": me,
    }
    return found


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the browser of BROWSER writes down what it opens; it stays open."""
    opened, program = tmp_path / "opened", tmp_path / "browser"
    program.write_text(
        f'#!/bin/sh\necho "$1" > {opened}.part; mv {opened}.part {opened}; exec sleep 3 <&- >&- 2>&-\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    return opened


def test_a_browser_opens_and_nobody_waits_for_its_end(
    answers: list[Any], browser: Path, terminals: Terminals
) -> None:
    answers[:] = [NOT_YET]
    terminal = terminals.run("login")
    assert terminal.shows("Your browser opens") and terminal.shows("compare the code: ABCD")
    assert terminal.shows("waiting for you there, 10 min at most")
    while not browser.exists():
        time.sleep(0.02)
    answers[:] = [{"access_token": "secret", "refresh_token": "more", "expires_in": 1200}]

    assert terminal.ends() == 0
    assert "alice is logged in to lhcb as user" in terminal.text
    assert browser.read_text() == f"{PAGE}\n"


@pytest.mark.parametrize("how", ["--no-browser", "ssh", "no screen"])
def test_the_address_is_shown_where_no_browser_can_be_seen(
    answers: list[Any], browser: Path, terminals: Terminals, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how != "--no-browser":
        monkeypatch.delenv("BROWSER")
    if how == "ssh":
        monkeypatch.setenv("DISPLAY", "localhost:10")
        monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 5 10.0.0.2 22")
    terminal = terminals.run("login", *([how] if how.startswith("--") else []))

    assert terminal.ends() == 0
    assert f"Open  {PAGE}" in terminal.text and not browser.exists()


def test_a_script_gets_no_browser_and_no_bar(answers: list[Any], browser: Path, diracx: Run) -> None:
    result = diracx("login")

    assert result.exit_code == 0
    assert result.stderr == f"Open  {PAGE}\nand compare the code: ABCD\n"
    assert not browser.exists()


def test_ctrl_c_gives_up_politely_and_keeps_the_login_before(
    answers: list[Any], terminals: Terminals
) -> None:
    answers[:] = [NOT_YET]
    kept = Path(os.environ["HOME"]) / ".cache" / "diracx" / "credentials.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    terminal = terminals.run("login")
    terminal.shows("waiting for you there")
    terminal.press_ctrl_c()

    assert terminal.ends() == 130
    assert "not logged in; what was before holds" in terminal.text and "Traceback" not in terminal.text
    assert kept.read_text() == "{}"


def test_who_one_is_is_said_in_words_or_as_json(diracx: Run, server: Server) -> None:
    me = {"sub": "lhcb:a", "preferred_username": "alice", "vo": "lhcb", "dirac_group": "user"}
    server.gives("GET", "/api/auth/userinfo", {**me, "properties": ["NormalUser"]})
    table = diracx("whoami", "-o", "table").stdout
    assert [line.split() for line in table.splitlines()] == [
        ["User", "alice"],
        ["VO", "lhcb"],
        ["Group", "user"],
        ["Properties", "NormalUser"],
    ]
    assert json_of(diracx("whoami"))["sub"] == "lhcb:a"
