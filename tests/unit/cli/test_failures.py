"""What goes wrong is one line with what to do, and an exit code; `--debug` shows where."""

import re

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.server import Answer, Server

LISTED = "/api/workflows"


@pytest.mark.parametrize(
    "arguments", [["wrokflows"], ["workflows", "list", "--limit", "many"], ["jobs", "list", "-o", "xml"]]
)
def test_wrong_usage_is_one_line_with_where_to_look_and_exits_with_2(
    diracx: Run, arguments: list[str]
) -> None:
    result = diracx(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"diracx: .*[;?] [Ss]ee `diracx.* --help`\n", result.stderr)


def test_what_is_no_number_or_no_command_is_said_in_plain_words(diracx: Run) -> None:
    assert "'abc' is not a whole number; see `" in diracx("jobs", "show", "abc").stderr
    assert "Did you mean 'list'? See `" in diracx("jobs", "lst").stderr


def test_help_does_not_cut_what_a_command_does(diracx: Run) -> None:
    assert "..." not in diracx("tasks", "--help").stdout.partition("Commands:")[2]


def test_what_nobody_expected_is_one_line_and_exits_with_70(diracx: Run, server: Server) -> None:
    server.gives("GET", LISTED, {"surprise": 1})
    result = diracx("workflows", "list")
    words = "diracx: unexpected KeyError: 'workflows'; run it again with --debug to see where\n"

    assert (result.exit_code, result.stdout, result.stderr) == (70, "", words)


@pytest.mark.parametrize("arguments", [["--debug", "workflows", "list"], ["workflows", "list", "--debug"]])
def test_with_debug_an_error_shows_where_it_comes_from(
    diracx: Run, server: Server, arguments: list[str]
) -> None:
    server.gives("GET", LISTED, {"surprise": 1})
    result = diracx(*arguments)

    assert result.exit_code == 70
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert result.stderr.endswith("\ndiracx: unexpected KeyError: 'workflows'\n")


def test_the_environment_asks_for_tracebacks_as_well(
    diracx: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_DEBUG", "1")
    server.gives("GET", "/api/workflows/12", Answer({"detail": "there is no workflow 12"}, 404))
    result = diracx("workflows", "show", 12)

    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback") and result.stderr.endswith(
        "diracx: there is no workflow 12\n"
    )


def test_a_server_that_is_away_is_named_with_what_to_look_at(
    diracx: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_URL", "http://127.0.0.1:9")
    result = diracx("jobs", "show", 7)

    assert result.stderr == (
        "diracx: http://127.0.0.1:9/api/jobs/7 does not answer: [Errno 111] Connection refused; "
        "does it run, and is DIRACX_URL right?\n"
    )
