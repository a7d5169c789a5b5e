"""Watching a workflow, in a log and at a terminal."""

import re
from pathlib import Path
from typing import Any

import pytest

from diracx_tasks.cli import watch
from tests.unit.cli.answers import a_detail, a_step, an_event
from tests.unit.cli.conftest import Run, Terminals
from tests.unit.cli.server import Answer, Server

DETAIL = "/api/workflows/12"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SHORTEST", 0.01)
    monkeypatch.setattr(watch, "LONGEST", 0.02)


def goes(server: Server, *details: Any, events: list[dict[str, Any]] | None = None) -> None:
    """Have the workflow 12 look like this, one after the other; one event comes with each."""
    server.gives("GET", DETAIL, *details)

    def newer(request: Any) -> Any:
        after = int(request.query["after"])
        seen = len(server.asked("GET", DETAIL))
        found = [one for one in events or [] if after < one["event_id"] <= seen]
        return {"events": found, "last": found[-1]["event_id"] if found else after}

    server.gives("GET", f"{DETAIL}/events", newer)


def test_a_log_has_a_line_for_everything_that_changes(diracx: Run, server: Server) -> None:
    goes(
        server,
        a_detail("Received"),
        a_detail("Running", a_step(total=0)),
        a_detail("Running", a_step(Running=2, Waiting=6)),
        a_detail("Running", a_step(Running=2, Waiting=6)),
        a_detail("Done", a_step(Done=8)),
        events=[
            an_event(1, "Received", message="submitted by alice"),
            an_event(2, "Running", path="simulate", slot=0, message="8 instances"),
            an_event(3, "Done", path="simulate", slot=3, job_id=7, message="first\n\x1b[31mred"),
        ],
    )
    result = diracx("workflows", "watch", 12)

    assert result.exit_code == 0
    assert result.stdout == (
        "2026-11-23T10:00:00Z workflow Received: submitted by alice\n"
        "workflow 12 pi is Received\n"
        "2026-11-23T10:00:00Z simulate Running: 8 instances\n"
        "workflow 12 pi is Running\n"
        "2026-11-23T10:00:00Z simulate[3] Done (job 7): first [31mred\n"
        "simulate: 2 Running, 6 Waiting of 8\n"
        "simulate: 8 Done of 8\n"
        "workflow 12 pi is Done after 1 min 30 s; its outputs: diracx workflows outputs 12\n"
    )


@pytest.mark.parametrize(("status", "code"), [("Done", 0), ("Failed", 1), ("Killed", 3)])
def test_the_exit_code_says_how_it_ended(diracx: Run, server: Server, status: str, code: int) -> None:
    goes(server, a_detail("Running"), a_detail(status, reason="simulate: exit code 3 (job 17)"))
    result = diracx("workflows", "watch", 12)

    assert result.exit_code == code
    assert ("exit code 3 (job 17)" in result.stdout) == (status != "Done")


def test_waiting_ends_with_how_it_ended_on_standard_error(
    diracx: Run, server: Server, tmp_path: Path
) -> None:
    document = tmp_path / "x.cwl"
    document.write_text("class: CommandLineTool\n")
    goes(server, a_detail("Running"), a_detail("Failed", reason="simulate: exit code 3 (job 17)"))
    submitted = {"workflow_id": 12, "name": "pi", "status": "Received"}
    server.gives("POST", "/api/workflows", Answer(submitted, 201))
    result = diracx("workflows", "submit", document, "--wait", "-o", "id")

    assert result.exit_code == 1 and result.stdout == "12\n"
    words = "workflow 12 pi is Failed after 1 min 30 s: simulate: exit code 3 (job 17)"
    assert result.stderr == f"{words}; its logs: diracx workflows logs 12\n"


def test_a_step_that_never_began_is_not_said_to_wait(diracx: Run, server: Server) -> None:
    server.gives("GET", DETAIL, a_detail("Failed", a_step(Failed=8), a_step("gather", 0, state="Not run")))
    found = diracx("workflows", "show", 12, "-o", "table").stdout

    assert "Not run" in found and "Waiting" not in found


def test_a_server_that_is_away_for_a_while_is_told_once(diracx: Run, server: Server) -> None:
    away = [Answer({"detail": "restarting"}, 503)] * 8
    goes(server, a_detail("Running"), *away, a_detail("Done"))
    lines = diracx("workflows", "watch", 12).stdout.splitlines()

    assert [line for line in lines if "still trying" in line] == [
        f"{server.url} is not ready: restarting; still trying"
    ]
    assert lines[2] == "the server answers again"
    assert lines[-1].startswith("workflow 12 pi is Done")


def test_a_server_that_never_answered_ends_it(diracx: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRACX_URL", "http://127.0.0.1:9")

    assert diracx("workflows", "watch", 12).exit_code == 5


def test_all_events_are_shown_even_when_they_come_in_pages(diracx: Run, server: Server) -> None:
    server.gives("GET", DETAIL, a_detail("Done"))

    def two(request: Any) -> Any:
        after = int(request.query["after"])
        found = [
            an_event(number, "Done", path=f"s{number}") for number in range(after + 1, min(after + 3, 6))
        ]
        return {"events": found, "last": found[-1]["event_id"] if found else after}

    server.gives("GET", f"{DETAIL}/events", two)

    assert re.findall(r"s\d", diracx("workflows", "watch", 12).stdout) == ["s1", "s2", "s3", "s4", "s5"]


def test_a_terminal_shows_progress_until_the_end(terminals: Terminals, server: Server) -> None:
    steps = a_step(Running=3, Done=5), a_step("gather", 0)
    goes(
        server,
        a_detail("Running", *steps),
        a_detail("Done", a_step(Done=8), a_step("gather", 1, Done=1)),
        events=[an_event(1, "Running", path="simulate", message="[8 instances]")],
    )
    terminal = terminals.run("workflows", "watch", 12)
    terminal.shows("5/8")
    terminal.shows("simulate Running: [8 instances]")
    terminal.shows("8/8")

    assert terminal.ends() == 0
    assert "workflow 12 pi is Done after 1 min 30 s" in terminal.text
    assert "━" in terminal.text


def test_ctrl_c_leaves_the_workflow_running(terminals: Terminals, server: Server) -> None:
    goes(server, a_detail("Running", a_step(Running=8)))
    terminal = terminals.run("workflows", "watch", 12)
    terminal.shows("0/8")
    terminal.press_ctrl_c()

    assert terminal.ends() == 130
    assert "workflow 12 goes on; see it again: diracx workflows watch 12" in terminal.text
    assert "Traceback" not in terminal.text
    assert not [one for one in server.requests if one.method == "POST"]


def test_of_many_steps_a_terminal_shows_those_that_go_on(terminals: Terminals, server: Server) -> None:
    steps = [a_step(f"step{number:03}", 1, Done=1) for number in range(80)]
    goes(
        server, a_detail("Running", *steps, a_step("now", 1, Running=1), a_step("later", 0)), a_detail("Done")
    )
    terminal = terminals.run("workflows", "watch", 12)
    terminal.shows("of 82 steps")

    assert terminal.ends() == 0
    assert "now" in terminal.text
    assert "step000" not in terminal.text
