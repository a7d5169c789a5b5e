"""`diracx demo`: the main job in one command, on the system that runs here or on one of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from diracx_tasks.core.paths import data_folder, packaged

START_SECONDS = 120


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder for everything that is kept."
)
@click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-output"), show_default=True
)
def demo(data: Path | None, to: Path) -> None:
    """Estimate pi: a scatter of 8 simulations and a gather that draws a histogram."""
    from diracx_tasks.cli.embedded import Home

    os.environ["DIRACX_DATA"] = str((data or data_folder()).expanduser().resolve())
    home = Home(Path(os.environ["DIRACX_DATA"]))
    if home.is_taken():
        _run(to, "It is still running there.")
        return
    with _system(home):
        _run(to, "It has been stopped; `make up` starts it again, with everything that it has stored.")


def _run(to: Path, ending: str) -> None:
    from rich.console import Console

    from diracx_tasks.cli.inputs import read_submission
    from diracx_tasks.cli.watch import watch
    from diracx_tasks.cli.workflows import download_outputs
    from diracx_tasks.core.client import Client

    console = Console()
    client = Client.from_environment()
    example = shipped() / "examples" / "pi"
    sent = read_submission(client, example / "workflow.cwl", example / "inputs.yaml", ())
    workflow_id = client.post("/api/workflows", {**sent, "name": "pi"})["workflow_id"]
    console.print(f"Submitted workflow {workflow_id}: {example / 'workflow.cwl'}")
    status = watch(client, workflow_id, console)
    if status != "Done":
        raise SystemExit(3 if status == "Killed" else 1)
    outputs = download_outputs(client, workflow_id, to)
    _show(console, outputs, client.url, ending)


def _show(console: Any, outputs: dict[str, Any], url: str, ending: str) -> None:
    result = json.loads(_path(outputs["result"]).read_text())
    console.print(f"\npi = {result['estimate']:.6f} +- {result['error']:.6f} from {result['points']} points")
    for name in ("result", "histogram"):
        console.print(f"{name:>9}: {_path(outputs[name])}", soft_wrap=True)
    flower = _environment().get("DIRACX_FLOWER_URL", "")
    console.print(
        f"\nPages: {url}/ui\nAPI documentation: {url}/api/docs\nFlower: {flower}\n{ending}", soft_wrap=True
    )


def _path(file: dict[str, Any]) -> Path:
    return Path(file["path"])


def _environment() -> dict[str, str]:
    found: dict[str, str] = json.loads((data_folder() / "environment.json").read_text())
    return found


def shipped() -> Path:
    """The workflows that come with this package."""
    return packaged("shipped", "workflows")


@contextmanager
def _system(home: Any) -> Iterator[None]:
    """A `diracx up` as a child, until the end of the block."""
    home.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = home.folder / "up.log"
    client = home.folder / "client.json"
    before = client.stat().st_mtime_ns if client.exists() else 0
    click.echo(f"Starting API, Celery workers, beat, Flower and pilots; their log is {log}")
    began = time.monotonic()
    with log.open("w") as out:
        command = [sys.executable, "-m", "diracx_tasks.cli", "up", "--data", str(home.folder)]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        while not client.exists() or client.stat().st_mtime_ns == before:
            if process.poll() is not None or time.monotonic() > began + START_SECONDS:
                raise click.ClickException(f"the system did not start; the end of {log}:\n{_tail(log)}")
            time.sleep(0.05)
        click.echo(f"Ready after {time.monotonic() - began:.1f} s")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-15:])
