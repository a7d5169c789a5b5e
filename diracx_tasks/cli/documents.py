"""`diracx workflows` about documents: check, template, graph, and run them on this machine."""

from pathlib import Path
from typing import Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.arguments import document_argument, input_option, inputs_argument
from diracx_tasks.cli.complaints import PLACES, complaint
from diracx_tasks.cli.known import known_workflows
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Row


@click.command()
@document_argument
@inputs_argument
@input_option
@click.option(
    "--offline", "is_offline", is_flag=True, help="Without a server: sites and LFNs are not looked up."
)
def check(document: str, inputs: Path | None, given: tuple[str, ...], is_offline: bool) -> None:
    """Check a workflow and its inputs without running anything."""
    from diracx_tasks.cwl.given import placed, with_places

    with placed(inputs):
        found = _checked_here(document, inputs, given) if is_offline else _checked(document, inputs, given)
    places = click.get_current_context().meta.get(PLACES, {}) | ({"inputs": inputs} if inputs else {})
    remarks = found["diagnostics"]
    if inputs:
        remarks = with_places(remarks, inputs.read_text(errors="replace"))
    for warning in remarks:
        click.echo(complaint(warning, places), err=True)
    count = len(found["graph"]["nodes"])
    unseen = "; its sites and LFNs were not looked up" if is_offline else ""
    size = _size(found["estimate"]) if found.get("estimate") else ""
    click.echo(f"OK: {document} can run: {count} step{'s' * (count != 1)}{size}{unseen}")


def _size(estimate: Row) -> str:
    jobs, cores = estimate["jobs"], estimate["cores"]
    least = "" if estimate["is_exact"] else "at least "
    return f", {least}{jobs} job{'s' * (jobs != 1)}, {cores:g} core{'s' * (cores != 1)} if all run at once"


@click.command()
@document_argument
@click.option(
    "-o", "--to", type=click.Path(dir_okay=False, path_type=Path), help="A new file.  [default: the terminal]"
)
def template(document: str, to: Path | None) -> None:
    """Write an inputs file for a workflow, to be filled in."""
    from diracx_tasks.cli.offline import template_of

    text = template_of(document)
    if to is None:
        click.echo(text, nl=False)
        return
    with to.open("x") as file:
        file.write(text)
    click.echo(f"{to} has the inputs of {document}, to be filled in", err=True)


@click.command()
@click.argument("what", metavar="WORKFLOW.cwl|WORKFLOW_ID", shell_complete=known_workflows)
@click.option("--svg", "picture", flag_value="svg", help="A picture, for browsers and documents.")
@click.option("--dot", "picture", flag_value="dot", help="For Graphviz: ... | dot -Tsvg.")
@output_option
def graph(what: str, picture: str | None, form: str) -> None:
    """Draw the steps of a document, or of a workflow with their states."""
    from diracx_tasks.cwl import draw

    if what.isdigit():
        title, found = f"workflow {what}", output.connect().get(f"/api/workflows/{int(what)}/graph")
    else:
        title, found = what, _graph_of(what)
    if picture:
        click.echo(getattr(draw, picture)(found, title), nl=False)
    elif form == output.TABLE:
        _show_tree(what, found)
    elif form == output.ID:
        output.show_rows(found["nodes"], form, key="path", columns=(), empty="it has no steps")
    else:
        output.show_json(found)


@click.command("run-here")
@document_argument
@inputs_argument
@input_option
@click.option(
    "--outdir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder of the outputs.  [default: this one]",
)
@click.option("--jobs", type=click.IntRange(1), help="Jobs at a time.  [default: one per core]")
@click.option("--quiet", is_flag=True, help="Say nothing of what happens.")
def run_here(
    *, document: str, inputs: Path | None, given: tuple[str, ...], outdir: Path, jobs: int | None, quiet: bool
) -> None:
    """Run a workflow on this machine without a server, and print its outputs as cwltool does."""
    from diracx_tasks.cli.here import run
    from diracx_tasks.cli.offline import check as check_here
    from diracx_tasks.cwl.given import placed

    with placed(inputs):
        check_here(document, inputs, given)
    outputs = run(document, inputs, given, outdir, jobs, is_quiet=quiet)
    output.show_json(outputs)


def _checked(document: str, inputs: Path | None, given: tuple[str, ...]) -> Row:
    from diracx_tasks.cli.inputs import read_submission

    client = output.connect()
    sent = read_submission(client, document, inputs, given, is_check=True)
    found: Row = client.post("/api/workflows/check", sent)
    return found


def _checked_here(document: str, inputs: Path | None, given: tuple[str, ...]) -> Row:
    from diracx_tasks.cli import offline

    found = offline.check(document, inputs, given)
    return {**found, "diagnostics": found["warnings"]}


def _graph_of(document: str) -> Row:
    from diracx_tasks.cli import offline
    from diracx_tasks.cwl.graph import graph as graph_of
    from diracx_tasks.cwl.ports import ports

    root = offline.process(document)
    return {**graph_of(root), **ports(root)}


def _show_tree(what: str, found: Row) -> None:
    from diracx_tasks.cli.watch import title_of, tree

    title: Any = what
    if what.isdigit():
        title = title_of(output.connect().get(f"/api/workflows/{int(what)}"))
    output.console().print(tree(title, found))
