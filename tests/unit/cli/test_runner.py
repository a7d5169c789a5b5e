"""`diracx-cwl-runner`: what it submits, prints and exits with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from diracx_tasks.cli.runner import main
from tests.system import wait_for
from tests.unit.cli.answers import a_detail
from tests.unit.cli.server import Answer, Server

TOOL = (
    "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: echo\ninputs: {n: int, f: File?}\noutputs: {}\n"
)
DETAIL = "/api/workflows/12"
SUBMISSION = ("POST", "/api/workflows")
Runs = Callable[..., Result]


@pytest.fixture
def runs(environment: None, server: Server) -> Runs:
    """Runs the runner on `tool.cwl`, which the server takes as workflow 12."""
    Path("tool.cwl").write_text(TOOL)
    server.gives(
        "POST", "/api/workflows", Answer({"workflow_id": 12, "name": "x", "status": "Received"}, 201)
    )

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(main, arguments, prog_name="diracx-cwl-runner")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return run


def started(*arguments: str) -> "subprocess.Popen[str]":
    """The runner as a process of its own."""
    command = [sys.executable, "-m", "diracx_tasks.cli.runner", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def test_it_waits_and_prints_the_outputs_with_their_files(runs: Runs, server: Server) -> None:
    outputs = {"n": 3, "f": server.stored(b"3.14", "pi.txt")}
    server.gives("GET", DETAIL, a_detail("Running"), a_detail("Running"), a_detail("Done", outputs=outputs))
    Path("job.yml").write_text("n: 3\n")

    result = runs("--outdir=out", "--quiet", "tool.cwl", "job.yml")

    found = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, found["n"]) == (0, "", 3)
    assert Path(found["f"]["path"]) == Path("out/pi.txt").absolute()
    assert Path("out/pi.txt").read_bytes() == b"3.14"


def test_it_sends_the_document_and_the_inputs(runs: Runs, server: Server) -> None:
    server.gives("GET", DETAIL, a_detail("Done", outputs={}))
    Path("job.yml").write_text("n: 3\nf: {class: File, path: tool.cwl}\n")

    result = runs("tool.cwl", "job.yml", "--input", "n=4", "--no-reuse")

    body = server.asked("POST", "/api/workflows")[0].body
    assert (body["main"], body["files"], body["inputs"]["n"]) == ("tool.cwl", {"tool.cwl": TOOL}, 4)
    assert body["reuse"] is False
    assert server.content(body["inputs"]["f"]) == TOOL.encode()
    assert "workflow 12 was submitted" in result.stderr and json.loads(result.stdout) == {}


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("one: Application Finished With Errors: exit code 3 (job 5)", 1),
        ("one: Application Finished With Errors: unsupported: the tool requires a container (job 5)", 33),
    ],
)
def test_a_failure_is_told_and_one_of_an_unsupported_feature_is_another(
    runs: Runs, server: Server, reason: str, code: int
) -> None:
    server.gives("GET", DETAIL, a_detail("Failed", reason=reason))
    result = runs("--quiet", "tool.cwl")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == f"diracx-cwl-runner: workflow 12 is Failed: {reason}\n"


@pytest.mark.parametrize(("kind", "code"), [("invalid", 1), ("unsupported", 33)])
def test_a_refused_document_is_shown_at_its_place(runs: Runs, server: Server, kind: str, code: int) -> None:
    place: dict[str, Any] = {"severity": "error", "file": "tool.cwl", "line": 3, "column": 1}
    told = {**place, "message": "no such command", "advice": "Correct it."}
    refusal = {"kind": kind, "message": "wrong", "diagnostics": [told]}
    server.gives("POST", "/api/workflows", Answer(refusal, 422))
    result = runs("tool.cwl")
    assert result.exit_code == code
    assert "tool.cwl:3:1: no such command\n    baseCommand: echo\n    ^\n" in result.stderr


def test_a_document_that_is_not_there_is_a_failure(runs: Runs) -> None:
    result = runs("none.cwl")
    assert (result.exit_code, result.stderr) == (1, "diracx-cwl-runner: there is no file none.cwl\n")


def test_a_folder_that_cannot_be_made_is_said_in_words(runs: Runs, server: Server) -> None:
    server.gives("GET", DETAIL, a_detail("Done", outputs={"f": server.stored(b"1", "f")}))
    result = runs("--quiet", "--outdir", "/proc/none", "tool.cwl")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "diracx-cwl-runner: /proc/none: No such file or directory\n"


def test_a_submission_whose_answer_got_lost_is_one_workflow(runs: Runs, server: Server) -> None:
    server.gives("GET", DETAIL, a_detail("Done", outputs={}))
    server.gives("POST", "/api/workflows", Answer(status=0), {"workflow_id": 12})
    assert runs("--quiet", "tool.cwl").exit_code == 0
    first, second = (one.headers["idempotency-key"] for one in server.asked("POST", "/api/workflows"))
    assert first == second


@pytest.mark.parametrize("route", [("POST", "/api/jobs/sandbox"), ("GET", "/store"), SUBMISSION])
def test_an_interrupt_at_any_time_ends_with_130_and_leaves_no_workflow_running(
    runs: Runs, server: Server, route: tuple[str, str]
) -> None:
    Path("job.yml").write_text("n: 3\nf: {class: File, path: tool.cwl}\n")
    server.gives("GET", DETAIL, a_detail("Done", outputs={"f": server.stored(b"1", "f")}))
    server.gives("POST", f"{DETAIL}/kill", {"workflow_id": 12, "status": "Killing"})
    server.pauses = route
    process = started("tool.cwl", "job.yml")
    assert server.reached.wait(30)
    process.send_signal(signal.SIGINT)
    server.goes_on.set()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "Aborted" not in said and "Traceback" not in said, said
    assert len(server.asked("POST", f"{DETAIL}/kill")) == (route == SUBMISSION)


def test_an_interrupt_kills_the_workflow(runs: Runs, server: Server) -> None:
    server.gives("GET", DETAIL, a_detail("Running"))
    server.gives("POST", f"{DETAIL}/kill", {"workflow_id": 12, "status": "Killing"})
    process = started("tool.cwl")
    wait_for(lambda: bool(server.asked("GET", DETAIL)), 30, lambda: "it does not ask")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "workflow 12 is being killed" in said
    assert len(server.asked("POST", f"{DETAIL}/kill")) == 1
