"""Fixtures of the pilot's tests: a server, and a warm process shared by a module."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from diracx_tasks.core.client import Client
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.node.attempt import Attempt
from diracx_tasks.node.ends import Ends
from diracx_tasks.node.halt import Stop
from diracx_tasks.node.offer import Slot
from diracx_tasks.node.order import INPUTS, LOG, Exit, Order, Result
from diracx_tasks.node.zygote import Zygote
from tests.unit.node.server import Server, running

Run = Callable[..., dict[str, Any]]
SLOT: dict[str, Any] = {
    "stamp": "stamp",
    "site": "here",
    "ce": "",
    "cores": 1,
    "ram_mb": 4000,
    "tags": (),
    "machine": {},
}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for pilots."""
    with running() as one:
        yield one


@pytest.fixture
def client(server: Server) -> Client:
    """A client of the server."""
    return Client(server.url, server.token, retries=0)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """A warm process."""
    one = Zygote()
    yield one
    one.close()


@dataclass
class Ended:
    """What a payload has left."""

    exit: Exit
    result: Result | None
    log: str
    folder: Path

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of a payload that must have succeeded."""
        assert self.result is not None and self.result.is_success, self.log
        return self.result.outputs or {}

    @property
    def reason(self) -> str:
        """The reason of a payload that must have failed."""
        assert self.result is not None and not self.result.is_success
        return self.result.reason


@dataclass
class Payloads:
    """Runs payloads below one warm process, containers with an engine if one is named."""

    zygote: Zygote
    work: Path
    numbers: Iterator[int]
    engine: str = ""
    input_sandbox: list[dict[str, str]] = field(default_factory=list)
    whose: str = "alice"

    def start(self, bundle: Bundle, path: str = "", **inputs: Any) -> Path:
        """The folder of a payload that has been asked for."""
        folder = self.work / str(next(self.numbers))
        folder.mkdir()
        (folder / INPUTS).write_text(json.dumps(inputs))
        bundle_file = self.work / f"{bundle.hash}.json"
        bundle_file.write_text(json.dumps(bundle.to_json()))
        order = Order(
            folder=str(folder),
            entrypoint=bundle.entrypoint,
            bundle_file=str(bundle_file),
            bundle_folder=str(self.work / bundle.hash),
            path=path,
            name="job",
            engine=self.engine,
            input_sandbox=self.input_sandbox,
            whose=self.whose,
        )
        self.zygote.run(order)
        return folder

    def end(self, folder: Path) -> Ended:
        """What the payload in the folder has left, once it has ended."""
        ended = self.zygote.wait(60)
        assert ended is not None, "the payload did not end"
        return Ended(ended, Result.read_from(folder), (folder / LOG).read_text(), folder)

    def run(self, bundle: Bundle, path: str = "", **inputs: Any) -> Ended:
        """Both."""
        return self.end(self.start(bundle, path, **inputs))


@pytest.fixture
def payloads(zygote: Zygote, tmp_path: Path) -> Payloads:
    """Runs payloads."""
    return Payloads(zygote, tmp_path, count())


@pytest.fixture
def run(server: Server, client: Client, zygote: Zygote, tmp_path: Path) -> Run:
    """Runs the job that waits, in a slot as it is stated; the last state that was reported of it."""

    def once(**stated: Any) -> dict[str, Any]:
        slot = Slot(**{**SLOT, "work": tmp_path, **stated})
        matched, stop = server.waiting.pop(0), Stop(60)
        ends = Ends(client, stop)
        Attempt(client, zygote, stop, matched, slot, ends=ends, lasts=lambda: None).run()
        ends.send()
        return server.last(matched["job_id"])

    return once


@pytest.fixture
def start_pilot(server: Server, tmp_path: Path) -> Iterator[Callable[..., psutil.Popen]]:
    """Starts `diracx-pilot` processes; those that still run at the end of the test are killed."""
    started = []

    def start(*options: str) -> psutil.Popen:
        env = {
            **os.environ,
            "DIRACX_URL": server.url,
            "DIRACX_TOKEN": "secret",
            "DIRACX_PILOT_STAMP": "stamp",
        }
        command = [sys.executable, "-m", "diracx_tasks.node.pilot", "--site", "here", "--cores", "1"]
        started.append(psutil.Popen([*command, "--work-dir", str(tmp_path / "work"), *options], env=env))
        return started[-1]

    yield start
    for pilot in started:
        if pilot.poll() is None:
            pilot.send_signal(signal.SIGKILL)
        pilot.wait(10)


def sleeping(seconds: float) -> list[psutil.Process]:
    """The processes that sleep for exactly so long."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        is_alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if process.info["cmdline"] == ["sleep", str(seconds)] and is_alive:
            found.append(process)
    return found
