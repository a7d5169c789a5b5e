"""Celery workers and beats as operators start them, to be stopped and killed by tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from diracx_tasks.engine.queues import QUEUES

ROOT = Path(__file__).parents[1]


def installed(folder: Path, module: str) -> dict[str, str]:
    """The environment in which a module of the tests counts as an installed extension with tasks."""
    info = folder / "site" / "probe-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[diracx.tasks]\nprobe = {module}\n")
    path = [str(info.parent), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(part for part in path if part)}


class Processes:
    """Programs of this Python environment with an environment of their own and one log."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.running)[::-1]:
            self.stop(name)

    @property
    def log(self) -> str:
        """The end of what they printed."""
        return (self.folder / "processes.log").read_text()[-8000:]

    def start(self, name: str, *command: str, **environment: str) -> None:
        """Run a module in the background under a name."""
        with (self.folder / "processes.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**os.environ, **self.environment, **environment},
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )

    def worker(self, name: str = "worker", *options: str, processes: int = 2, **environment: str) -> None:
        """Start a worker on all queues."""
        queues = () if "-Q" in options else ("-Q", ",".join(QUEUES))
        command = ("celery", "-A", "diracx_tasks", "worker", "-c", str(processes), "-n", f"{name}@test")
        quiet = ("--without-gossip", "--without-mingle", "--loglevel=WARNING")
        self.start(name, *command, *queues, *quiet, *options, **environment)

    def beat(self, name: str = "beat", **environment: str) -> None:
        """Start a beat."""
        self.start(name, "celery", "-A", "diracx_tasks", "beat", "--pidfile=", **environment)

    def children(self, name: str) -> list[psutil.Process]:
        """The processes below one."""
        return psutil.Process(self.running[name].pid).children(recursive=True)

    def kill(self, name: str) -> None:
        """kill -9 of a program and everything that it has started."""
        for pid in [*(child.pid for child in self.children(name)), self.running[name].pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.running.pop(name).wait(30)

    def stop(self, name: str, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        """Stop a program and wait; answers its exit code. KILL when it does not stop in time."""
        process = self.running.pop(name)
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(30)
