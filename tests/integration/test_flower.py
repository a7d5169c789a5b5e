"""Flower with our configuration: who may look, what our pages show, and that links go both ways."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
import urllib3

from diracx_tasks.core.database import now, session
from diracx_tasks.core.settings import stated
from diracx_tasks.engine import dead_letters, history, outbox
from tests.architecture.source import ROOT
from tests.builders import Installation, installation, template
from tests.servers import Server
from tests.servers.ports import HOST
from tests.system import wait_for

__all__ = ["installation", "template"]
pytestmark = pytest.mark.integration
CONFIG = ROOT / "deploy" / "flower" / "flowerconfig.py"
PASSWORD = "administrator:a-password"
EVIL = "<script>alert(1)</script>"
KEY = "workflow-42.advance"
PAGES = ("/diracx/history", "/diracx/workflow/42", "/diracx/dead", "/diracx/usage")


class Celery(Server):
    """A program of `celery -A diracx_tasks` on the test's installation."""

    programs: ClassVar = ()
    arguments: ClassVar[tuple[str, ...]] = ()

    def command(self) -> list[str]:
        """Start it in this Python environment."""
        return [sys.executable, "-m", "celery", "-A", "diracx_tasks", *self.arguments]

    def environment(self) -> dict[str, str]:
        """The installation's settings."""
        return super().environment() | stated()


class Worker(Celery):
    """A worker of the queue that workflows are advanced in, with events."""

    arguments: ClassVar = ("worker", "-E", "-c", "1", "-Q", "realtime.medium", "-n", "one@here", "-l", "info")

    def is_ready(self) -> bool:
        """Whether it says so."""
        return "one@here ready" in self.log.read_text()


class Flower(Celery):
    """Flower behind a password."""

    def __init__(self, folder: Path, **options: str) -> None:
        super().__init__(folder)
        self.options = options

    def command(self) -> list[str]:
        """Start it with our configuration."""
        return [*super().command(), "flower", f"--conf={CONFIG}", f"--address={HOST}", f"--port={self.port}"]

    def environment(self) -> dict[str, str]:
        """The installation's settings and Flower's."""
        return super().environment() | {"FLOWER_BASIC_AUTH": PASSWORD, **self.options}

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return self.get(f"{self.prefix}/healthcheck")[0] == 200
        except urllib3.exceptions.HTTPError:
            return False

    @property
    def prefix(self) -> str:
        """What its paths begin with."""
        return f"/{prefix}" if (prefix := self.options.get("FLOWER_URL_PREFIX")) else ""

    def get(self, path: str, password: str | None = PASSWORD) -> tuple[int, str]:
        """Status and text of a page."""
        headers = urllib3.make_headers(basic_auth=password) if password else {}
        url = f"http://{HOST}:{self.port}{path}"
        answer = urllib3.request("GET", url, headers=headers, retries=False, timeout=10)
        return answer.status, answer.data.decode()

    def page(self, path: str) -> str:
        """Text of a page that there is."""
        status, text = self.get(path)
        assert status == 200, (status, text)
        return text


@pytest.fixture
def flower(installation: Installation, tmp_path: Path) -> Iterator[Flower]:
    """Flower on an installation."""
    with Flower(tmp_path / "flower", FLOWER_DIRACX_UI="https://diracx.example.org/") as server:
        yield server


def a_run(key: str = KEY, *, words: str = "3 changes", outcome: str = history.DONE) -> None:
    """A run that the history knows."""
    row = {
        "key": key,
        "task": "workflows.advance",
        "arguments": {"workflow_id": 42},
        "outcome": outcome,
        "words": words,
        "tries": 1,
        "started_at": now(),
        "seconds": 0.25,
        "worker": "one@here",
        "subject": "workflow-42",
        "parent": "job-17.ended",
        "enqueued_by": "alice",
        "weight": 1,
    }
    with session() as db:
        history.write(db, row)


def a_dead_letter(error: str) -> int:
    """A task whose tries are used up."""
    found = {"key": KEY, "task": "workflows.advance", "arguments": {"workflow_id": 42}, "tries": 6}
    with session() as db:
        return dead_letters.bury(
            db, {**found, "enqueued_by": "alice", "parent": None}, since=now(), error=error
        )


def links(text: str) -> list[str]:
    return re.findall(r'href="([^"]*)"', text)


def start(folder: Path, **options: str) -> subprocess.CompletedProcess[str]:
    """Flower, which is expected to end at once."""
    server = Flower(folder)
    return subprocess.run(
        server.command(),
        env={"PATH": os.environ["PATH"], **stated(), **options},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"FLOWER_BASIC_AUTH": ""},
        {"FLOWER_BASIC_AUTH": "administrator:with,comma"},
        {"FLOWER_AUTH": ".*@example.org"},
    ],
    ids=lambda options: " ".join(options.values()) or "nothing",
)
def test_without_authentication_it_does_not_start_and_says_what_to_set(
    options: dict[str, str], installation: Installation, tmp_path: Path
) -> None:
    done = start(tmp_path / "flower", **options)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "FLOWER_AUTH_PROVIDER" in line if "FLOWER_AUTH" in options else "FLOWER_BASIC_AUTH" in line
    assert "user:password" in line or "FLOWER_AUTH" in options
    assert "comma" not in options.get("FLOWER_BASIC_AUTH", "") or "with,comma" not in line


def test_strangers_see_none_of_our_pages(flower: Flower) -> None:
    for path in PAGES:
        assert flower.get(path, None)[0] == 401
        assert flower.get(path, "administrator:wrong")[0] == 401
        assert flower.get(path)[0] == 200


def test_the_history_of_a_workflow_is_shown_and_escaped(flower: Flower) -> None:
    a_run(words=EVIL)
    a_run("workflow-42.a/b?c", words=f"Traceback\n  {EVIL}\nValueError: {EVIL}", outcome=history.FAILED)
    text = flower.page("/diracx/workflow/42")
    assert EVIL not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    assert "survives a restart of Flower" in text
    assert {"/task/workflow-42.advance", "/task/workflow-42.a/b%3Fc", "/task/job-17.ended"} <= {*links(text)}
    assert "https://diracx.example.org/ui/workflows/42" in links(text)
    assert {"/diracx/history", "/diracx/dead"} <= {*links(flower.page("/tasks"))}
    everything = flower.page("/diracx/history?outcome=Failed")
    assert "workflow-42.a/b?c" in everything
    assert "workflow-42.advance" not in everything
    assert "/diracx/workflow/42" in links(everything)
    nothing = flower.page("/diracx/history?subject=%3Cscript%3E")
    assert "<script>" not in nothing.partition("<main")[2].partition("</main>")[0]


def test_a_long_history_is_shown_page_by_page(flower: Flower) -> None:
    for number in range(201):
        a_run(f"workflow-42.run{number}.")
    (older,) = [link for link in links(flower.page("/diracx/workflow/42")) if "before" in link]
    rest = flower.page(older)
    assert "workflow-42.run0." in rest
    assert "workflow-42.run1." not in rest
    assert flower.get("/diracx/workflow/42?before=x")[0] == 400


def test_dead_letters_are_listed_with_their_errors(flower: Flower) -> None:
    assert "No task is dead." in flower.page("/diracx/dead")
    a_dead_letter(f"Traceback\nValueError: {EVIL}")
    text = flower.page("/diracx/dead")
    assert "ValueError: &lt;script&gt;" in text
    assert EVIL not in text
    assert {"/task/workflow-42.advance", "/diracx/workflow/42"} <= {*links(text)}


def test_a_task_and_its_workflow_link_to_each_other(flower: Flower, tmp_path: Path) -> None:
    with Worker(tmp_path / "worker"):
        # Flower may not listen to events yet when it answers: the same is asked for until it has seen one.
        def is_seen() -> bool:
            with session() as db:
                outbox.enqueue(db, "workflows.advance", KEY, workflow_id=42)
            return flower.get(f"/task/{KEY}")[0] == 200

        wait_for(is_seen, 60, lambda: flower.log.read_text()[-3000:])
        assert "/diracx/workflow/42" in links(flower.page(f"/task/{KEY}"))
        wait_for(lambda: KEY in flower.page("/diracx/workflow/42"), 30, lambda: "no history")
    flower.restart()
    assert flower.get(f"/task/{KEY}")[0] == 404
    assert f"/task/{KEY}" in links(flower.page("/diracx/workflow/42"))


def test_a_prefix_is_in_every_link(installation: Installation, tmp_path: Path) -> None:
    a_run()
    with Flower(tmp_path / "flower", FLOWER_URL_PREFIX="flower") as server:
        assert server.get("/diracx/workflow/42")[0] == 404
        found = [link for link in links(server.page("/flower/diracx/history")) if link.startswith("/")]
        assert {"/flower/diracx/workflow/42", f"/flower/task/{KEY}", "/flower/diracx/dead"} <= {*found}
        assert [link for link in found if not link.startswith("/flower/")] == []


def test_a_database_that_is_away_is_said_so(flower: Flower, installation: Installation) -> None:
    (installation.folder / "diracx.db").unlink()
    for path in PAGES:
        status, text = flower.get(path)
        assert status == 503
        assert "no such table" in text
        assert "diracx admin check" in text


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """The module of our pages, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("diracx_flower", CONFIG.with_name("diracx_flower.py"))
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize(
    ("task", "arguments", "key", "subject"),
    [
        ("workflows.advance", "{'workflow_id': 42}", "some-uuid", "workflow-42"),
        ("workflows.advance", {"workflow_id": 42}, KEY, "workflow-42"),
        ("workflows.advance", "{'workflow_id': 42, 'words': 'cut o...", KEY, "workflow-42"),
        ("workflows.advance", "__import__('os').abort()", "some-uuid", None),
        ("of.another.package", "{'request_id': 7}", "request-7.submit", "request-7"),
        ("jobs.optimize", "{}", "jobs.optimize", None),
        (None, None, "abcdefab-1234-4321-8888-0123456789ab", None),
    ],
)
def test_the_subject_of_a_task_is_found(
    pages: ModuleType, task: str | None, arguments: object, key: str, subject: str | None
) -> None:
    assert pages.subject_of(task, arguments, key) == subject


def test_a_flower_whose_pages_are_others_is_refused(pages: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"has another task.html.*install flower==2.2"):
        pages._with_ours("task.html", "<dl></dl>")
