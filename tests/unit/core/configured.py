"""Configurations in files and repositories, for tests."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diracx_tasks.engine.overrides import override_of
from tests.builders import environment
from tests.servers.ports import listens
from tests.system import wait_for

TASK = "jobs.check_stalled"
SLOW = f"Operations: {{Defaults: {{Tasks: {{{TASK}: {{every: 60}}}}}}}}\n"
QUICK = f"Operations: {{Defaults: {{Tasks: {{{TASK}: {{every: 2}}}}}}}}\n"


@contextmanager
def using(folder: Path, url: str) -> Iterator[None]:
    with environment(DIRACX_DATA=str(folder / "data"), DIRACX_CONFIG_BACKEND_URL=url):
        yield


def every(vo: str | None = None) -> float | None:
    """What the configuration in force says of the task."""
    return override_of(TASK, vo).every


class Repository:
    """A git repository with a configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        person = ("-c", "user.name=Carol", "-c", "user.email=carol@example.org")
        command = ["git", *person, "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text: str) -> str:
        (self.folder / "default.yml").write_text(text)
        self.git("add", "default.yml")
        self.git("commit", "--quiet", "--message=other times")
        return self.git("rev-parse", "HEAD")


@contextmanager
def git_server(folder: Path, port: int) -> Iterator[None]:
    """The repositories of a folder, served by git's own daemon."""
    program = subprocess.check_output(["git", "--exec-path"], text=True).strip() + "/git-daemon"
    place = ("--listen=127.0.0.1", f"--port={port}", "--reuseaddr")
    process = subprocess.Popen(
        [program, "--export-all", f"--base-path={folder}", *place, str(folder)], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: listens(port), 20, lambda: f"no git daemon listens on {port}")
        yield
    finally:
        process.terminate()
        process.wait(20)
