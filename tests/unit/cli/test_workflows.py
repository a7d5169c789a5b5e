"""`diracx workflows`, as scripts and people use it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.answers import LATER, TIME, a_detail, a_step, a_workflow
from tests.unit.cli.conftest import Run, Terminals, json_of
from tests.unit.cli.server import Answer, Server

DETAIL = "/api/workflows/12"
SUBMITTED = {"workflow_id": 12, "name": "pi", "status": "Received"}


@pytest.fixture
def document(environment: None) -> str:
    """A document in the working folder."""
    Path("x.cwl").write_text("class: CommandLineTool\n")
    return "x.cwl"


def ended(server: Server, status: str) -> None:
    """Have the workflow 12 be submitted and end so."""
    server.gives("POST", "/api/workflows", Answer(SUBMITTED, 201))
    server.gives("GET", DETAIL, a_detail(status))
    server.gives("GET", f"{DETAIL}/events", {"events": [], "last": 0})


def test_submitting_gives_json_in_a_pipe(diracx: Run, server: Server, document: str) -> None:
    server.gives("POST", "/api/workflows", Answer(SUBMITTED, 201))

    assert json_of(diracx("workflows", "submit", document, "--name", "pi")) == SUBMITTED
    assert server.requests[0].body == {
        "files": {"x.cwl": "class: CommandLineTool\n"},
        "main": "x.cwl",
        "inputs": {},
        "name": "pi",
    }


@pytest.mark.parametrize(("form", "text"), [("id", "12\n"), ("table", "workflow 12 pi is Received\n")])
def test_submitting_prints_the_id_as_asked(
    diracx: Run, server: Server, document: str, form: str, text: str
) -> None:
    server.gives("POST", "/api/workflows", Answer(SUBMITTED, 201))

    assert diracx("workflows", "submit", document, "-o", form).stdout == text


def test_the_environment_says_how_to_print(
    diracx: Run, server: Server, document: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_OUTPUT", "id")
    server.gives("POST", "/api/workflows", Answer(SUBMITTED, 201))

    assert diracx("workflows", "submit", document).stdout == "12\n"
    assert json_of(diracx("workflows", "submit", document, "-o", "json"))["workflow_id"] == 12


def test_a_submission_whose_answer_is_lost_is_repeated_under_the_same_key(
    diracx: Run, server: Server, document: str
) -> None:
    server.gives("POST", "/api/workflows", Answer(status=0), Answer(SUBMITTED, 201))

    assert diracx("workflows", "submit", document).exit_code == 0
    first, second = (one.headers["idempotency-key"] for one in server.asked("POST", "/api/workflows"))
    assert first == second


def test_each_submission_has_its_own_key_unless_one_is_given(
    diracx: Run, server: Server, document: str
) -> None:
    server.gives("POST", "/api/workflows", Answer(SUBMITTED, 201))
    for options in ([], [], ["--idempotency-key", "mine"]):
        diracx("workflows", "submit", document, *options)
    first, second, third = (one.headers["idempotency-key"] for one in server.requests)

    assert first != second
    assert third == "mine"


@pytest.mark.parametrize("form", ["json", "id"])
def test_programs_that_watch_read_json_or_the_number(diracx: Run, server: Server, form: str) -> None:
    server.gives("GET", "/api/workflows/12", a_detail("Running"), a_detail("Failed"))
    result = diracx("workflows", "show", 12, "--watch", "-o", form)
    assert (result.exit_code, result.stderr) == (1, "")
    said = result.stdout.splitlines()
    assert [json.loads(one)["status"] for one in said if form == "json"] in (["Running", "Failed"], [])
    assert form == "json" or said == ["12", "12"]


@pytest.mark.parametrize(("status", "code"), [("Done", 0), ("Failed", 1), ("Killed", 3)])
@pytest.mark.parametrize("option", ["--wait", "--watch"])
def test_waiting_ends_with_the_code_of_the_workflow(
    diracx: Run, server: Server, document: str, *, option: str, status: str, code: int
) -> None:
    ended(server, status)
    result = diracx("workflows", "submit", document, option, "-o", "id")

    assert result.exit_code == code
    assert result.stdout == "12\n"
    assert (f"is {status}" in result.stderr) == (option == "--watch" or code != 0)


def test_a_list_is_a_table_json_or_ids(diracx: Run, server: Server) -> None:
    rows = [a_workflow(13, "Done", name="[red]x"), a_workflow(12)]
    server.gives("GET", "/api/workflows", {"workflows": rows, "next": None})
    table = diracx("workflows", "list", "-o", "table").stdout.splitlines()

    assert json_of(diracx("workflows", "list")) == rows
    assert diracx("workflows", "list", "-o", "id").stdout == "13\n12\n"
    assert table[0].split() == [
        "ID",
        "Name",
        "Status",
        "Jobs",
        "done",
        "Failed",
        "Owner",
        "Submitted",
        "Took",
    ]
    assert table[1].split()[:5] == ["13", "[red]x", "Done", "6/9", "(2"]
    assert "6/9 (2 reused)       1" in table[1] and table[1].rstrip().endswith("1 min 30 s")
    assert len(table) == 3


def pages(server: Server, count: int) -> None:
    """Have so many workflows, the newest of which has the number `count`."""

    def page(request: Any) -> Any:
        top = int(request.query.get("before", count + 1))
        limit = int(request.query["limit"])
        rows = [a_workflow(number) for number in range(top - 1, max(0, top - 1 - limit), -1)]
        rows = [row for row in rows if request.query.get("status") in (None, row["status"])]
        return {"workflows": rows, "next": rows[-1]["workflow_id"] if len(rows) == limit else None}

    server.gives("GET", "/api/workflows", page)


def test_a_list_goes_on_over_pages_as_far_as_asked(diracx: Run, server: Server) -> None:
    pages(server, 230)

    assert len(json_of(diracx("workflows", "list"))) == 25
    assert [row["workflow_id"] for row in json_of(diracx("workflows", "list", "--limit", 150))] == list(
        range(230, 80, -1)
    )
    assert len(json_of(diracx("workflows", "list", "--all"))) == 230
    assert "There are more: --limit 100" in diracx("workflows", "list", "-o", "table").stdout
    assert "There are more" not in diracx("workflows", "list", "-o", "table", "--limit", 230).stdout


def test_an_empty_list_says_why(diracx: Run, server: Server) -> None:
    pages(server, 3)
    filtered = diracx("workflows", "list", "--status", "done")

    assert filtered.stderr == "no workflow matches status=Done; 3 without this filter\n"
    assert json_of(filtered) == []
    pages(server, 0)
    assert diracx("workflows", "list", "-o", "table").stdout.startswith("no workflows yet: submit one")


def test_showing_gives_steps_outputs_and_the_reason(diracx: Run, server: Server) -> None:
    steps = [a_step(Running=1, Done=6, Failed=1), a_step("end/plot", 0)]
    found = a_detail("Failed", *steps, reason="simulate: exit code 3 (job 17)", outputs={"pi": 3.14})
    found["outputs"]["plot"] = {"class": "File", "basename": "pi.png", "size": 12_345}
    server.gives("GET", DETAIL, found)
    table = diracx("workflows", "show", 12, "-o", "table").stdout

    assert json_of(diracx("workflows", "show", 12)) == found
    assert "simulate: exit code 3 (job 17)" in table
    assert "6/8" in table
    assert "0/?" in table
    assert "pi.png (12.3 kB)" in table


def test_the_wishes_of_a_submission_are_sent_as_far_as_they_are_stated(
    diracx: Run, server: Server, document: str
) -> None:
    server.gives("POST", "/api/workflows", Answer(SUBMITTED, 201))
    options = ["--on-error", "continue", "--no-reuse", "--retries", 4]
    diracx("workflows", "submit", document, *options)
    diracx("workflows", "submit", document)
    wishes = [
        {name: one.body[name] for name in ("on_error", "reuse", "retries") if name in one.body}
        for one in server.requests
    ]

    assert wishes == [{"on_error": "continue", "reuse": False, "retries": 4}, {}]
    assert diracx("workflows", "submit", document, "--on-error", "wait").exit_code == 2


def test_rerunning_prints_the_workflow_that_runs(diracx: Run, server: Server) -> None:
    server.gives("POST", f"{DETAIL}/rerun", {"workflow_id": 12, "status": "Running"})
    assert diracx("workflows", "rerun", 12, "--failed", "-o", "table").stdout == "workflow 12 is Running\n"


def test_what_is_run_again_has_to_be_said(diracx: Run, server: Server) -> None:
    told = diracx("workflows", "rerun", 12)
    assert (told.exit_code, server.requests) == (2, [])
    assert "--no-reuse" in told.stderr


def test_killing_goes_on_after_one_that_cannot_be_killed(diracx: Run, server: Server) -> None:
    refusal = {"detail": "workflow 12 is Done: it cannot become Killed"}
    server.gives("POST", f"{DETAIL}/kill", Answer(refusal, 409))
    server.gives("POST", "/api/workflows/13/kill", {"workflow_id": 13, "status": "Killing"})
    result = diracx("workflows", "kill", 12, 13)

    assert result.exit_code == 1
    assert result.stderr == "diracx: workflow 12 is Done: it cannot become Killed\n"
    assert result.stdout == "workflow 13 is Killing\n"


@pytest.mark.parametrize(("key", "code", "count"), [("n", 1, 0), ("y", 0, 1)])
def test_killing_asks_at_a_terminal(
    terminals: Terminals, server: Server, key: str, code: int, count: int
) -> None:
    server.gives("POST", f"{DETAIL}/kill", {"workflow_id": 12, "status": "Killing"})
    terminal = terminals.run("workflows", "kill", 12)
    terminal.shows("Kill workflow 12 with all jobs? [y/N]")
    terminal.type(f"{key}\n")

    assert terminal.ends() == code
    assert len(server.requests) == count


def test_killing_does_not_ask_when_told_so(terminals: Terminals, server: Server) -> None:
    server.gives("POST", f"{DETAIL}/kill", {"workflow_id": 12, "status": "Killing"})

    assert terminals.run("workflows", "kill", 12, "--yes").ends() == 0


def test_a_list_at_a_terminal_is_a_coloured_table(terminals: Terminals, server: Server) -> None:
    server.gives("GET", "/api/workflows", {"workflows": [a_workflow(12, "Failed")], "next": None})
    terminal = terminals.run("workflows", "list")

    assert terminal.ends() == 0
    assert "\x1b[31mFailed\x1b[0m" in terminal.text


def test_times_are_in_json_as_the_server_gives_them(diracx: Run, server: Server) -> None:
    server.gives("GET", DETAIL, a_detail("Done"))
    found = json_of(diracx("workflows", "show", 12))

    assert (found["submitted_at"], found["ended_at"]) == (TIME, LATER)
