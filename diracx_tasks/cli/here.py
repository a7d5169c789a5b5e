"""A workflow run on this machine: on a private system in a folder that goes away with it."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import DiracXError, UnsupportedCwl
from diracx_tasks.node.tied import tied

START_SECONDS = 120
STOP_SECONDS = 90
# How a job says so in its reason.
UNSUPPORTED = "unsupported: "


def run(
    document: str,
    inputs: Path | None,
    given: Sequence[str],
    outdir: Path,
    jobs: int | None,
    *,
    is_quiet: bool,
) -> Any:
    """The outputs of a workflow, their files below `outdir`.

    Raises UnsupportedCwl when a tool asks for what this machine cannot do, DiracXError when one fails.
    """
    # A batch system's TERM stops the private system as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="diracx-") as name, private_system(Path(name), jobs) as client:
        return run_on(client, document, inputs, given, outdir, is_quiet=is_quiet)


@contextmanager
def private_system(folder: Path, slots: int | None) -> Iterator[Client]:
    """A whole system of our own in an empty folder until the end of the block; its user's client."""
    log, left = folder / "up.log", folder / "client.json"
    command = [sys.executable, "-m", "diracx_tasks.cli", "up", "--no-flower"]
    command += ["--data", str(folder), "--port", str(_free_port())]
    command += ["--slots", str(slots)] if slots else []
    # Nothing of a server that the user has stated otherwise.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DIRACX_")}
    with log.open("w") as out:
        # Of its own session: Ctrl-C reaches us only, and we stop it in order.
        process = subprocess.Popen(
            tied(command),
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not left.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise DiracXError(f"the system did not start here; the end of its log:\n{_end(log)}")
            time.sleep(0.05)
        stored = json.loads(left.read_text())
        yield Client(stored["url"], stored["token"], retries=3)
    finally:
        _stop(process)


def run_on(
    client: Client,
    document: str,
    inputs: Path | None,
    given: Sequence[str],
    outdir: Path,
    *,
    is_quiet: bool,
) -> Any:
    """The outputs of a workflow that is run on a system, as `run` gives them and with its errors."""
    from diracx_tasks.cli import output
    from diracx_tasks.cli.inputs import read_submission
    from diracx_tasks.cli.watch import wait, watch
    from diracx_tasks.cli.workflows import download_outputs

    body = read_submission(client, document, inputs, given)
    workflow_id = int(client.post("/api/workflows", body)["workflow_id"])
    console = output.console(stderr=True)
    status = wait(client, workflow_id) if is_quiet else watch(client, workflow_id, console, is_kept=False)
    if status == "Done":
        return download_outputs(client, workflow_id, outdir)
    found = client.get(f"/api/workflows/{workflow_id}")
    for line in _last_words(client, workflow_id):
        click.echo(line, err=True)
    reason = f"{document} is {status}: {found['reason']}"
    raise UnsupportedCwl(reason) if UNSUPPORTED in found["reason"] else DiracXError(reason)


def _last_words(client: Client, workflow_id: int) -> Iterator[str]:
    """The end of the output of a job that failed, which goes away with the system."""
    conditions = [
        {"parameter": "JobGroup", "operator": "eq", "value": f"{workflow_id:08d}"},
        {"parameter": "Status", "operator": "eq", "value": "Failed"},
    ]
    rows = client.post("/api/jobs/search", {"search": conditions}, page=1, per_page=1)
    for row in rows:
        text = client.get(f"/api/jobs/{row['JobID']}/logs")["text"].splitlines()
        yield from (f"[{row['JobName']}] {line}" for line in text[-20:])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
