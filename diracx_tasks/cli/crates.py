"""`diracx workflows crate`: a finished workflow with its provenance and outputs as an RO-Crate."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.arguments import workflow_argument
from diracx_tasks.cli.progress import transfer

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

METADATA = "ro-crate-metadata.json"
FOLDER = "outputs"


@click.command()
@workflow_argument
@click.option(
    "-o", "--to", type=click.Path(dir_okay=False, path_type=Path), help="A new file.  [default: crate-ID.zip]"
)
@click.option("--no-outputs", is_flag=True, help="Without the output files: they stay where they are.")
def crate(workflow_id: int, to: Path | None, no_outputs: bool) -> None:
    """Pack a finished workflow with its provenance and outputs as an RO-Crate."""
    to = to or Path(f"crate-{workflow_id}.zip")
    client = output.connect()
    with to.open("xb") as out:
        try:
            _write(client, workflow_id, out, with_outputs=not no_outputs)
        except BaseException:
            to.unlink()
            raise
    click.echo(f"{to} has workflow {workflow_id} as an RO-Crate", err=True)


def _write(client: "Client", workflow_id: int, out: Any, *, with_outputs: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="diracx-") as name:
        folder = Path(name)
        _download(client, workflow_id, folder / "crate.zip")
        placed = _outputs(client, workflow_id, folder / FOLDER) if with_outputs else {}
        with (
            zipfile.ZipFile(folder / "crate.zip") as given,
            zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made,
        ):
            for entry in given.infolist():
                content = given.read(entry)
                if entry.filename == METADATA:
                    content = json.dumps(_moved(json.loads(content), placed), indent=1).encode()
                made.writestr(entry, content)
            for path in sorted(set(placed.values())):
                made.write(folder / path, path)


def _download(client: "Client", workflow_id: int, to: Path) -> None:
    source = f"/api/workflows/{workflow_id}/crate"
    with (
        client.stream(source, format="zip") as answer,
        to.open("wb") as out,
        transfer("downloading the crate", None) as told,
    ):
        for block in answer.stream(1 << 20):
            out.write(block)
            told(len(block))


def _outputs(client: "Client", workflow_id: int, folder: Path) -> dict[str, str]:
    """Download the outputs: the name in the crate of each file by its location."""
    from diracx_tasks.cli.workflows import download_outputs

    before = client.get(f"/api/workflows/{workflow_id}")["outputs"]
    after = download_outputs(client, workflow_id, folder)
    root = folder.resolve().parent
    return dict(_pairs(before, after, root))


def _pairs(before: Any, after: Any, root: Path) -> list[tuple[str, str]]:
    if isinstance(before, list):
        return [pair for one, two in zip(before, after, strict=True) for pair in _pairs(one, two, root)]
    if not isinstance(before, dict):
        return []
    found = []
    if before.get("class") == "File" and "location" in before and "path" in after:
        path = Path(after["path"])
        if path.is_file():
            found.append((before["location"], path.resolve().relative_to(root).as_posix()))
    inner = [key for key in before if key in after and isinstance(before[key], dict | list)]
    return found + [pair for key in inner for pair in _pairs(before[key], after[key], root)]


def _moved(value: Any, placed: dict[str, str]) -> Any:
    """The metadata with files by their names in the crate."""
    if isinstance(value, list):
        return [_moved(one, placed) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _moved(one, placed) for key, one in value.items()}
    if isinstance(identity := found.get("@id"), str) and identity in placed:
        found["@id"] = placed[identity]
    return found
