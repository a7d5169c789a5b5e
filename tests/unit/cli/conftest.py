"""Fixtures of the command line's tests: a server, and the command itself in this process or at a terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from diracx_tasks.cli.main import cli
from tests.unit.cli.server import Answer, Server, running

Run = Callable[..., Result]
Refused = Callable[..., Result]
Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for users."""
    with running() as one:
        yield one


@pytest.fixture
def environment(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which `diracx` finds the server; the working folder is empty."""
    monkeypatch.setenv("DIRACX_URL", server.url)
    monkeypatch.setenv("DIRACX_TOKEN", "secret")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[3]), *sys.path]))
    for name in ("DIRACX_OUTPUT", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture
def diracx(environment: None) -> Run:
    """Runs `diracx` with arguments; stdout and stderr are pipes."""

    def run(*arguments: object, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(cli, [str(one) for one in arguments], input=stdin, prog_name="diracx")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return run


def json_of(result: Result) -> Any:
    """What a command that must have succeeded has printed as JSON."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def submit(diracx: Run, server: Server) -> Submit:
    """Submits, and gives the body that has arrived."""

    def run(*arguments: object) -> dict[str, Any]:
        server.gives(
            "POST", "/api/workflows", Answer({"workflow_id": 1, "name": "x", "status": "Received"}, 201)
        )
        result = diracx("workflows", "submit", *arguments)
        assert result.exit_code == 0, result.output
        body: dict[str, Any] = server.asked("POST", "/api/workflows")[-1].body
        return body

    return run


@pytest.fixture
def refused(diracx: Run, server: Server) -> Refused:
    """Submits what must not reach the server."""

    def run(*arguments: object) -> Result:
        result = diracx("workflows", "submit", *arguments)
        assert not server.requests
        return result

    return run


@dataclass
class Terminal:
    """`diracx` as a person sees it."""

    process: subprocess.Popen[bytes]
    screen: int
    seen: bytes = b""

    @property
    def text(self) -> str:
        """Everything written so far."""
        return self.seen.decode(errors="replace")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.screen, text.encode())

    def press_ctrl_c(self) -> None:
        """What a terminal does for Ctrl-C; again when Python was just where it loses an interrupt."""
        for _ in range(5):
            os.killpg(self.process.pid, signal.SIGINT)
            if select.select([self.screen], [], [], 3)[0]:
                return

    def shows(self, text: str, seconds: float = 20) -> bool:
        """Return when the text has appeared."""
        until = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < until and self._read(), f"{text!r} does not appear in:\n{self.text}"
        return True

    def ends(self) -> int:
        """The exit code, once the command has ended."""
        while self._read():
            continue
        return self.process.wait(20)

    def _read(self) -> bool:
        if not select.select([self.screen], [], [], 20)[0]:
            return False
        try:
            block = os.read(self.screen, 65536)
        except OSError:  # Linux says so when the last process has closed its side.
            return False
        self.seen += block
        return bool(block)


@dataclass
class Terminals:
    """Starts commands at terminals."""

    started: list[Terminal] = field(default_factory=list)

    def run(self, *arguments: object) -> Terminal:
        """`diracx` with arguments at a new terminal."""
        screen, inner = pty.openpty()
        command = [sys.executable, "-m", "diracx_tasks.cli", *map(str, arguments)]
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
        process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, env=env, start_new_session=True
        )
        os.close(inner)
        self.started.append(Terminal(process, screen))
        return self.started[-1]


@pytest.fixture
def terminals(environment: None) -> Iterator[Terminals]:
    """Runs `diracx` at terminals; what still runs at the end of the test is killed."""
    found = Terminals()
    yield found
    for one in found.started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait(10)
        os.close(one.screen)
