"""`diracx workflows`: submit, list, show, watch, rerun, kill, and get the outputs."""

import json
import time
import uuid
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli import fetching, output
from diracx_tasks.cli.arguments import document_argument, input_option, inputs_argument, workflow_argument
from diracx_tasks.cli.complaints import one_line
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.known import known_workflows
from diracx_tasks.cli.lists import Page, first, show_list, watch_option, why_none
from diracx_tasks.cli.newest import PAGE
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.steps import jobs_done
from diracx_tasks.cli.tables import Column, Row, facts
from diracx_tasks.core.errors import DiracXError, Unreachable
from diracx_tasks.core.words import size

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

STATUSES = ("Received", "Running", "Killing", "Done", "Failed", "Killed")
FINAL = ("Done", "Failed", "Killed")
COLUMNS = (
    Column("ID", lambda row: row["workflow_id"], is_number=True),
    Column("Name", lambda row: row["name"], is_cut=True),
    Column("Status", lambda row: output.state(row["status"])),
    Column("Jobs done", lambda row: jobs_done(row["jobs"]), is_number=True),
    Column("Failed", lambda row: row["jobs"]["failed"] + row["jobs"]["killed"] or "", is_number=True),
    Column("Owner", lambda row: row["owner"], goes=1),
    Column("Submitted", lambda row: output.ago(row["submitted_at"]), goes=3),
    Column("Took", lambda row: output.took(row["submitted_at"], row["ended_at"]), goes=2),
)


# Commands that are in files of their own, imported when they are used.
ELSEWHERE = {
    "check": "diracx_tasks.cli.documents:check",
    "crate": "diracx_tasks.cli.crates:crate",
    "graph": "diracx_tasks.cli.documents:graph",
    "logs": "diracx_tasks.cli.workflow_logs:logs",
    "resources": "diracx_tasks.cli.workflow_logs:resources",
    "run-here": "diracx_tasks.cli.documents:run_here",
    "template": "diracx_tasks.cli.documents:template",
}


class Commands(Group):
    """The commands about workflows."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return sorted({*super().list_commands(ctx), *ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now if it is elsewhere."""
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, name = ELSEWHERE[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=Commands)
def workflows() -> None:
    """Submit CWL workflows, watch them, get their outputs."""


@workflows.command()
@document_argument
@inputs_argument
@input_option
@click.option("--name", default="", help="A name for people.  [default: the document's]")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait for the end, and exit with its code.")
@click.option("--watch", "is_watching", is_flag=True, help="The same, showing what happens.")
@click.option("--idempotency-key", help="With the same key a second time, nothing is submitted again.")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "continue"]),
    help="After a step has failed, go on with what does not need it?  [default: stop]",
)
@click.option("--no-reuse", "is_new", is_flag=True, help="Run every tool, also those with a known result.")
@click.option(
    "--retries", type=click.IntRange(0), help="So often is a tool tried again that fails temporarily."
)
@output_option
def submit(
    *,
    document: str,
    inputs: Path | None,
    given: tuple[str, ...],
    name: str,
    is_waiting: bool,
    is_watching: bool,
    idempotency_key: str | None,
    on_error: str | None,
    is_new: bool,
    retries: int | None,
    form: str,
) -> None:
    """Submit a workflow with its inputs, a YAML or JSON file; local files go along."""
    from diracx_tasks.cli.inputs import read_submission
    from diracx_tasks.cli.watch import EXIT_CODES, wait_and_tell, watch

    client = output.connect()
    wishes = {"on_error": on_error, "reuse": False if is_new else None, "retries": retries}
    body = {**read_submission(client, document, inputs, given), "name": name}
    body |= {wish: value for wish, value in wishes.items() if value is not None}
    found = post_workflow(client, body, idempotency_key or uuid.uuid4().hex)
    workflow_id = found["workflow_id"]
    if form == output.TABLE:
        click.echo(f"workflow {workflow_id} {one_line(found['name'])} is {found['status']}")
    else:
        output.show_one(found, form, key="workflow_id")
    if is_watching:
        # Programs read the id on stdout.
        status = watch(client, workflow_id, output.console(stderr=form != output.TABLE))
        raise click.exceptions.Exit(EXIT_CODES[status])
    if is_waiting:
        status = wait_and_tell(client, workflow_id, is_brief=form != output.TABLE)
        raise click.exceptions.Exit(EXIT_CODES[status])


@workflows.command("list")
@click.option(
    "--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only those in this status."
)
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True, help="How many at most.")
@click.option("--all", "is_all", is_flag=True, help="All of them.")
@watch_option
@output_option
def list_workflows(status: str | None, limit: int, is_all: bool, is_watched: bool, form: str) -> None:
    """List workflows, newest first."""
    client = output.connect()

    def ask() -> Page:
        return first(_found(client, status, None if is_all else limit + 1), None if is_all else limit)

    def why_empty() -> str:
        none = "no workflows yet: submit one with `diracx workflows submit`"
        return why_none("workflow", {"status": status}, lambda: _found(client, None, PAGE), otherwise=none)

    show_list(ask, form, key="workflow_id", columns=COLUMNS, empty=why_empty, is_watched=is_watched)


@workflows.command()
@workflow_argument
@click.option("--watch", "is_watched", is_flag=True, help="As `workflows watch`.")
@output_option
def show(workflow_id: int, is_watched: bool, form: str) -> None:
    """Show a workflow: status, steps, outputs."""
    from diracx_tasks.cli.steps import steps_table
    from diracx_tasks.cli.watch import watched

    if is_watched:
        raise click.exceptions.Exit(watched(output.connect(), workflow_id, form))
    found = output.connect().get(f"/api/workflows/{workflow_id}")
    if form != output.TABLE:
        output.show_one(found, form, key="workflow_id")
        return
    out = output.console()
    out.print(facts(_facts(found)))
    if found["steps"]:
        out.print()
        out.print(steps_table(found["steps"], out.width))
    if found["outputs"]:
        out.print("\nOutputs", style="bold")
        out.print(facts((name, _brief(value)) for name, value in found["outputs"].items()))


workflows.unlisted.update({"status": show, "search": list_workflows})


@workflows.command("watch")
@workflow_argument
def watch_workflow(workflow_id: int) -> None:
    """Watch a workflow until its end; exit with 0 if it is done, 1 failed, 3 killed."""
    from diracx_tasks.cli.watch import watched

    raise click.exceptions.Exit(watched(output.connect(), workflow_id, output.TABLE))


@workflows.command()
@workflow_argument
@click.option(
    "--download", "folder", type=click.Path(file_okay=False, path_type=Path), help="Put the files there."
)
def outputs(workflow_id: int, folder: Path | None) -> None:
    """Print the outputs as a JSON object, as cwltool does."""
    client = output.connect()
    if folder:
        output.show_json(download_outputs(client, workflow_id, folder))
    else:
        output.show_json(_outputs(client, workflow_id))


@workflows.command()
@click.argument(
    "numbers",
    metavar="WORKFLOW_ID...",
    type=click.IntRange(1),
    nargs=-1,
    required=True,
    shell_complete=known_workflows,
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def kill(numbers: tuple[int, ...], yes: bool) -> None:
    """Kill workflows with all their jobs."""
    client = output.connect()
    many = "s" * (len(numbers) > 1)
    output.agree(f"Kill workflow{many} {', '.join(map(str, numbers))} with all jobs?", yes=yes)

    def kill_one(workflow_id: int) -> None:
        status = client.post(f"/api/workflows/{workflow_id}/kill")["status"]
        click.echo(f"workflow {workflow_id} is {status}")

    output.for_each(numbers, kill_one)


@workflows.command()
@workflow_argument
@click.option("--failed", "is_failed_only", is_flag=True, help="Only what failed; what is done is kept.")
@output_option
def rerun(workflow_id: int, is_failed_only: bool, form: str) -> None:
    """Continue a workflow that failed or was killed."""
    if not is_failed_only:
        words = "say --failed; to do everything once more, submit the workflow again with --no-reuse"
        raise click.UsageError(words)
    found = output.connect().post(f"/api/workflows/{workflow_id}/rerun")
    if form == output.TABLE:
        click.echo(f"workflow {found['workflow_id']} is {found['status']}")
    else:
        output.show_one(found, form, key="workflow_id")


def download_outputs(client: "Client", workflow_id: int, folder: Path) -> Any:
    """The outputs of a workflow with local paths; their files are in the folder.

    Files that are there already with the right content are kept; DiracXError for those with another.
    """
    return fetching.Fetching(client).fetch(_outputs(client, workflow_id), folder)


def post_workflow(client: "Client", body: Row, key: str) -> Row:
    """Submit, and once more when the answer got lost: the key makes it one workflow."""
    headers = {"Idempotency-Key": key}
    try:
        found: Row = client.post("/api/workflows", body, headers=headers)
    except Unreachable:
        time.sleep(1)
        found = client.post("/api/workflows", body, headers=headers)
    return found


def _found(client: "Client", status: str | None, most: int | None) -> Iterator[Row]:
    before, count = None, 0
    while most is None or count < most:
        size = PAGE if most is None else min(PAGE, most - count)
        page = client.get("/api/workflows", limit=size, before=before, status=status)
        yield from page["workflows"]
        count += len(page["workflows"])
        before = page["next"]
        if before is None:
            return


def _facts(found: Row) -> Iterator[tuple[str, Any]]:
    yield "Workflow", f"{found['workflow_id']} {found['name']}"
    yield "Status", output.state(found["status"])
    yield "Reason", found["reason"]
    yield "Owner", f"{found['owner']} ({found['group']}, {found['vo']})"
    yield "Submitted", output.ago_and_time(found["submitted_at"])
    yield "Took", output.took(found["submitted_at"], found["ended_at"])


def _outputs(client: "Client", workflow_id: int) -> Any:
    found = client.get(f"/api/workflows/{workflow_id}")
    if found["outputs"] is None:
        words = f": {found['reason']}" if found["reason"] else ""
        yet = "" if found["status"] in FINAL else " yet"
        raise DiracXError(f"workflow {workflow_id} is {found['status']}{words}: it has no outputs{yet}")
    return found["outputs"]


def _brief(value: Any) -> str:
    if isinstance(value, dict) and value.get("class") == "File":
        long = f" ({size(value['size'])})" if "size" in value else ""
        return f"{value.get('basename')}{long}"
    if isinstance(value, dict) and value.get("class") == "Directory":
        return f"{value.get('basename')}/"
    if isinstance(value, list) and len(value) <= 5:
        return ", ".join(map(_brief, value))
    return f"{len(value)} values" if isinstance(value, list) else json.dumps(value)[:200]
