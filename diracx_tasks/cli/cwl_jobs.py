"""`diracx jobs submit cwl` and `diracx jobs outputs`: CWL processes that run as one job each."""

import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli import fetching, output
from diracx_tasks.cli.arguments import INPUTS, document_argument, input_option, job_argument
from diracx_tasks.cli.complaints import PLACES
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Column, Row
from diracx_tasks.core.errors import DiracXError, Unreachable

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

COLUMNS = (
    Column("ID", lambda job: job["JobID"], is_number=True),
    Column("Status", lambda job: output.state(job["Status"])),
    Column("Minor status", lambda job: job["MinorStatus"], is_cut=True),
)
ENDED = ("Done", "Failed", "Killed", "Deleted")


@click.command("cwl")
@document_argument
@click.argument("inputs", nargs=-1, type=INPUTS)
@input_option
@click.option(
    "--range", "over", metavar="NAME=START:STOP[:STEP]", help="A job for each value, as Python counts."
)
@click.option("--name", default="", help="A name for people.  [default: the document's label]")
@click.option("--idempotency-key", help="With the same key a second time, nothing is submitted again.")
@output_option
def submit_cwl(
    *,
    document: str,
    inputs: tuple[Path, ...],
    given: tuple[str, ...],
    over: str | None,
    name: str,
    idempotency_key: str | None,
    form: str,
) -> None:
    """Submit a tool, or a workflow with `dirac:Job`: one job for each inputs file; local files go along."""
    from diracx_tasks.cli.document_files import Documents
    from diracx_tasks.cli.inputs import read_values
    from diracx_tasks.cli.storing import Storing

    client = output.connect()
    documents = Documents.of(document)
    click.get_current_context().meta[PLACES] = documents.places()
    rows = [read_values(documents, path, given, Storing(client)) for path in inputs or (None,)]
    body = {**documents.body(), "inputs": rows, "range": over, "name": name}
    made = _post(client, body, idempotency_key or uuid.uuid4().hex)
    output.show_rows(made, form, key="JobID", columns=COLUMNS, empty="no job was made")


@click.command()
@job_argument
@click.option(
    "--download", "folder", type=click.Path(file_okay=False, path_type=Path), help="Put the files there."
)
def outputs(job_id: int, folder: Path | None) -> None:
    """Print the outputs of a job that runs CWL, as a JSON object."""
    client = output.connect()
    found = client.get(f"/api/jobs/{job_id}/outputs")
    if found["outputs"] is None:
        yet = "" if found["status"] in ENDED else " yet"
        raise DiracXError(f"job {job_id} is {found['status']}: it has no outputs{yet}")
    if folder:
        found["outputs"] = fetching.Fetching(client).fetch(found["outputs"], folder)
    output.show_json(found["outputs"])


def _post(client: "Client", body: Row, key: str) -> Any:
    """Submit, and once more when the answer got lost: the key makes it one submission."""
    headers = {"Idempotency-Key": key}
    try:
        return client.post("/api/jobs/cwl", body, headers=headers)
    except Unreachable:
        time.sleep(1)
        return client.post("/api/jobs/cwl", body, headers=headers)
