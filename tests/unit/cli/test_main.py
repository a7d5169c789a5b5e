"""The command as a whole: help, errors in words, exit codes."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.cli.answers import a_diagnostic, a_workflow
from tests.unit.cli.conftest import Run, Terminals
from tests.unit.cli.server import Answer, Server

HEAVY = ("rich", "urllib3", "celery", "ruamel", "sqlalchemy", "fastapi", "pydantic", "cwltool", "boto3")


def test_help_lists_the_subjects_without_importing_them(diracx: Run) -> None:
    result = diracx("--help")

    assert result.exit_code == 0
    for line in ("workflows   Submit CWL workflows", "jobs        Submit jobs", "up ", "tasks ", "admin "):
        assert line in result.stdout
    assert "demo" not in result.stdout and "\n  job " not in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["jobs", "list", "--help"],
        ["workflows", "list", "--help"],
        ["pilots", "list", "--help"],
        ["sites", "list", "--help"],
        ["tasks", "schedule", "--help"],
    ],
)
def test_help_imports_nothing_heavy(environment: None, arguments: list[str]) -> None:
    program = f"""
import sys
from diracx_tasks.cli.main import main
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    command = [sys.executable, "-c", program, *arguments]

    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == "[]\n"


def test_subjects_are_completed_without_importing_them(environment: None) -> None:
    env = {**os.environ, "_DIRACX_COMPLETE": "bash_complete", "COMP_WORDS": "diracx j", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "diracx_tasks.cli"]

    assert (
        subprocess.run(command, capture_output=True, text=True, env=env, check=True).stdout == "plain,jobs\n"
    )


def test_the_version_is_shown(diracx: Run) -> None:
    result = diracx("--version")

    assert result.exit_code == 0
    assert result.stdout.startswith("diracx")


def test_an_unknown_subject_is_answered_with_those_that_look_alike(diracx: Run) -> None:
    assert "workflows" in diracx("workflow").stderr


def test_a_token_that_does_not_hold_exits_with_4(diracx: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRACX_TOKEN", "wrong")
    result = diracx("workflows", "list")

    assert result.exit_code == 4
    assert result.stderr.startswith("diracx: http://")
    assert "does not accept the token" in result.stderr


def test_a_server_that_is_away_exits_with_5(diracx: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRACX_URL", "http://127.0.0.1:9")
    result = diracx("workflows", "list")

    assert result.exit_code == 5
    assert result.stderr.count("\n") == 1
    assert "does not answer" in result.stderr


def test_no_known_server_exits_with_5(diracx: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIRACX_URL")
    monkeypatch.setenv("DIRACX_DATA", "nowhere")
    result = diracx("jobs", "list")

    assert result.exit_code == 5
    assert "diracx up" in result.stderr


def test_what_the_server_refuses_is_one_line_and_exits_with_1(diracx: Run, server: Server) -> None:
    server.gives("GET", "/api/workflows/12", Answer({"detail": "there is no\nworkflow 12 in lhcb"}, 404))
    result = diracx("workflows", "show", 12)

    assert result.exit_code == 1
    assert result.stderr == "diracx: there is no workflow 12 in lhcb\n"
    assert result.stdout == ""


@pytest.mark.parametrize(("kind", "code"), [("invalid", 34), ("unsupported", 33)])
def test_the_kind_of_complaint_makes_the_exit_code(diracx: Run, server: Server, kind: str, code: int) -> None:
    server.gives("POST", "/api/workflows/check", Answer({"detail": {"kind": kind, "message": "no"}}, 422))
    with open("x.cwl", "w") as file:
        file.write("class: Workflow\n")
    result = diracx("workflows", "check", "x.cwl")

    assert result.exit_code == code
    assert result.stderr == "diracx: no\n"


def test_complaints_show_the_line_with_a_caret_and_advice(diracx: Run, server: Server) -> None:
    with open("x.cwl", "w") as file:
        file.write("cwlVersion: v1.2\nclass: Workflow\ninputs:\n\ttpye: int\n")
    found = [
        a_diagnostic("x.cwl", 2, 8, "no such class", advice="Write it in full."),
        a_diagnostic("x.cwl", 4, 2, "invalid field", severity="warning"),
        a_diagnostic("elsewhere.cwl", 1, 1, "not\nhere"),
        {"severity": "error", "file": None, "line": None, "column": None, "message": "too slow"},
    ]
    detail = {"kind": "invalid", "message": "x.cwl:2:8: no such class", "diagnostics": found}
    server.gives("POST", "/api/workflows", Answer({"detail": detail}, 422))
    result = diracx("workflows", "submit", "x.cwl")

    assert result.exit_code == 34
    assert result.stderr == (
        "diracx: invalid CWL, 3 errors\n"
        "x.cwl:2:8: no such class\n"
        "    class: Workflow\n"
        "           ^\n"
        "    advice: Write it in full.\n"
        "x.cwl:4:2: warning: invalid field\n"
        "     tpye: int\n"
        "     ^\n"
        "    advice: Correct it.\n"
        "elsewhere.cwl:1:1: not here\n"
        "    advice: Correct it.\n"
        "too slow\n"
    )


def test_a_file_that_cannot_be_read_is_named(diracx: Run, server: Server) -> None:
    server.gives("GET", "/api/workflows/12", {"outputs": {}, "status": "Done"})
    with open("taken", "w") as file:
        file.write("a file")
    result = diracx("workflows", "outputs", 12, "--download", "taken/below")

    assert result.exit_code == 1
    assert result.stderr == "diracx: taken/below: Not a directory\n"


def test_a_closed_pipe_is_silent(environment: None, server: Server) -> None:
    rows = [a_workflow(number) for number in range(100)]
    server.gives("GET", "/api/workflows", {"workflows": rows, "next": None})
    command = f"{sys.executable} -m diracx_tasks.cli workflows list --limit 99 | true"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert result.stderr == ""


@pytest.mark.parametrize(
    "when",
    [
        "sys.meta_path.insert(0, type('Finder', (), {'find_spec': lambda _, name, *__: interrupt(name)})())",
        "atexit.register(interrupt, 'diracx_tasks.cli.main')",
    ],
)
def test_ctrl_c_has_no_traceback_while_python_starts_and_ends(environment: None, when: str) -> None:
    program = f"""
import atexit, os, signal, sys
from diracx_tasks.cli.start import main
def interrupt(name):
    if name == "diracx_tasks.cli.main":
        os.kill(os.getpid(), signal.SIGINT)
{when}
main()
"""
    command = [sys.executable, "-c", program, "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (130, "diracx: interrupted\n")


def test_what_runs_in_the_background_of_a_script_goes_on_at_ctrl_c(environment: None, server: Server) -> None:
    def interrupt(_: Any) -> Any:
        process.send_signal(signal.SIGINT)
        return {"workflows": [], "next": None}

    server.gives("GET", "/api/workflows", interrupt)
    command = f"trap '' INT; exec {sys.executable} -m diracx_tasks.cli workflows list -o json"
    process = subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, text=True)

    assert (process.communicate()[0], process.returncode) == ("[]\n", 0)


def test_an_output_that_a_shell_has_closed_is_no_error(environment: None) -> None:
    command = f"{sys.executable} -m diracx_tasks.cli --version >&-"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")


def test_ctrl_c_exits_with_130(terminals: Terminals, server: Server) -> None:
    server.gives("POST", "/api/workflows/12/kill", {"status": "Killing"})
    terminal = terminals.run("workflows", "kill", 12)
    terminal.shows("Kill workflow 12 with all jobs?")
    terminal.press_ctrl_c()

    assert terminal.ends() == 130
    assert "diracx: interrupted" in terminal.text
    assert "Traceback" not in terminal.text
    assert not server.requests
