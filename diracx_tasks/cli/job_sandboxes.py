"""`diracx jobs sandbox`: what a job was given and what it has kept together, listed, read or unpacked."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.arguments import job_argument
from diracx_tasks.cli.complaints import one_line
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.progress import transfer
from diracx_tasks.cli.tables import Column, Row
from diracx_tasks.core.errors import BadRequest, NotFound

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

ARCHIVES = (".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz")
BLOCK = 1 << 20
COLUMNS = (
    Column("Bytes", lambda row: row["size"], is_number=True),
    Column("Changed", lambda row: output.ago(row["changed_at"]), goes=1),
    Column("Archive", lambda row: row["archive"], goes=2),
    Column("Name", lambda row: row["name"]),
)
input_option = click.option("--input", "of_input", is_flag=True, help="The input sandbox, not the output.")


def _meant(args: Sequence[str]) -> str | None:
    """A number alone asks for the files."""
    return "get" if any(one.isdigit() for one in args) else None


@click.group(cls=Group, meant=_meant)
def sandbox() -> None:
    """List, read or fetch a job's sandboxes; `sandbox JOB` is `sandbox get JOB`."""


@sandbox.command("list")
@job_argument
@input_option
@output_option
def list_files(job_id: int, *, of_input: bool, form: str) -> None:
    """List the files in a job's sandbox."""
    rows = []
    with _archives(job_id, of_input=of_input) as archives:
        for number, archive in enumerate(archives, 1):
            rows += list(_rows(archive, number if len(archives) > 1 else None))
    shown = rows if form == output.JSON else [{**row, "name": _shown(row["name"])} for row in rows]
    output.show_rows(shown, form, key="name", columns=COLUMNS, empty="the sandbox has no files in it")


@sandbox.command()
@job_argument
@click.argument("name", required=False)
@input_option
def peek(job_id: int, name: str | None, *, of_input: bool) -> None:
    """Print a file of a job's sandbox, or without a name the list of them. Nothing is unpacked."""
    from diracx_tasks.core.unpack import reading

    names = []
    with _archives(job_id, of_input=of_input) as archives:
        for archive in archives:
            with reading(archive) as files:
                for file in files:
                    if file.name == name:
                        _print(file.content)
                        return
                    names.append(file.name)
    if name is not None:
        raise NotFound(f"there is no {name!r} in it, only {', '.join(names) or 'nothing'}")
    for one in names:
        click.echo(_shown(one))


@sandbox.command()
@job_argument
@input_option
@click.option("--outdir", type=click.Path(path_type=Path), help="A folder that is not there yet.  [job-ID]")
def get(job_id: int, *, of_input: bool, outdir: Path | None) -> None:
    """Fetch a job's sandbox and unpack it.

    Links and devices in it are left out, and archives that would become very large are refused.
    """
    from diracx_tasks.core.unpack import unpack

    folder = outdir or Path(f"job-{job_id}")
    if folder.exists():
        raise BadRequest(f"{folder} is there already: choose another --outdir")
    with _archives(job_id, of_input=of_input) as archives:
        for number, archive in enumerate(archives, 1):
            # Several become folders beside each other: their files may have the same names.
            found = unpack(archive, folder if len(archives) == 1 else folder / str(number))
            for path in found.files:
                click.echo(_shown(str(path)))
            for name in found.left_out:
                click.echo(f"left out, because it is no file: {_shown(name)}", err=True)


@contextmanager
def _archives(job_id: int, *, of_input: bool) -> Iterator[list[Path]]:
    """The archives of a sandbox, here while the block lasts; NotFound when there are none."""
    client, kind = output.connect(), "input" if of_input else "output"
    pfns = [pfn for pfn in client.get(f"/api/jobs/{job_id}/sandbox/{kind}") if pfn.endswith(ARCHIVES)]
    if not pfns:
        raise NotFound(f"job {job_id} has no {kind} sandbox")
    with tempfile.TemporaryDirectory(prefix="diracx-") as made:
        yield [_fetched(client, pfn, Path(made) / str(number)) for number, pfn in enumerate(pfns)]


def _fetched(client: "Client", pfn: str, folder: Path) -> Path:
    folder.mkdir()
    archive = folder / pfn.rpartition("/")[2]
    with transfer("downloading the sandbox", None) as told:
        client.download(client.get("/api/jobs/sandbox", pfn=f"SB:SandboxSE|{pfn}")["url"], archive, told)
    return archive


def _shown(name: str) -> str:
    """A name in somebody's archive, safe to print: without control characters and bytes that are no text."""
    return one_line(name.encode(errors="replace").decode())


def _print(content: IO[bytes]) -> None:
    while block := content.read(BLOCK):
        sys.stdout.buffer.write(block)


def _rows(archive: Path, number: int | None) -> Iterator[Row]:
    from diracx_tasks.core.unpack import reading

    with reading(archive) as files:
        for file in files:
            # The pilot's archives have no times, so that the same files make the same archive.
            changed = datetime.fromtimestamp(file.changed, UTC).isoformat() if file.changed else None
            yield {"name": file.name, "size": file.size, "changed_at": changed, "archive": number}
