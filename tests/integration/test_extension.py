"""A package installed beside ours adds tasks, lock kinds and schedules, and replaces a task of ours."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import text

from diracx_tasks.core.database import reading
from diracx_tasks.core.settings import stated
from diracx_tasks.engine import dead_letters, history, schedules
from tests.builders import Installation, installation, template
from tests.extension.installed import a_package, muon
from tests.servers import Server
from tests.servers.programs import PATH
from tests.system import wait_for

__all__ = ["installation", "muon", "template"]
pytestmark = pytest.mark.integration
COLLIDING = """from diracx_tasks.engine.task import task


@task(name="sandboxes.clean_sandboxes")
def tidy() -> str:
    return "gone"
"""
WORKER = ("-m", "celery", "-A", "diracx_tasks", "worker", "-c", "2", "-n", "one@here", "-l", "info")
LOCKED = """from diracx_tasks.engine.task import task


@task(lock="tile:{x}")
def lay(x: int) -> str: ...
"""
BEAT = ("-m", "celery", "-A", "diracx_tasks", "beat", "--pidfile=")
API = ("-m", "uvicorn", "--factory", "diracx_api.app:create_app", "--port=0")
REGISTERED = ("-m", "diracx_tasks.cli", "tasks", "registered", "-o", "json")


class Celery(Server):
    """A worker of the default queue or a beat, with a package."""

    programs: ClassVar = ()

    def __init__(self, folder: Path, package: dict[str, str], *arguments: str) -> None:
        super().__init__(folder)
        self.package = package
        self.arguments = arguments

    def command(self) -> list[str]:
        """Start it in this Python environment."""
        return [sys.executable, *self.arguments]

    def environment(self) -> dict[str, str]:
        """The installation's settings, and the package."""
        return super().environment() | stated() | self.package

    def is_ready(self) -> bool:
        """Whether it says so."""
        return any(words in self.log.read_text() for words in ("one@here ready", "leads"))


def python(package: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a program of this Python environment says that has a package."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={"PATH": PATH, **stated(), **package},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def diracx(package: dict[str, str], *arguments: str) -> str:
    """The output of a command that ends well."""
    done = python(package, "-m", "diracx_tasks.cli", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def entries() -> dict[str, Any]:
    """How the last runs of the schedule's entries went, by name."""
    with reading() as db:
        return {entry.name: (entry.last_outcome, entry.last_words) for entry in schedules.entries(db)}


def words_of(key: str) -> list[str]:
    """What the runs under a key said."""
    with reading() as db:
        return [run.words for run in history.of_key(db, key)]


def hits() -> int:
    """How many rows the extension's table has."""
    with reading() as db:
        return int(db.execute(text('SELECT count(*) FROM "MuonHits"')).scalar_one())


def test_operators_see_an_extensions_tasks_and_what_it_replaces(
    installation: Installation, muon: dict[str, str]
) -> None:
    shown = {row["task"]: row for row in json.loads(diracx(muon, "tasks", "registered", "-o", "json"))}
    assert {"muon.align", "muon.survey", "muon.finish", "muon.store", "muon.watch"} <= shown.keys()
    assert "chamber:{chamber}" in json.dumps(shown["muon.align"])
    assert shown["sandboxes.clean_sandboxes"]["timing"] == "every 2 s"
    without = json.loads(diracx({}, "tasks", "registered", "-o", "json"))
    assert not [row["task"] for row in without if row["task"].startswith("muon")]


def test_workers_and_beat_run_an_extensions_tasks(
    installation: Installation, muon: dict[str, str], tmp_path: Path
) -> None:
    created = python(muon, "-c", "from muon.tables import create; create()")
    assert created.returncode == 0, created.stderr
    queues = ("-Q", "normal.small,background.medium")
    with (
        Celery(tmp_path / "worker", muon, *WORKER, *queues) as worker,
        Celery(tmp_path / "beat", muon, *BEAT),
    ):
        diracx(muon, "tasks", "call", "muon.survey", "run_id=7", "--enqueue")
        wait_for(lambda: "run 7 is surveyed" in words_of("run-7.finish"), 60, worker.log.read_text)
        wait_for(lambda: hits() == 3, 60, worker.log.read_text)
        expected = {
            "muon.watch": ("Done", "3 hits"),
            "muon.align@inner": ("Done", "inner aligned"),
            "sandboxes.clean_sandboxes": ("Done", "kept for the archive"),
        }
        wait_for(lambda: entries().items() >= expected.items(), 60, lambda: f"{entries()}")
        diracx(muon, "tasks", "call", "muon.align", "run_id=7", "chamber=attic", "--enqueue")

        def is_dead() -> bool:
            with reading() as db:
                return dead_letters.total(db) == {"muon.align": 1}

        wait_for(is_dead, 60, worker.log.read_text)


def test_the_schedule_forgets_an_extension_that_is_gone(
    installation: Installation, muon: dict[str, str], tmp_path: Path
) -> None:
    for package, is_there in ((muon, True), ({}, False)):
        with Celery(tmp_path / f"beat-{is_there}", package, *BEAT) as beat:
            wait_for(lambda there=is_there: ("muon.watch" in entries()) is there, 30, beat.log.read_text)  # type: ignore[misc]
    with reading() as db:
        assert schedules.find(db, "sandboxes.clean_sandboxes").timing == {"every": 3600}


@pytest.mark.parametrize("command", [WORKER, BEAT, API, REGISTERED], ids=["worker", "beat", "api", "cli"])
def test_nothing_starts_with_a_task_whose_name_is_taken(
    command: tuple[str, ...], installation: Installation, tmp_path: Path
) -> None:
    done = python(a_package(tmp_path, "twin", COLLIDING), *command)
    assert done.returncode not in (0, -9), done.stdout
    for words in ("twin 2.3", "twin = twin.tasks", "sandboxes.clean_sandboxes", "override=True"):
        assert words in done.stderr


@pytest.mark.parametrize(
    ("body", "module", "words"),
    [
        ("import muons_that_nobody_has", None, "No module named 'muons_that_nobody_has'"),
        ("print(", None, "SyntaxError"),
        ("[].nothing", None, "has no attribute 'nothing'"),
        ("", "broken.lost", "No module named 'broken.lost'"),
        ("", "gone", "No module named 'gone'"),
        (LOCKED, None, "the lock 'tile:{x}' must be"),
    ],
    ids=["import", "syntax", "attribute", "module", "package", "lock"],
)
def test_a_broken_package_is_named(
    body: str, module: str | None, words: str, installation: Installation, tmp_path: Path
) -> None:
    package = a_package(tmp_path, "broken", body, module)
    worker = python(package, *WORKER)
    assert worker.returncode not in (0, -9)
    assert "the package broken 2.3 cannot be loaded" in worker.stderr
    assert words in worker.stderr
    shown = python(package, *REGISTERED)
    assert shown.returncode == 2
    assert "the package broken 2.3 cannot be loaded" in shown.stderr
    assert words in shown.stderr
    assert "Traceback" not in shown.stderr
