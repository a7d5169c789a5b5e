"""A whole running system of real processes, for tests that look at it from outside or kill its parts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import Unreachable
from tests.servers import free_port

# Quick reactions: a test should not wait minutes for a lost pilot.
QUICK = {
    "DIRACX_HEARTBEAT_SECONDS": "1",
    "DIRACX_MISSED_HEARTBEATS": "4",
    "DIRACX_SILENT_SECONDS": "4",
    "DIRACX_STALLED_SECONDS": "2",
    "DIRACX_MATCHED_SECONDS": "6",
    "DIRACX_LEASE_SECONDS": "3",
    "DIRACX_MAX_RESCHEDULES": "30",
}
FINAL = ("Done", "Failed", "Killed")
PARTS = {
    "api": "diracx_api.app:create_app",
    "worker": "-A diracx_tasks worker",
    "beat": "-A diracx_tasks beat",
    "factory": "diracx_tasks.pilots.local",
    "pilot": "diracx_tasks.node.pilot",
    "redis": "redis-server",
}


class System:
    """`diracx up` on a folder; what `environment` states is used instead of the embedded parts."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str] | None = None,
        *options: str,
        with_flower: bool = False,
    ) -> None:
        self.folder = folder
        self.environment = {**QUICK, **(environment or {})}
        flower = () if with_flower else ("--no-flower",)
        self.options = (*flower, f"--port={free_port()}", *options)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "System":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What it printed."""
        return (self.folder / "up.log").read_text()

    @property
    def client(self) -> Client:
        """A client with the local user's token."""
        stored = json.loads((self.folder / "client.json").read_text())
        return Client(stored["url"], stored["token"], retries=8)

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ready = self.folder / "client.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "diracx_tasks.cli", "up", "--data", str(self.folder), *self.options]
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**self._clean(), **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(ready.exists, 90, lambda: self.log[-5000:])

    def stop(self) -> None:
        """Ctrl-C, and wait until everything is down."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        assert self.process.wait(90) == 0, self.log[-5000:]

    def pids(self, part: str) -> list[int]:
        """The processes of a part that run now."""
        assert self.process is not None
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if PARTS[part] in " ".join(process.cmdline()):
                    found.append(process.pid)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, part: str) -> int:
        """kill -9 of every process of a part, once there is one; answers how many there were."""
        wait_for(lambda: bool(self.pids(part)), 60, lambda: f"no {part} runs\n{self.log[-3000:]}")
        pids = self.pids(part)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return len(pids)

    def submit(self, files: dict[str, str], inputs: dict[str, Any], main: str = "workflow.cwl") -> int:
        """Submit a workflow until it is acknowledged; the key makes that one workflow."""
        key = {"Idempotency-Key": os.urandom(8).hex()}
        body = {"files": files, "main": main, "inputs": inputs}
        return int(self.patient(lambda: self.client.post("/api/workflows", body, headers=key))["workflow_id"])

    def workflow(self, workflow_id: int) -> dict[str, Any]:
        """A workflow's detail."""
        found: dict[str, Any] = self.patient(lambda: self.client.get(f"/api/workflows/{workflow_id}"))
        return found

    def wait(self, workflow_id: int, seconds: float = 180) -> dict[str, Any]:
        """The detail of a workflow that has ended."""
        last: dict[str, Any] = {}

        def has_ended() -> bool:
            last.update(self.workflow(workflow_id))
            return last["status"] in FINAL

        wait_for(has_ended, seconds, lambda: f"{last}\n{self.log[-6000:]}")
        return last

    def jobs(self, workflow_id: int) -> list[dict[str, Any]]:
        """All jobs of a workflow."""
        condition = {"parameter": "JobGroup", "operator": "eq", "value": f"{workflow_id:08d}"}
        body = {"search": [condition]}
        found: list[dict[str, Any]] = self.patient(
            lambda: self.client.post("/api/jobs/search", body, page=1, per_page=10000)
        )
        return found

    def patient(self, call: Callable[[], Any], seconds: float = 60) -> Any:
        """The answer, asking again while the server is away."""
        until = time.monotonic() + seconds
        while True:
            try:
                return call()
            except Unreachable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def _clean(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("DIRACX_")}


def wait_for(condition: Callable[[], bool], seconds: float, words: Callable[[], str]) -> None:
    """Return once the condition holds; fail with words when it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, words()
        time.sleep(0.1)


def while_running(system: System, workflow_id: int, *, least: int, most: int) -> Iterator[int]:
    """Numbers from 0 while the workflow runs, one for each further tenth of its jobs that is done."""
    number = 0
    while number < most:
        counts = [step["counts"] for step in system.workflow(workflow_id)["steps"]]
        done = sum(count.get("Done", 0) for count in counts)
        if system.workflow(workflow_id)["status"] in FINAL:
            assert number >= least, f"it ended after {number} faults, too early for this test"
            return
        if done >= (number + 1) * 15:
            yield number
            number += 1
        time.sleep(0.2)
