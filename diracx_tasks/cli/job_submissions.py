"""`diracx jobs submit`: CWL, a command, or descriptions in JDL as jobs, without a workflow around them."""

import re
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.cwl_jobs import COLUMNS, submit_cwl
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.output import output_option
from diracx_tasks.core.errors import BadRequest, Unreachable

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

SUFFIXES = {".jdl": "jdl", ".cwl": "cwl"}
FILES = click.Path(exists=True, path_type=Path)
# Backslashes of a JDL text are plain ones but before a quote, and before the end.
ESCAPED = re.compile(r'(\\*)("|\Z)')
key_option = click.option(
    "--idempotency-key", help="With the same key a second time, nothing is submitted again."
)


def _meant(args: Sequence[str]) -> str | None:
    """What a document's name ends with says what it is."""
    kinds = (SUFFIXES.get(Path(one.partition("#")[0]).suffix) for one in args)
    return next((kind for kind in kinds if kind), None)


@click.group(cls=Group, meant=_meant)
def submit() -> None:
    """Submit jobs: CWL, a command, or JDL; `submit x.cwl` and `submit x.jdl` need no more words."""


submit.add_command(submit_cwl, "cwl")


@submit.command()
@click.argument("files", nargs=-1, required=True, type=FILES, metavar="FILE.jdl...")
@key_option
@output_option
def jdl(files: tuple[Path, ...], idempotency_key: str | None, form: str) -> None:
    """Submit a job for each description in JDL."""
    _submit(output.connect(), [one.read_text() for one in files], idempotency_key, form)


@submit.command()
@click.argument("command")
@click.option("--sandbox", "files", multiple=True, type=FILES, help="A file or folder to go along.")
@click.option("--keep", multiple=True, help="A file to keep, or a pattern, beside std.out and std.err.")
@click.option("--name", help="A name for people.  [default: the command's first word]")
@click.option("--cores", type=click.IntRange(1), default=1, show_default=True, help="Cores it uses.")
@click.option("--memory", type=click.IntRange(1), help="MB of memory it needs.")
@click.option("--cpu-time", type=click.IntRange(1), help="Seconds of CPU it needs.  [default: your VO's]")
@click.option("--site", "sites", multiple=True, help="Only there; several may be stated.")
@key_option
@output_option
def cmd(
    *, command: str, files: tuple[Path, ...], idempotency_key: str | None, form: str, **wishes: Any
) -> None:
    """Submit a shell command: `submit cmd "python x.py > y" --sandbox x.py --keep y`."""
    from diracx_tasks.cli.storing import store_sandbox

    if not command.strip() or "\n" in command:
        raise BadRequest("the command is empty" if not command.strip() else "write the command in one line")
    client = output.connect()
    pfn = store_sandbox(client, files) if files else ""
    _submit(client, [description(command, pfn, **wishes)], idempotency_key, form)


def description(
    command: str,
    pfn: str,
    *,
    keep: Sequence[str],
    name: str | None,
    cores: int,
    memory: int | None,
    cpu_time: int | None,
    sites: Sequence[str],
) -> str:
    """The JDL of a job that has a shell run a command in one line."""
    quoted = command.replace("'", "'\\''")
    wanted: dict[str, Any] = {
        "Executable": "/bin/sh",
        "Arguments": f"-c '{quoted}'",
        "JobName": name or Path(command.split(maxsplit=1)[0]).name[:128],
        "InputSandbox": [pfn] if pfn else [],
        "OutputSandbox": ["std.out", "std.err", *keep],
        "NumberOfProcessors": cores,
        "MinRAM": memory,
        "CPUTime": cpu_time,
        "Site": list(sites),
    }
    stated = {one: value for one, value in wanted.items() if value}
    return "".join(f"{one} = {_written(value)};\n" for one, value in stated.items())


def _written(value: str | int | list[str]) -> str:
    if isinstance(value, list):
        return "{" + ", ".join(map(_written, value)) + "}"
    if isinstance(value, int):
        return str(value)
    escaped = ESCAPED.sub(lambda found: found[1] * 2 + ('\\"' if found[2] else ""), value)
    return f'"{escaped}"'


def _submit(client: "Client", descriptions: list[str], key: str | None, form: str) -> None:
    """Submit, and once more when the answer got lost: the key makes it one submission."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    try:
        made = client.post("/api/jobs/jdl", descriptions, headers=headers)
    except Unreachable:
        time.sleep(1)
        made = client.post("/api/jobs/jdl", descriptions, headers=headers)
    output.show_rows(made, form, key="JobID", columns=COLUMNS, empty="no job was made")
