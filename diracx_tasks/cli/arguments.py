"""Arguments and options that several commands about workflows share."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem


def workflow_ids(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest workflows whose numbers begin so; none when the server is away."""
    try:
        from diracx_tasks.core.client import Client

        rows = Client.from_environment(retries=0, timeout=2).get("/api/workflows", limit=30)["workflows"]
        ids = [CompletionItem(str(row["workflow_id"]), help=f"{row['name']} {row['status']}") for row in rows]
    except Exception:
        return []
    return [one for one in ids if one.value.startswith(incomplete)]


INPUTS = click.Path(exists=True, dir_okay=False, path_type=Path)
workflow_argument = click.argument("workflow_id", type=click.IntRange(1), shell_complete=workflow_ids)
document_argument = click.argument("document", metavar="WORKFLOW.cwl[#id]", type=click.Path())
inputs_argument = click.argument("inputs", required=False, type=INPUTS)
input_option = click.option(
    "--input", "given", multiple=True, metavar="NAME=VALUE", help="An input, in YAML; a path for a File."
)
