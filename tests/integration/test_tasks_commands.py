"""`diracx tasks` beside a real worker and a real beat: what runs is seen, stopped, and done again."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from diracx_tasks.cli.main import cli
from diracx_tasks.core.database import session
from diracx_tasks.core.settings import stated
from diracx_tasks.engine import outbox
from tests.architecture.source import ROOT
from tests.builders import Installation, installation, template
from tests.processes import Processes
from tests.system import wait_for

__all__ = ["installation", "template"]
pytestmark = pytest.mark.integration
SLOW, KEY = "tests.slow", "job-1.slow"


class System:
    """A worker of two processes that knows slow tasks, and a beat; and the command line."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.processes = processes

    def tasks(self, *arguments: object) -> Any:
        """What a command prints, as a value if that is JSON."""
        result = CliRunner().invoke(cli, ["tasks", *map(str, arguments)], prog_name="diracx")
        assert result.exit_code == 0, result.output
        try:
            return json.loads(result.stdout)
        except ValueError:
            return result.stdout

    def ask(self, number: int = 1, key: str = KEY) -> None:
        """Ask for a slow run."""
        with session() as db:
            outbox.enqueue(db, SLOW, key, folder=str(self.folder), number=number)

    def begun(self, number: int = 1) -> int:
        """How often a slow run has begun."""
        file = self.folder / f"begun-{number}"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def end(self, number: int = 1) -> None:
        """Let it end."""
        (self.folder / f"end-{number}").touch()

    def until(self, condition: Any) -> None:
        """Wait for something."""
        wait_for(condition, 60, lambda: self.processes.log)

    def states(self, key: str = KEY) -> list[str]:
        """How the runs under a key have ended, the oldest first."""
        rows = self.tasks("list", "--limit", "1000")
        return [row["state"] for row in rows if row["key"] == key][::-1]


@pytest.fixture
def system(installation: Installation, tmp_path: Path) -> Iterator[System]:
    """All of it, running."""
    with Processes(tmp_path, stated()) as processes:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        processes.worker("one", "-I", "tests.integration.slow_tasks", PYTHONPATH=path)
        processes.beat()
        found = System(tmp_path, processes)
        found.until(lambda: found.tasks("workers") and found.tasks("schedule"))
        yield found


def test_queues_and_workers_show_what_runs(system: System) -> None:
    system.ask(1)
    system.ask(2, "job-2.slow")
    system.until(lambda: system.begun(1) and system.begun(2))
    (worker,) = system.tasks("workers")
    assert (worker["worker"], worker["processes"], len(worker["queues"])) == ("one@test", 2, 9)
    running = {run["key"]: run["task"] for run in worker["running"]}
    assert {KEY: SLOW, "job-2.slow": SLOW}.items() <= running.items()
    text = system.tasks("workers", "-o", "table")
    assert "all" in text and KEY in text
    found = system.tasks("queues")
    assert {row["workers"] for row in found["queues"]} == {1}
    assert sum(row["running"] for row in found["queues"]) == 2
    assert found["leader"] and found["pending"] >= 2
    assert {row["name"] for row in system.tasks("locks")} >= {"job:1", "job:2"}
    for number in (1, 2):
        system.end(number)
    system.until(lambda: system.states("job-2.slow") == ["Done"])
    assert not {row["name"] for row in system.tasks("locks")} & {"job:1", "job:2"}


def test_a_revoked_task_that_waits_never_begins(system: System) -> None:
    system.ask(1)
    system.ask(2, "job-2.slow")
    system.until(lambda: system.begun(1) and system.begun(2))
    system.ask(3, "job-3.slow")
    assert system.tasks("revoke", "job-3.slow") == "job-3.slow is revoked\n"
    system.ask(4, "job-4.slow")
    for number in (1, 2, 4):
        system.end(number)
    system.until(lambda: system.states("job-4.slow") == ["Done"])
    assert system.begun(3) == 0


def test_a_running_task_is_stopped_its_lock_comes_free_and_it_does_not_come_back(system: System) -> None:
    system.ask()
    system.until(lambda: system.begun() == 1)
    assert system.tasks("revoke", KEY, "--terminate") == f"{KEY} is revoked\n"
    system.until(lambda: KEY not in str(system.tasks("workers")))
    system.until(lambda: "job:1" not in str(system.tasks("locks")))
    system.ask(2, "job-2.slow")
    system.end(2)
    system.until(lambda: system.states("job-2.slow") == ["Done"])
    assert system.begun() == 1 and KEY not in str(system.tasks("queues"))


def test_a_key_that_was_stopped_can_be_asked_for_again(system: System) -> None:
    system.ask()
    system.until(lambda: system.begun() == 1)
    system.tasks("revoke", KEY, "--terminate")
    system.until(lambda: KEY not in str(system.tasks("workers")))
    system.ask()
    system.until(lambda: system.begun() == 2)
    system.end()
    system.until(lambda: system.states()[-1:] == ["Done"])


def test_a_lock_that_is_taken_from_its_holder_is_another_runs(system: System) -> None:
    system.ask()
    system.until(lambda: system.begun() == 1)
    system.ask(1, "job-1.other")
    assert system.tasks("locks", "release", "job:1") == "job:1 is free\n"
    system.until(lambda: system.begun() == 2)
    system.end()
    system.until(lambda: system.states("job-1.other") == ["Done"])


def test_a_dead_task_is_seen_retried_and_dies_again(system: System) -> None:
    with session() as db:
        outbox.enqueue(db, "tests.bad", "job-1.bad", number=1)
    system.until(lambda: system.tasks("dead"))
    (letter,) = system.tasks("dead")
    assert (letter["tries"], letter["error"]) == (2, "ValueError: no luck with 1")
    system.tasks("dead", "retry", letter["letter_id"])
    system.until(lambda: system.tasks("dead"))
    assert system.states("job-1.bad") == ["Failed", "Dead", "Failed", "Dead"]
    text = system.tasks("show", "job-1.bad", "-o", "table")
    assert text.count("Traceback") == 4 and "one@test" in text


def test_an_entry_runs_now_and_at_other_times(system: System) -> None:
    system.tasks("schedule", "pause", "jobs.check_stalled")
    system.tasks("schedule", "run", "sandboxes.clean_sandboxes")
    system.tasks("schedule", "set", "matching.reconcile", "--every", "0.5")
    system.until(lambda: "Done" in system.states("sandboxes.clean_sandboxes"))
    system.until(lambda: system.states("matching.reconcile").count("Done") >= 3)
    paused = {row["name"]: row for row in system.tasks("schedule")}["jobs.check_stalled"]
    assert paused["state"] == "Paused"
