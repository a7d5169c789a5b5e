"""Arguments and options that several commands about workflows and jobs share."""

from pathlib import Path

import click

from diracx_tasks.cli.known import known_jobs, known_workflows

INPUTS = click.Path(exists=True, dir_okay=False, path_type=Path)
job_argument = click.argument("job_id", type=click.IntRange(1), shell_complete=known_jobs)
workflow_argument = click.argument("workflow_id", type=click.IntRange(1), shell_complete=known_workflows)
document_argument = click.argument("document", metavar="WORKFLOW.cwl[#id]", type=click.Path())
inputs_argument = click.argument("inputs", required=False, type=INPUTS)
input_option = click.option(
    "--input", "given", multiple=True, metavar="NAME=VALUE", help="An input, in YAML; a path for a File."
)
