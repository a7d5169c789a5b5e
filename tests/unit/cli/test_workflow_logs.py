"""`diracx workflows logs` and `resources`, as scripts and people use them."""

import json
from typing import Any

import pytest

from diracx_tasks.cli import workflow_logs
from tests.unit.cli.answers import TIME
from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import Answer, Server

LIVE, STORED = "/api/workflows/12/live", "/api/workflows/12/logs"
USED = {
    "cpu_seconds": {"least": 1.0, "mean": 9.5, "most": 14.0},
    "wall_seconds": {"least": 2.0, "mean": 10.0, "most": 15.0},
    "memory_mb": {"least": 300.0, "mean": 350.2, "most": 812.0},
    "disk_mb": {"least": 1.0, "mean": 1.25, "most": 2.0},
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow_logs, "AGAIN_SECONDS", 0.01)


def a_log(job_id: int, text: str, place: str = "simulate[0]", **more: Any) -> tuple[str, dict[str, Any]]:
    said = {
        "job_id": job_id,
        "attempt": 1,
        "place": place,
        "step": "simulate",
        "slot": 0,
        "status": "Running",
    }
    return "log", {**said, "text": text, "whole": False, "final": False, "at": TIME, **more}


def steps(*scattered: bool) -> tuple[str, dict[str, Any]]:
    found = [
        {"path": f"step{number}", "name": f"step{number}", "kind": "tool", "scatter": is_scattered}
        for number, is_scattered in enumerate(scattered)
    ]
    return "progress", {"steps": found}


def an_end(status: str = "Done") -> tuple[str, dict[str, Any]]:
    return "end", {"status": status, "reason": ""}


def says(*said: tuple[str, dict[str, Any]], first: int = 1) -> Answer:
    """A stream of these messages, its ids counting from `first`."""
    parts = [
        f"id: {number}-0\nevent: {kind}\ndata: {json.dumps(content)}\n\n"
        for number, (kind, content) in enumerate(said, first)
    ]
    return Answer(": hello\n\n".join(["", *parts]).encode())


def test_lines_stand_after_their_places_and_are_whole(diracx: Run, server: Server) -> None:
    said = (
        a_log(1, "one\nt"),
        a_log(2, "uno\n", "simulate[1]"),
        a_log(1, "wo\n"),
        a_log(2, "dos", "simulate[1]", final=True),
    )
    server.gives("GET", LIVE, says(steps(True), *said, an_end()))

    result = diracx("workflows", "logs", 12, "-f")

    assert result.stdout.splitlines() == [
        "simulate[0] | one",
        "simulate[1] | uno",
        "simulate[0] | two",
        "simulate[1] | dos",
    ]
    assert (result.exit_code, result.stderr) == (0, "diracx: workflow 12 is Done\n")


@pytest.mark.parametrize("options", [(), ("step1",), ("--job", 1)])
def test_where_there_is_one_job_only_its_output_is_as_it_is(
    diracx: Run, server: Server, options: tuple[object, ...]
) -> None:
    kinds = (False,) if not options else (True, False)
    server.gives("GET", LIVE, says(steps(*kinds), a_log(1, "100 %"), a_log(1, "\rdone"), an_end()))

    assert diracx("workflows", "logs", 12, *options, "-f").stdout == "100 %\rdone"


def test_step_and_job_are_asked_for(diracx: Run, server: Server) -> None:
    server.gives("GET", LIVE, says(a_log(1, "x\n"), an_end()))
    diracx("workflows", "logs", 12, "outer/simulate", "--job", 17, "-f")

    (asked,) = server.asked("GET", LIVE)
    assert asked.query == {"step": "outer/simulate", "job": "17"}
    assert asked.headers["accept"] == "text/event-stream"


def test_after_a_break_of_the_line_nothing_is_lost_and_nothing_printed_twice(
    diracx: Run, server: Server
) -> None:
    server.gives(
        "GET",
        LIVE,
        says(a_log(1, "one\n", whole=True), a_log(1, "two\n")),
        Answer(status=0),
        Answer({"detail": "about to stop"}, 503),
        says(a_log(1, "one\ntwo\nthree\n", whole=True), an_end(), first=9),
    )
    result = diracx("workflows", "logs", 12, "-f", "--job", 1)

    assert result.stdout == "one\ntwo\nthree\n"
    ids = [one.headers.get("last-event-id") for one in server.asked("GET", LIVE)]
    assert ids[0] is None and set(ids[1:]) == {"2-0"}
    assert result.stderr.count("still trying") == 1


def test_a_new_attempt_begins_anew_and_says_so(diracx: Run, server: Server) -> None:
    said = a_log(1, "one\n", whole=True), a_log(1, "one\n", whole=True, attempt=2)
    server.gives("GET", LIVE, says(*said, an_end()))
    result = diracx("workflows", "logs", 12, "-f", "--job", 1)

    assert result.stdout == "one\none\n"
    assert "diracx: attempt 2 of job 1 begins\n" in result.stderr


@pytest.mark.parametrize("status, code", [("Done", 0), ("Failed", 1), ("Killed", 3)])
def test_of_a_workflow_that_has_ended_the_stored_output_is_shown(
    diracx: Run, server: Server, status: str, code: int
) -> None:
    server.gives("GET", LIVE, says(steps(True), an_end(status)))
    stored = [a_log(number, f"{number}\n", f"simulate[{number}]")[1] for number in (3, 1)]
    server.gives("GET", STORED, {"status": status, "outputs": stored})

    result = diracx("workflows", "logs", 12, "-f")
    assert (result.stdout, result.exit_code) == ("simulate[3] | 3\nsimulate[1] | 1\n", code)
    assert diracx("workflows", "logs", 12).stdout == result.stdout


def test_nothing_printed_yet_is_said_on_stderr(diracx: Run, server: Server) -> None:
    server.gives("GET", STORED, {"status": "Running", "outputs": []})
    result = diracx("workflows", "logs", 12, "--limit", 3)

    assert (result.stdout, result.exit_code) == ("", 0)
    assert result.stderr == "diracx: no such job has printed anything yet\n"
    assert server.asked("GET", STORED)[0].query == {"limit": "3"}


def test_that_not_all_running_jobs_are_shown_is_said_once(diracx: Run, server: Server) -> None:
    following = "following", {"jobs": [1, 2], "running": 1000}
    server.gives("GET", LIVE, says(following, a_log(1, "x\n"), following, an_end()))
    result = diracx("workflows", "logs", 12, "-f")

    assert (
        result.stderr.count("diracx: 2 of 1000 running jobs are shown: name a step, or one with --job") == 1
    )


def test_a_workflow_that_is_not_there_and_a_server_that_is_away(diracx: Run, server: Server) -> None:
    result = diracx("workflows", "logs", 12, "-f")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no /api/workflows/12/live" in result.stderr
    server.gives("GET", LIVE, Answer(status=0))
    assert diracx("workflows", "logs", 12, "-f").exit_code == 5


def a_step(**more: Any) -> dict[str, Any]:
    asked = {
        "cores": {"least": 2, "most": 2},
        "ram_mb": {"least": 256, "most": 512},
        "wall_time": None,
        "scratch_mb": {"least": 2048, "most": 2048},
    }
    head = {"path": "outer/simulate", "name": "simulate", "scatter": True, "jobs": 8, "measured": 7}
    return {**head, "asked": asked, "used": USED, "efficiency": 0.475, "remarks": ["memory: more"], **more}


def test_what_was_used_stands_beside_what_was_asked(diracx: Run, server: Server) -> None:
    unused = a_step(path="", name="tool", measured=0, used=dict.fromkeys(USED), efficiency=None, remarks=[])
    server.gives("GET", "/api/workflows/12/resources", {"steps": [a_step(), unused]})

    _, first, second, remark = diracx("workflows", "resources", 12, "-o", "table").stdout.splitlines()
    assert "350 MB, 812 MB at most | 256 MB to 512 MB" in first and "0.95 | 2" in first and "7/8" in first
    assert (
        "10 s, 15 s at most | -" in first and "9.5 s" in first and "1.2 MB, 2 MB at most | 2048 MB" in first
    )
    assert "- | 256 MB to 512 MB" in second and second.startswith("tool")
    assert remark == "outer/simulate: memory: more"
    assert json_of(diracx("workflows", "resources", 12))[0]["used"] == USED


def test_a_workflow_without_jobs_says_so(diracx: Run, server: Server) -> None:
    server.gives("GET", "/api/workflows/12/resources", {"steps": []})
    result = diracx("workflows", "resources", 12, "-o", "table")
    assert result.stdout == "workflow 12 has no step that runs as a job\n"
