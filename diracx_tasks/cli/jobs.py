"""`diracx jobs`: lists, one with its history, logs, kill, why."""

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.arguments import job_argument
from diracx_tasks.cli.cwl_jobs import outputs, submit_cwl
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.job_actions import bulk, delete, kill, remove, reschedule
from diracx_tasks.cli.job_sandboxes import sandbox
from diracx_tasks.cli.job_submissions import submit
from diracx_tasks.cli.known import known_statuses, known_workflows
from diracx_tasks.cli.lists import Page, first, show_list, watch_option, why_none
from diracx_tasks.cli.live import changes, live
from diracx_tasks.cli.matching import show_why
from diracx_tasks.cli.newest import PAGE, newest
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Column, Row, facts, fitted
from diracx_tasks.cli.where import Condition, where_option, words_of
from diracx_tasks.core.errors import Unreachable
from diracx_tasks.core.overlap import new_of
from diracx_tasks.core.words import size_of_mb, span

if TYPE_CHECKING:
    from rich.console import RenderableType

    from diracx_tasks.core.client import Client

POLL = 2.0
SHOWN = {"MinorStatus": "Minor status", "ApplicationStatus": "Application status"}
SHOWN |= {"WorkflowID": "Workflow"} | {name: name for name in ("Step", "Slot", "Owner", "VO", "Site")}
FINAL = {"Done": 0, "Failed": 1, "Killed": 3, "Deleted": 3}
COLUMNS = (
    Column("ID", lambda job: job["JobID"], is_number=True),
    Column("Name", lambda job: job.get("JobName"), is_cut=True),
    Column("Status", lambda job: output.state(job["Status"])),
    Column("Minor status", lambda job: job.get("MinorStatus"), is_cut=True, goes=5),
    Column("Workflow", lambda job: str(job.get("JobGroup") or "").lstrip("0"), goes=3),
    Column("Site", lambda job: job.get("Site"), goes=2),
    Column("Owner", lambda job: job.get("Owner"), goes=1),
    Column("Submitted", lambda job: output.ago(job.get("SubmissionTime")), goes=4),
)
ATTEMPTS = (
    Column("Attempt", lambda one: one["attempt"], is_number=True),
    Column("Status", lambda one: output.state(one.get("status") or "Running")),
    Column("Site", lambda one: one.get("site")),
    Column("Pilot", lambda one: one.get("pilot"), goes=5),
    Column("Took", lambda one: output.took(one.get("started_at"), one.get("ended_at"))),
    Column("CPU", lambda one: _used(one, "cpu_seconds", span), is_number=True, goes=4),
    Column("Memory", lambda one: _used(one, "memory_mb", size_of_mb), is_number=True, goes=3),
    Column("Disk", lambda one: _used(one, "disk_mb", size_of_mb), is_number=True, goes=2),
    Column("Reason", lambda one: one.get("reason"), is_cut=True),
)
HISTORY = (
    Column("Time (UTC)", lambda one: output.time_of(one["StatusTime"], parts="milliseconds")),
    Column("Status", lambda one: output.state(one["Status"])),
    Column("Minor status", lambda one: one.get("MinorStatus"), is_cut=True),
    Column("Application status", lambda one: _known(one.get("ApplicationStatus")), is_cut=True, goes=2),
    Column("Source", lambda one: one.get("Source"), goes=1),
)


@click.group(cls=Group)
def jobs() -> None:
    """Submit jobs, see them, their logs and why they wait; kill, delete, remove, reschedule them."""


jobs.add_command(submit)
jobs.add_command(outputs)
jobs.add_command(sandbox)
for one in (kill, delete, remove, reschedule, bulk):
    jobs.add_command(one)


@jobs.command("list")
@click.option("--status", help="Only jobs in this status, e.g. Waiting.", shell_complete=known_statuses)
@click.option(
    "--workflow",
    "workflow_id",
    type=click.IntRange(1),
    help="Only jobs of this workflow.",
    shell_complete=known_workflows,
)
@where_option
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True, help="How many at most.")
@click.option("--all", "is_all", is_flag=True, help="All of them.")
@watch_option
@output_option
def list_jobs(
    *,
    status: str | None,
    workflow_id: int | None,
    conditions: tuple[Condition, ...],
    limit: int,
    is_all: bool,
    is_watched: bool,
    form: str,
) -> None:
    """List jobs, newest first."""
    client = output.connect()
    wanted = list(conditions)
    if status:
        wanted.append({"parameter": "Status", "operator": "eq", "value": status.capitalize()})
    if workflow_id:
        wanted.append({"parameter": "JobGroup", "operator": "eq", "value": f"{workflow_id:08d}"})

    def ask() -> Page:
        return first(_found(client, wanted, None if is_all else limit + 1), None if is_all else limit)

    def why_empty() -> str:
        filters = {"status": status, "workflow": workflow_id, "": words_of(conditions)}
        none = "no jobs yet: submit a workflow with `diracx workflows submit`"
        return why_none("job", filters, lambda: _found(client, [], PAGE), otherwise=none)

    show_list(ask, form, key="JobID", columns=COLUMNS, empty=why_empty, is_watched=is_watched)


@jobs.command()
@job_argument
@click.option("--watch", "is_watched", is_flag=True, help="Until the job ends; exit with its code.")
@output_option
def show(job_id: int, is_watched: bool, form: str) -> None:
    """Show a job with its attempts and its history."""
    client = output.connect()

    def ask() -> Row:
        return {**client.get(f"/api/jobs/{job_id}"), "History": client.get(f"/api/jobs/{job_id}/history")}

    if is_watched:
        last = _watched(ask, form)
        raise click.exceptions.Exit(FINAL[last["Status"]])
    if form == output.TABLE:
        out = output.console()
        out.print(_drawn(ask(), out.width))
    else:
        output.show_one(ask(), form, key="JobID")


jobs.unlisted.update({"status": show, "search": list_jobs, "submit-cwl": submit_cwl})


@jobs.command()
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends, and exit with its code.")
def logs(job_id: int, follow: bool) -> None:
    """Print the end of a job's output, also while it runs."""
    client = output.connect()
    before: Row = {"text": "", "attempt": None}
    is_away, has_answered = False, False
    while True:
        try:
            log = client.get(f"/api/jobs/{job_id}/logs", follow=follow or None)
        except Unreachable as error:
            if not follow or not has_answered:
                raise
            if not is_away:
                click.echo(f"diracx: {error}; still trying", err=True)
            is_away = True
        else:
            is_away, has_answered = False, True
            _print_new(log, before)
            before = log
            if log["final"] or not follow:
                break
        time.sleep(POLL)
    if not log["text"]:
        click.echo(f"diracx: job {job_id} has printed nothing{'' if log['final'] else ' yet'}", err=True)
    if follow:
        raise click.exceptions.Exit(FINAL.get(client.get(f"/api/jobs/{job_id}")["Status"], 0))


@jobs.command()
@job_argument
@output_option
def why(job_id: int, form: str) -> None:
    """Say why a job is where it is, and what to do."""
    found = output.connect().get(f"/api/jobs/{job_id}/why")
    if form == output.JSON:
        output.show_json(found)
    else:
        show_why(found)


def _found(client: "Client", conditions: list[Row], most: int | None) -> Iterator[Row]:
    return newest(client, "/api/jobs/search", "JobID", conditions, most)


def _watched(ask: Callable[[], Row], form: str) -> Row:
    def is_over(job: Row) -> bool:
        return job["Status"] in FINAL

    if form == output.TABLE:
        return live(ask, _drawn, is_over)
    for job in changes(ask, is_over):
        click.echo(json.dumps(job) if form == output.JSON else job["JobID"])
    return job


def _drawn(job: Row, width: int) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [facts(_facts(job))]
    for name, columns in (("Attempts", ATTEMPTS), ("History", HISTORY)):
        if job.get(name):
            parts += [Text(f"\n{name}", style="bold"), fitted(job[name], columns, width).drawn]
    return Group(*parts)


def _facts(job: Row) -> Iterator[tuple[str, Any]]:
    yield "Job", f"{job['JobID']} {_known(job.get('JobName')) or ''}"
    yield "Status", output.state(job["Status"])
    for name, label in SHOWN.items():
        yield label, _known(job.get(name))
    yield "Submitted", output.ago_and_time(job.get("SubmissionTime"))
    yield "Ran", output.took(job.get("StartExecTime"), job.get("EndExecTime"))
    yield "Rescheduled", job.get("RescheduleCounter") or None
    yield "Last sign of life", output.ago(job.get("HeartBeatTime")) if job["Status"] not in FINAL else None


def _known(value: Any) -> Any:
    """A value, but nothing for DIRAC's word for nothing."""
    return None if value == "Unknown" else value


def _used(attempt: Row, name: str, words: Callable[[float], str]) -> str:
    """What an attempt has used; empty before its end."""
    used = attempt.get("use")
    return words(used[name]) if used else ""


def _print_new(log: Row, before: Row) -> None:
    """Print what a log has more than it had before; it is the end of a text that grows."""
    old, new = before["text"] or "", log["text"] or ""
    if log["attempt"] != before["attempt"]:
        if before["attempt"] is not None:
            click.echo(f"diracx: attempt {log['attempt']} begins", err=True)
        old = ""
    # As it was printed: a program that reads this wants the colours that the job has written.
    click.echo(new_of(old, new), nl=False, color=True)
