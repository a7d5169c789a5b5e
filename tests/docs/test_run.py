"""The commands of the documentation are run, page by page, and print what it says."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.docs.compare import missing
from tests.docs.pages import DOCS, Command, File, pages, sessions, steps
from tests.docs.shell import Ran, Shell, shifted
from tests.system import System

pytestmark = pytest.mark.integration
# Pages of which nothing is run here, and why; how many commands are left out in all has a bound.
NOT_RUN = {}
MOST_NOT_RUN = 0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """What `make up` starts, for all pages."""
    with System(tmp_path_factory.mktemp("up"), None, "--slots", "4") as found:
        yield found


@pytest.fixture
def shell(system: System, tmp_path: Path) -> Iterator[Shell]:
    """A terminal of somebody who has installed it, in a folder of his own."""
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    environment = {
        "DIRACX_DATA": str(system.folder),
        "DIRACX_OUTPUT": "table",
        "HOME": str(tmp_path),
        "COLUMNS": "200",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    with Shell(tmp_path, environment) as found:
        # Not exported: they are for curl.
        found.run(f"DIRACX_URL={system.client.url} DIRACX_TOKEN={system.client.token}")
        yield found


def is_run(page: Path) -> bool:
    return page.stem not in NOT_RUN and any(not one.why_not and not one.is_before for one in sessions(page))


def complaint(command: Command, ran: Ran) -> str:
    """What is wrong with how it went; empty when nothing is."""
    may_fail = any(line.startswith("diracx: ") for line in command.prints)
    if ran.code is None or (ran.code and not may_fail):
        return f"it ended with {ran.code}"
    lacks = missing(command.prints, ran.lines)
    return f"it does not print: {lacks}" if lacks else ""


def last(system: System) -> dict[str, int]:
    """The newest numbers of this system."""
    workflows = system.client.get("/api/workflows", limit=1)["workflows"]
    order = [{"parameter": "JobID", "direction": "desc"}]
    jobs = system.client.post("/api/jobs/search", {"sort": order}, per_page=1)
    return {
        "workflow": workflows[0]["workflow_id"] if workflows else 0,
        "job": jobs[0]["JobID"] if jobs else 0,
    }


@pytest.mark.parametrize("page", [one for one in pages() if is_run(one)], ids=lambda page: page.stem)
def test_what_a_page_says_is_so(page: Path, system: System, shell: Shell) -> None:
    offsets = last(system)
    for step in steps(page):
        if isinstance(step, File):
            shell.write(step.name, step.text)
        elif not step.why_not:
            ran = shell.run(shifted(step.text, offsets))
            words = complaint(step, ran)
            assert not words, "\n".join([f"{step.place}: {step.text}", words, *ran.lines, system.log[-2000:]])


def test_few_commands_are_not_run() -> None:
    left = [
        one.place
        for page in pages()
        for one in sessions(page)
        if one.why_not or (not is_run(page) and not one.is_before)
    ]
    assert len(left) <= MOST_NOT_RUN
    assert {DOCS / f"{name}.md" for name in NOT_RUN} <= set(pages())
