"""How far transfers and waits are: on stderr, at a terminal only."""

import subprocess
import sys
from pathlib import Path

import pytest

from diracx_tasks.cli import watch
from tests.unit.cli.answers import a_detail, a_step
from tests.unit.cli.conftest import Run, Terminals
from tests.unit.cli.server import Answer, Server

BAR = "━"
MADE = Answer({"workflow_id": 12, "name": "pi", "status": "Received"}, 201)


@pytest.fixture
def submission(environment: None, server: Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command that uploads 3 MB, and waits for the workflow's end."""
    Path("tool.cwl").write_text("cwlVersion: v1.2\nclass: CommandLineTool\ninputs: {f: File}\noutputs: []\n")
    Path("data").write_bytes(bytes(3_000_000))
    server.gives("POST", "/api/workflows", MADE)
    server.gives(
        "GET", "/api/workflows/12", a_detail("Running", a_step(Done=3)), a_detail("Done", a_step(Done=8))
    )
    server.gives("GET", "/api/workflows/12/events", {"events": [], "last": 0})
    return ["workflows", "submit", "tool.cwl", "--input", "f=data", "--wait"]


def test_a_person_sees_how_far_an_upload_and_a_wait_are(terminals: Terminals, submission: list[str]) -> None:
    terminal = terminals.run(*submission)

    assert terminal.ends() == 0
    assert "uploading data" in terminal.text and "3.0/3.0 MB" in terminal.text
    assert "workflow 12 pi Running: 3/8 jobs" in terminal.text and BAR in terminal.text


def test_a_script_sees_nothing_of_it(
    diracx: Run, submission: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SHORTEST", 0.01)
    result = diracx(*submission, "-o", "id")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "12\n", "")


def test_a_bar_does_not_get_between_the_lines_of_a_program(environment: None, server: Server) -> None:
    server.gives("GET", "/api/jobs/7/outputs", {"status": "Done", "outputs": {"o": server.stored(b"x", "o")}})
    command = [sys.executable, "-m", "diracx_tasks.cli", "jobs", "outputs", "7", "--download", "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert (done.stderr, Path("out/o").read_bytes()) == ("", b"x")
    assert BAR not in done.stdout
