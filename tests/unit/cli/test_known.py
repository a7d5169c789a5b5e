"""TAB: numbers and names that the server knows, for every kind of thing; silence when it does not answer."""

import json
import time
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from diracx_tasks.cli.main import cli
from tests.builders import Installation, installation, template
from tests.unit.cli.answers import a_detail, a_job, a_step, a_workflow
from tests.unit.cli.conftest import Run
from tests.unit.cli.installed import tasks
from tests.unit.cli.server import Server

__all__ = ["installation", "tasks", "template"]
STAMPS = ("0f3c", "0f3d", "9aaa")


def completed(line: str, incomplete: str = "") -> list[str]:
    """What TAB offers behind a line."""
    found = ShellComplete(cli, {}, "diracx", "_DIRACX_COMPLETE").get_completions(line.split(), incomplete)
    return [one.value for one in found]


@pytest.fixture
def known(environment: None, server: Server) -> Server:
    """A server that knows some of everything."""
    server.gives("GET", "/api/workflows", {"workflows": [a_workflow(13), a_workflow(2)], "next": None})
    server.gives("POST", "/api/jobs/search", [a_job(70), a_job(71), a_job(8)])
    pilots = [{"PilotStamp": stamp, "GridSite": "CERN", "Status": "Running"} for stamp in STAMPS]
    server.gives("POST", "/api/pilots/search", pilots)
    queues = [{"site": site, "ce": f"ce.{site}", "queue": "long"} for site in ("CERN", "CNAF", "CNAF")]
    server.gives("GET", "/api/sites/", queues)
    server.gives("GET", "/api/data/elements", [{"name": "CERN-disk"}])
    folder = {"folders": ["user"], "files": [{"lfn": "/lhcb/readme"}], "after": None}
    server.gives("GET", "/api/data/folder", folder)
    server.gives("GET", "/api/workflows/12", a_detail("Running", a_step("simulate"), a_step("end/plot")))
    return server


@pytest.mark.parametrize(
    ("line", "incomplete", "offered"),
    [
        ("workflows show", "1", ["13"]),
        ("workflows kill 13", "", ["2"]),
        ("workflows logs 12", "end", ["end/plot"]),
        ("jobs list --workflow", "", ["13", "2"]),
        ("jobs show", "7", ["70", "71"]),
        ("jobs kill 70", "7", ["71"]),
        ("job sandbox peek", "8", ["8"]),
        ("jobs list --status", "R", ["Received", "Running"]),
        ("pilots show", "0f3", ["0f3c", "0f3d"]),
        ("pilots list --site", "CN", ["CNAF"]),
        ("sites ban", "", ["CERN", "CNAF"]),
        ("sites test --ce", "ce.CE", ["ce.CERN"]),
        ("data put x /lhcb/y --se", "", ["CERN-disk"]),
        ("data ls", "/lhcb/", ["/lhcb/user/", "/lhcb/readme"]),
        ("data ls", "/lhcb/u", ["/lhcb/user/"]),
    ],
)
def test_what_the_server_knows_is_offered(
    known: Server, line: str, incomplete: str, offered: list[str]
) -> None:
    assert completed(line, incomplete) == offered


def test_vos_and_groups_are_offered_before_a_login(
    environment: None, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DIRACX_TOKEN")
    groups: dict[str, Any] = {"user": {}, "admins": {}}
    server.public["/.well-known/dirac-metadata"] = {"virtual_organizations": {"lhcb": {"groups": groups}}}

    assert completed("login") == ["lhcb"]
    assert completed("login lhcb --group", "a") == ["admins"]


def test_documents_are_completed_as_file_names(environment: None) -> None:
    found = ShellComplete(cli, {}, "diracx", "_DIRACX_COMPLETE").get_completions(["workflows", "submit"], "x")
    assert [one.type for one in found] == ["file"]


def test_nothing_is_offered_and_nothing_said_when_the_server_says_no(
    known: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIRACX_TOKEN", "wrong")
    assert completed("jobs show") == []
    assert capfd.readouterr() == ("", "")


def test_a_server_that_takes_its_time_is_not_waited_for(
    environment: None, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diracx_tasks.cli import known as patience

    monkeypatch.setattr(patience, "PATIENCE", 0.1)

    def slow(_: Any) -> Any:
        time.sleep(1)
        return [a_job(7)]

    server.gives("POST", "/api/jobs/search", slow)
    assert completed("jobs show") == []


def test_operators_entries_are_offered(tasks: Run, installation: Installation) -> None:
    assert completed("tasks call", "workflows.adv") == ["workflows.advance"]
    assert completed("tasks locks release") == []
    names = [row["name"] for row in json.loads(tasks("schedule").stdout)]
    assert completed("tasks schedule pause") == names
