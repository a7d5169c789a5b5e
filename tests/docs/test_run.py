"""The commands of the documentation are run, page by page, and print what it says."""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.docs.compare import missing
from tests.docs.pages import DOCS, Command, File, pages, sessions, steps
from tests.docs.shell import Ran, Shell, shifted
from tests.system import System, wait_for

pytestmark = pytest.mark.integration
# Pages of which nothing is run here, and why; how many commands are left out in all has a bound.
EXTENSION = "they are about the extension that tests/extension installs and runs"
GRID = "they need sites and their pilots: tests/integration and tests/api have some"
NOT_RUN = {
    "add-a-task": EXTENSION,
    "ban-a-site": GRID,
    "change-a-task-without-redeploying": "they need a configuration in git: tests/unit/core has some",
    "dead-letters": EXTENSION,
    "extend": EXTENSION,
    "flower": "no Flower runs here: tests/integration starts one",
    "how-a-pilot-proves-who-it-is": GRID,
    "look-after-pilots": GRID,
    "many-at-once": EXTENSION,
    "nodes-that-fail-everything": GRID,
    "pilots-on-the-node": GRID,
    "redis": "it shows how an installation fails elsewhere",
    "resource-status": GRID,
    "run-here": "it starts a system of its own, as its test in tests/integration does",
    "shares-and-priorities": "it looks into the matcher's Redis",
    "the-pilot-as-one-file": "it packs wheels of several Pythons, which takes minutes",
    "what-survives-what": "it takes ten minutes",
    "where-pilots-are-sent": GRID,
}
MOST_NOT_RUN = 81
# Pages for operators whose commands load all that a server has, two seconds each.
SLOW = (
    "add-a-vo-a-group-a-user",
    "how-long-jobs-are-kept",
    "install-for-production",
    "limits-of-sites",
    "queues-and-workers",
    "tasks-and-schedule",
)
EVERY = "DIRACX_TEST_EVERY_PAGE"
# What a page shows of commands that fail.
FAILURE = re.compile(r"^diracx: |\bWRONG\b|^\d+ wrong$|\bnot removed\b")
GOING_ON = ("Received", "Running", "Killing")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """What `make up` starts, for all pages."""
    with System(tmp_path_factory.mktemp("up"), None, "--slots", "4") as found:
        yield found


@pytest.fixture
def shell(system: System, tmp_path: Path) -> Iterator[Shell]:
    """A terminal of somebody who has installed it, in a folder of his own."""
    shutil.copytree(ROOT / "workflows", tmp_path / "workflows")
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
    may_fail = any(FAILURE.search(line) for line in command.prints)
    if ran.code is None or (ran.code and not may_fail):
        return f"it ended with {ran.code}"
    if command.prints_otherwise:
        return ""
    lacks = missing(command.prints, ran.lines)
    return f"it does not print: {lacks}" if lacks else ""


def names(system: System, shell: Shell) -> dict[str, str]:
    """What is called otherwise here: on the pages Alice of the VO lhcb is the reader, at port 8000."""
    me = system.client.get("/api/auth/userinfo")["preferred_username"]
    home = f"/local/user/{me[0]}/{me}"
    address = system.client.url.partition("://")[2]
    folder = shell.run("pwd").lines[0]
    return {
        "/lhcb/user/a/alice": home,
        # A second page stores files of the same names.
        "/local/user/a/alice": f"{home}/examples",
        "127.0.0.1:8000": address,
        "/srv/": f"{folder}/srv/",
        "/var/lib/diracx/keys/": f"{folder}/",
        "@lhcb": "@local",
        # In a cell of a table.
        " alice  ": f" {me}  ",
    }


def named(known: Mapping[str, str], text: str) -> str:
    """The text with the names of this system."""
    for name, here in known.items():
        text = text.replace(name, here)
    return text


def done(shell: Shell, command: Command) -> Ran:
    """Run a command; a file that a page shows with `cat` is there before."""
    shows = re.fullmatch(r"cat (\S+)", command.text)
    if shows and command.prints and shell.run(f"test -e {shows[1]}").code:
        shell.write(shows[1], "\n".join([*command.prints, ""]))
    return shell.run(command.text)


def is_quiet(system: System) -> bool:
    """Whether no workflow goes on: none would make jobs whose numbers a page takes for its own."""
    return not any(system.client.get("/api/workflows", limit=1, status=one)["workflows"] for one in GOING_ON)


def last(system: System) -> dict[str, int]:
    """The newest numbers of this system, once it is quiet."""
    wait_for(lambda: is_quiet(system), 60, lambda: system.log[-3000:])
    workflows = system.client.get("/api/workflows", limit=1)["workflows"]
    order = [{"parameter": "JobID", "direction": "desc"}]
    jobs = system.client.post("/api/jobs/search", {"sort": order}, per_page=1)
    return {
        "workflow": workflows[0]["workflow_id"] if workflows else 0,
        "job": jobs[0]["JobID"] if jobs else 0,
    }


@pytest.mark.parametrize("page", [one for one in pages() if is_run(one)], ids=lambda page: page.stem)
def test_what_a_page_says_is_so(page: Path, request: pytest.FixtureRequest) -> None:
    if page.stem in SLOW and EVERY not in os.environ:
        pytest.skip(f"it takes long: {EVERY}=1 has it run")
    system, shell = request.getfixturevalue("system"), request.getfixturevalue("shell")
    offsets, mine = last(system), partial(named, names(system, shell))
    for step in steps(page):
        if isinstance(step, File):
            shell.write(step.name, step.text)
        elif not step.why_not:
            told = replace(step, text=shifted(mine(step.text), offsets), prints=[*map(mine, step.prints)])
            ran = done(shell, told)
            words = complaint(told, ran)
            assert not words, "\n".join([f"{told.place}: {told.text}", words, *ran.lines, system.log[-2000:]])


def test_few_commands_are_not_run() -> None:
    left = [
        one.place
        for page in pages()
        for one in sessions(page)
        if one.why_not or (not is_run(page) and not one.is_before)
    ]
    assert len(left) <= MOST_NOT_RUN
    assert {DOCS / f"{name}.md" for name in NOT_RUN} <= set(pages())
