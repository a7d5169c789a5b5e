"""The commands of the documentation are run, page by page, and print what it says."""

import getpass
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
from tests.desk import browse
from tests.docs.compare import missing
from tests.docs.grid import Place, grid
from tests.docs.pages import DOCS, Command, File, pages, sessions, steps
from tests.docs.shell import Ran, Shell, shifted
from tests.docs.warm import warm
from tests.extension.installed import muon
from tests.system import System, wait_for
from tests.unit.notices.receivers import posting

__all__ = ["muon"]

pytestmark = pytest.mark.integration
# Pages of which nothing is run here, and why; how many commands are left out in all has a bound.
NOT_RUN = {
    "redis": "it shows how an installation fails elsewhere",
    "what-survives-what": "it takes ten minutes",
}
MOST_NOT_RUN = 15
# Pages about sites, pilots, extensions, Flower and a configuration in git: on a system that has them.
ON_GRID = (
    "add-a-task",
    "ban-a-site",
    "change-a-task-without-redeploying",
    "dead-letters",
    "extend",
    "flower",
    "how-a-pilot-proves-who-it-is",
    "look-after-pilots",
    "many-at-once",
    "nodes-that-fail-everything",
    "pilots-on-the-node",
    "resource-status",
    "shares-and-priorities",
    "where-pilots-are-sent",
)
# Pages that start whole systems of their own.
SLOW = ("run-here",)
EVERY = "DIRACX_TEST_EVERY_PAGE"
# What a page shows of commands that fail.
FAILURE = re.compile(
    r"^diracx: |\bWRONG\b|^\d+ wrong$|\bnot removed\b|^FLOWER_|^Flower does not|rejected|^\(Pdb\)"
)
GOING_ON = ("Received", "Running", "Killing")
# What a login shows: somebody opens it in a browser.
LOGIN = re.compile(r"^(?:Open  |Now go to: )(http\S+)$")
CODE = "29286223"
# What is done before a page may say what a name of the page is here.
HERE = re.compile(r"^(\S+) is here (\S+)$")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """What `make up` starts, for most pages; it has a mail server."""
    folder = tmp_path_factory.mktemp("up")
    with posting() as post:
        stated = {
            "DIRACX_MAIL_URL": post.url,
            "DIRACX_MAIL_FROM": "diracx@example.org",
            "DIRACX_HEALTH_FILES": str(folder),
        }
        with System(folder, stated, "--slots", "4") as system:
            environment = {"PYTHONPATH": str(ROOT), "DIRACX_HEALTH_FILES": str(folder)}
            with warm(folder, environment) as programs:
                yield Place(system, "local", programs, environment, post=post)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, muon: dict[str, str]) -> Iterator[Place]:
    """An installation with all that there is."""
    with grid(tmp_path_factory.mktemp("grid"), muon) as place:
        yield place


@pytest.fixture
def place(page: Path, request: pytest.FixtureRequest) -> Place:
    """The system that a page is about."""
    if page.stem in SLOW and EVERY not in os.environ:
        pytest.skip(f"it takes long: {EVERY}=1 has it run")
    found: Place = request.getfixturevalue("large" if page.stem in ON_GRID else "small")
    return found


@pytest.fixture
def shell(place: Place, tmp_path: Path) -> Iterator[Shell]:
    """A terminal of somebody who has installed it, in a folder of his own."""
    shutil.copytree(ROOT / "workflows", tmp_path / "workflows")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    client = place.system.client
    environment = {
        "DIRACX_DATA": str(place.system.folder),
        "DIRACX_OUTPUT": "table",
        "HOME": str(tmp_path),
        "COLUMNS": "200",
        "PATH": f"{place.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        **place.environment,
    }
    with Shell(tmp_path, environment, partial(logged_in, place)) as found:
        # Not exported: they are for curl.
        found.run(f"DIRACX_URL={client.url} DIRACX_TOKEN={client.token} TOKEN={client.token}")
        yield found


def logged_in(place: Place, line: str) -> None:
    """Confirm a login that a command has begun, as its user does in a browser."""
    if shown := LOGIN.match(line):
        password = (place.system.folder / "keys" / "login").read_text()
        browse(shown[1], subject=getpass.getuser(), password=password)


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


def names(place: Place, shell: Shell) -> dict[str, str]:
    """What is called otherwise here: on the pages Alice of the VO lhcb is the reader, at port 8000."""
    client = place.system.client
    me = client.get("/api/auth/userinfo")["preferred_username"]
    home = f"/{place.vo}/user/{me[0]}/{me}"
    folder = shell.run("pwd").lines[0]
    return {
        "/lhcb/user/a/alice": home,
        # A second page stores files of the same names.
        "/local/user/a/alice": f"{home}/examples",
        "127.0.0.1:8000": client.url.partition("://")[2],
        "https://diracx.example.org/api": f"{client.url}/api",
        "/srv/": f"{folder}/srv/",
        "/var/lib/diracx/keys/": f"{folder}/",
        "/home/alice/": f"{folder}/",
        "@lhcb": f"@{place.vo}",
        # In a cell of a table, and where the pages show what they show to root.
        " alice  ": f" {me}  ",
        '"root"': f'"{me}"',
        "local:root": f"local:{me}",
        "by root": f"by {me}",
        "root is logged": f"{me} is logged",
        "User        root": f"User        {me}",
        **place.names,
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


def code(place: Place) -> str:
    """The code in a mail that is on its way."""
    post = place.post
    assert post is not None
    wait_for(lambda: bool(post.texts()), 60, lambda: place.system.log[-3000:])
    return post.code()


@pytest.mark.parametrize("page", [one for one in pages() if is_run(one)], ids=lambda page: page.stem)
def test_what_a_page_says_is_so(page: Path, place: Place, shell: Shell) -> None:
    system = place.system
    offsets, known = last(system), names(place, shell)
    for step in steps(page):
        mine = partial(named, known)
        if isinstance(step, File):
            shell.write(step.name, mine(step.text))
        elif not step.why_not:
            if CODE in step.text:
                known[CODE] = code(place)
            told = replace(step, text=shifted(mine(step.text), offsets), prints=[*map(mine, step.prints)])
            ran = done(shell, told)
            words = complaint(told, ran)
            known |= {found[1]: found[2] for line in ran.lines if (found := HERE.match(line))}
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
