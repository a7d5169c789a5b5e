"""Tables fit the terminal, look the same everywhere, and are watched."""

import json
from typing import Any

import pytest
from rich.console import Console

from diracx_tasks.cli import live
from diracx_tasks.cli.tables import Column, fitted
from tests.unit.cli.answers import a_job, a_workflow
from tests.unit.cli.conftest import Run, Terminals, json_of
from tests.unit.cli.server import Answer, Server

SEARCH = "/api/jobs/search"
LONG = "a_simulation_whose_name_is_far_too_long_for_any_table_that_people_look_at"


def has(server: Server, *rows: dict[str, Any]) -> None:
    """Have these jobs."""
    server.gives("POST", SEARCH, lambda request: list(rows) if not request.body["search"] else [])


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_of_a_table_is_wider_than_the_terminal(
    diracx: Run, server: Server, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    has(server, *(a_job(number, "Waiting", JobName=LONG) for number in (120_017, 7)))
    lines = diracx("jobs", "list", "-o", "table").stdout.splitlines()

    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines[:3]] == ["ID", "120017", "7"]
    assert all("Waiting" in line for line in lines[1:3])


def test_what_matters_least_is_left_out_first_and_named(
    diracx: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(server, a_job(7, JobName=LONG))
    head, row = diracx("jobs", "list", "-o", "table").stdout.splitlines()
    assert LONG in row and "Owner" in head
    monkeypatch.setenv("COLUMNS", "74")
    head, row, remark = diracx("jobs", "list", "-o", "table").stdout.splitlines()
    assert "…" in row and "Owner" not in head
    assert remark == "No room here for Owner."


def test_where_not_even_the_least_has_room_a_row_is_names_and_values(
    diracx: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    has(server, a_job(120_017, "Waiting", JobName="simulate"), a_job(7))
    lines = [line.split() for line in diracx("jobs", "list", "-o", "table").stdout.splitlines()]

    assert lines[:3] == [["ID", "120017"], ["Name", "simulate"], ["Status", "Waiting"]]
    assert [] in lines and ["ID", "7"] in lines


def test_words_that_are_to_be_read_whole_go_on_in_the_next_line(capsys: pytest.CaptureFixture[str]) -> None:
    columns = (
        Column("Check", lambda row: row["check"]),
        Column("Words", lambda row: row["words"], wraps=True),
    )
    rows = [
        {"check": "migrations", "words": "the database is at version 7, 9 is needed"},
        {"check": "clock", "words": "is right"},
    ]
    Console(width=40).print(fitted(rows, columns, 40).drawn)

    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "Check       Words",
        "migrations  the database is at version",
        "            7, 9 is needed",
        "clock       is right",
    ]


def test_colours_are_left_out_where_they_are_not_wanted_and_the_words_stay(
    terminals: Terminals, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    server.gives("GET", "/api/workflows", {"workflows": [a_workflow(12, "Failed")], "next": None})
    terminal = terminals.run("workflows", "list")

    assert terminal.ends() == 0
    assert "\x1b[31m" not in terminal.text and "Failed" in terminal.text


def test_a_list_is_filtered_by_conditions_and_says_why_it_is_empty(diracx: Run, server: Server) -> None:
    has(server, a_job(7), a_job(8))
    result = diracx("jobs", "list", "--where", "Site=there", "--where", "JobID in 1,2")

    assert json_of(result) == []
    assert result.stderr == "no job matches Site=there and JobID in 1,2; 2 without this filter\n"


def test_a_watched_list_is_redrawn_until_ctrl_c(terminals: Terminals, server: Server) -> None:
    states = iter([[a_job(7, "Waiting")], Answer({"detail": "no"}, 503), [a_job(7, "Done")]])
    last: list[Any] = []

    def search(_: Any) -> Any:
        last[:] = [next(states, *last)]
        return last[0]

    server.gives("POST", SEARCH, search)
    terminal = terminals.run("jobs", "list", "--watch")
    assert terminal.shows("Waiting") and terminal.shows("Done")
    terminal.press_ctrl_c()

    assert terminal.ends() == 130
    assert "Traceback" not in terminal.text
    # The cursor is there again.
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")


def test_a_watched_list_in_a_pipe_is_a_line_for_each_change(
    diracx: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SECONDS", 0.01)
    rows = [[a_job(7, "Waiting")], [a_job(7, "Waiting")], [a_job(7, "Done")]]
    server.gives("POST", SEARCH, *rows, Answer({"detail": "gone"}, 404))
    result = diracx("jobs", "list", "--watch")

    assert [json.loads(line)[0]["Status"] for line in result.stdout.splitlines()] == ["Waiting", "Done"]
    assert (result.exit_code, result.stderr) == (1, "diracx: gone\n")


@pytest.mark.parametrize(("status", "code"), [("Done", 0), ("Failed", 1), ("Killed", 3)])
def test_a_watched_job_ends_with_its_code(
    diracx: Run, server: Server, monkeypatch: pytest.MonkeyPatch, status: str, code: int
) -> None:
    monkeypatch.setattr(live, "SECONDS", 0.01)
    server.gives("GET", "/api/jobs/7", a_job(7), a_job(7), a_job(7, status))
    server.gives("GET", "/api/jobs/7/history", [])
    result = diracx("jobs", "status", 7, "--watch", "-o", "table")

    assert (result.exit_code, result.stdout.count("Minor status")) == (code, 2)
