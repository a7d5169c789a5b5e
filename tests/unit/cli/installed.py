"""`diracx tasks` on a real installation; its API does not run, and need not."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from diracx_tasks.cli.main import cli
from tests.builders import Installation

Run = Callable[..., Result]
Table = Callable[..., str]


@pytest.fixture
def tasks(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `diracx tasks` with arguments, in carol's name."""
    monkeypatch.setenv("LOGNAME", "carol")
    for name in ("DIRACX_OUTPUT", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object, stdin: str | None = None) -> Result:
        given = ["tasks", *(str(one) for one in arguments)]
        return CliRunner().invoke(cli, given, input=stdin, prog_name="diracx")

    return run


@pytest.fixture
def table(tasks: Run) -> Table:
    """What a person sees of a command that must succeed."""

    def run(*arguments: object) -> str:
        result = tasks(*arguments, "-o", "table")
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def rows(result: Result) -> Any:
    """What a program reads of a command that must have succeeded."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def said(result: Result) -> str:
    """What a command said that must have succeeded."""
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def refused(result: Result, code: int) -> str:
    """The one line of a command that was refused with an exit code."""
    assert isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code == code, result.output
    *_, line = result.stderr.splitlines()
    return line
