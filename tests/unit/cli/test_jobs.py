"""`diracx jobs`, as scripts and people use it."""

import json
from typing import Any

import pytest

from diracx_tasks.cli import jobs, newest
from tests.unit.cli.answers import TIME, a_job
from tests.unit.cli.conftest import Run, Terminals, json_of
from tests.unit.cli.server import Answer, Request, Server

SEARCH = "/api/jobs/search"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "POLL", 0.01)


def has(server: Server, *rows: dict[str, Any]) -> None:
    """Have these jobs, oldest first."""

    def fits(row: dict[str, Any], one: dict[str, Any]) -> bool:
        value = row[one["parameter"]]
        return bool(value == one["value"] if one["operator"] == "eq" else value < one["value"])

    def search(request: Request) -> Any:
        assert request.body["sort"] == [{"parameter": "JobID", "direction": "desc"}]
        found = [row for row in reversed(rows) if all(fits(row, one) for one in request.body["search"])]
        return found[: int(request.query["per_page"])]

    server.gives("POST", SEARCH, search)


def test_a_list_is_a_table_json_or_ids(diracx: Run, server: Server) -> None:
    rows = a_job(7), a_job(8, "Waiting", MinorStatus="Pilot Agent Submission")
    has(server, *rows)
    table = diracx("jobs", "list", "-o", "table").stdout.splitlines()

    assert json_of(diracx("jobs", "list")) == [rows[1], rows[0]]
    assert diracx("jobs", "list", "-o", "id").stdout == "8\n7\n"
    assert table[1].split()[:7] == ["8", "simulate", "Waiting", "Pilot", "Agent", "Submission", "12"]


def test_a_list_is_filtered_by_status_and_workflow(diracx: Run, server: Server) -> None:
    has(server, a_job(1, "Done"), a_job(2, "Done", JobGroup="00000013"), a_job(3))

    assert diracx("jobs", "list", "--status", "done", "--workflow", 12, "-o", "id").stdout == "1\n"


def test_a_list_goes_on_over_pages_as_far_as_asked(
    diracx: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest, "LONG_PAGE", 50)
    has(server, *(a_job(number) for number in range(1, 251)))

    assert len(json_of(diracx("jobs", "list"))) == 25
    assert len(json_of(diracx("jobs", "list", "--limit", 150))) == 150
    assert [row["JobID"] for row in json_of(diracx("jobs", "list", "--all"))] == list(range(250, 0, -1))
    assert "There are more: --limit 100" in diracx("jobs", "list", "-o", "table").stdout


def test_an_empty_list_says_why(diracx: Run, server: Server) -> None:
    has(server, *(a_job(number) for number in range(1, 4)))
    words = "no job matches status=Done and workflow=9; 3 without this filter\n"

    assert diracx("jobs", "list", "--status", "Done", "--workflow", 9, "-o", "table").stdout == words
    has(server)
    assert diracx("jobs", "list").stderr.startswith("no jobs yet: submit a workflow")
    has(server, *(a_job(number) for number in range(150)))
    assert "100 or more without this filter" in diracx("jobs", "list", "--status", "Done").stderr


def test_showing_gives_attempts_and_history(diracx: Run, server: Server) -> None:
    attempt = {"attempt": 1, "pilot": "p1", "site": "here", "started_at": TIME, "ended_at": TIME}
    attempt |= {"status": "Failed", "reason": "exit code 3"}
    change = {"Status": "Failed", "MinorStatus": "Application Finished With Errors", "StatusTime": TIME}
    change |= {"ApplicationStatus": "exit code 3", "Source": "JobWrapper"}
    job = a_job(7, "Failed", WorkflowID=12, Step="simulate", Attempts=[attempt])
    server.gives("GET", "/api/jobs/7", job)
    server.gives("GET", "/api/jobs/7/history", [change])
    table = diracx("jobs", "show", 7, "-o", "table").stdout

    assert json_of(diracx("jobs", "show", 7)) == {**job, "History": [change]}
    assert diracx("jobs", "show", 7, "-o", "id").stdout == "7\n"
    for words in ("Workflow", "simulate", "p1", "Application Finished With Errors", "JobWrapper"):
        assert words in table


def a_log(text: str, *, final: bool = False, attempt: int | None = 1) -> dict[str, Any]:
    """What the server has of a job's output."""
    return {"job_id": 7, "attempt": attempt, "text": text, "updated_at": TIME, "final": final}


def test_the_log_is_printed_as_it_is(diracx: Run, server: Server) -> None:
    server.gives("GET", "/api/jobs/7/logs", a_log("one\n\x1b[31mtwo"))

    assert diracx("jobs", "logs", 7).stdout == "one\n\x1b[31mtwo"


@pytest.mark.parametrize(("final", "words"), [(False, "nothing yet"), (True, "nothing\n")])
def test_an_empty_log_is_told(diracx: Run, server: Server, final: bool, words: str) -> None:
    server.gives("GET", "/api/jobs/7/logs", a_log("", final=final, attempt=None))
    result = diracx("jobs", "logs", 7)

    assert result.stdout == ""
    assert words in result.stderr


@pytest.mark.parametrize(("status", "code"), [("Done", 0), ("Failed", 1), ("Killed", 3)])
def test_following_prints_what_is_new_and_ends_with_the_code_of_the_job(
    diracx: Run, server: Server, status: str, code: int
) -> None:
    logs = [a_log("", attempt=None), a_log("one\n"), a_log("one\n"), a_log("one\ntwo\n")]
    server.gives("GET", "/api/jobs/7/logs", *logs, a_log("one\ntwo\nthree\n", final=True))
    server.gives("GET", "/api/jobs/7", a_job(7, status))
    result = diracx("jobs", "logs", 7, "-f")

    assert result.stdout == "one\ntwo\nthree\n"
    assert result.exit_code == code


def test_following_prints_nothing_twice_when_the_log_was_cut_at_its_beginning(
    diracx: Run, server: Server
) -> None:
    text = "".join(f"event {number}\n" for number in range(1000))
    cut = [a_log(text[:4000]), a_log("\ufffd" + text[2300:4300]), a_log(text[2500:5000])]
    server.gives("GET", "/api/jobs/7/logs", *cut, a_log(text[3000:6000], final=True))
    server.gives("GET", "/api/jobs/7", a_job(7, "Done"))

    assert diracx("jobs", "logs", 7, "-f").stdout == text[:6000]


def test_following_begins_anew_with_another_attempt(diracx: Run, server: Server) -> None:
    logs = [a_log("one\n"), a_log("one\n", attempt=2, final=True)]
    server.gives("GET", "/api/jobs/7/logs", *logs)
    server.gives("GET", "/api/jobs/7", a_job(7, "Done"))
    result = diracx("jobs", "logs", 7, "-f")

    assert result.stdout == "one\none\n"
    assert result.stderr == "diracx: attempt 2 begins\n"


def test_following_survives_a_server_that_is_away(diracx: Run, server: Server) -> None:
    away = [Answer({"detail": "restarting"}, 503)] * 4
    server.gives("GET", "/api/jobs/7/logs", a_log("one\n"), *away, a_log("one\ntwo\n", final=True))
    server.gives("GET", "/api/jobs/7", a_job(7, "Done"))
    result = diracx("jobs", "logs", 7, "-f")

    assert result.stdout == "one\ntwo\n"
    assert result.stderr.count("still trying") == 1


def test_following_survives_that_also_before_the_first_attempt(diracx: Run, server: Server) -> None:
    away = [Answer({"detail": "restarting"}, 503)] * 6
    logs = [a_log("", attempt=None), *away, a_log("one\n", final=True)]
    server.gives("GET", "/api/jobs/7/logs", *logs)
    server.gives("GET", "/api/jobs/7", a_job(7, "Done"))
    result = diracx("jobs", "logs", 7, "-f")

    assert (result.exit_code, result.stdout) == (0, "one\n")
    assert result.stderr.count("still trying") == 1


def test_a_job_that_is_completed_has_not_ended(diracx: Run, server: Server) -> None:
    server.gives("GET", "/api/jobs/7", a_job(7, "Completed"), a_job(7, "Failed"))
    server.gives("GET", "/api/jobs/7/history", [])
    result = diracx("jobs", "show", 7, "--watch", "-o", "json")

    assert [json.loads(line)["Status"] for line in result.stdout.splitlines()] == ["Completed", "Failed"]
    assert result.exit_code == 1


def test_killing_prints_the_state(diracx: Run, server: Server) -> None:
    server.gives("POST", "/api/jobs/7/kill", {"job_id": 7, "status": "Killed", "outcome": "applied"})
    server.gives(
        "POST",
        "/api/jobs/8/kill",
        Answer({"detail": "job 8 is Done (attempt 2): it cannot become Killed"}, 409),
    )
    result = diracx("jobs", "kill", 8, 7)

    assert result.exit_code == 1
    assert result.stdout == "job 7 is Killed\n"
    assert result.stderr == "diracx: job 8 is Done (attempt 2): it cannot become Killed\n"


def test_killing_asks_at_a_terminal(terminals: Terminals, server: Server) -> None:
    terminal = terminals.run("jobs", "kill", 7, 8)
    terminal.shows("Kill jobs 7, 8? [y/N]")
    terminal.type("\n")

    assert terminal.ends() == 1
    assert not server.requests


def test_why_gives_the_reasons(diracx: Run, server: Server) -> None:
    found = {"job_id": 7, "status": "Waiting", "reasons": ["It asks for 8 cores.", "Start pilots."]}
    server.gives("GET", "/api/jobs/7/why", found)

    assert json_of(diracx("jobs", "why", 7)) == found
    assert diracx("jobs", "why", 7, "-o", "table").stdout == (
        "job 7 is Waiting\n  It asks for 8 cores.\n  Start pilots.\n"
    )
