"""`diracx jobs`: lists, one with its history, logs, kill, why; and the store of files behind them."""

import hashlib
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.cwl_jobs import outputs, submit_cwl
from diracx_tasks.cli.job_actions import bulk, delete, kill, remove, reschedule
from diracx_tasks.cli.job_ids import known_jobs
from diracx_tasks.cli.job_sandboxes import sandbox
from diracx_tasks.cli.matching import show_why
from diracx_tasks.cli.newest import PAGE, newest
from diracx_tasks.cli.output import Column, Row, output_option
from diracx_tasks.core.errors import BadRequest, Unreachable
from diracx_tasks.core.overlap import new_of

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

FILE = ("File", "Directory")
# Says of a Directory that it was a real one: its listing is seen where `loadListing` asks for it.
FOLDER = "diracx:folder"
PARALLEL = 4
POLL = 2.0
SHOWN = ("MinorStatus", "ApplicationStatus", "JobName", "WorkflowID", "Step", "Slot", "Owner", "VO", "Site")
FINAL = {"Done": 0, "Completed": 0, "Failed": 1, "Killed": 3, "Deleted": 3}
COLUMNS = (
    Column("ID", lambda job: job["JobID"], is_number=True),
    Column("Name", lambda job: job.get("JobName")),
    Column("Status", lambda job: output.state(job["Status"])),
    Column("Detail", lambda job: job.get("MinorStatus")),
    Column("Workflow", lambda job: str(job.get("JobGroup") or "").lstrip("0")),
    Column("Site", lambda job: job.get("Site")),
    Column("Owner", lambda job: job.get("Owner")),
    Column("Submitted", lambda job: output.ago(job.get("SubmissionTime"))),
)
ATTEMPTS = (
    Column("Attempt", lambda one: one["attempt"], is_number=True),
    Column("Status", lambda one: output.state(one.get("status") or "Running")),
    Column("Site", lambda one: one.get("site")),
    Column("Pilot", lambda one: one.get("pilot")),
    Column("Took", lambda one: output.took(one.get("started_at"), one.get("ended_at"))),
    Column("CPU", lambda one: _used(one, "cpu_seconds", "s"), is_number=True),
    Column("Memory", lambda one: _used(one, "memory_mb", "MB"), is_number=True),
    Column("Disk", lambda one: _used(one, "disk_mb", "MB"), is_number=True),
    Column("Reason", lambda one: one.get("reason")),
)
HISTORY = (
    Column("Time (UTC)", lambda one: one["StatusTime"]),
    Column("Status", lambda one: output.state(one["Status"])),
    Column("Detail", lambda one: one.get("MinorStatus")),
    Column("Application", lambda one: one.get("ApplicationStatus")),
    Column("Source", lambda one: one.get("Source")),
)


job_argument = click.argument("job_id", type=click.IntRange(1), shell_complete=known_jobs)


@click.group()
def jobs() -> None:
    """See jobs, their logs and why they wait; kill, delete, remove them, or have them begin anew."""


jobs.add_command(submit_cwl)
jobs.add_command(outputs)
jobs.add_command(sandbox)
for one in (kill, delete, remove, reschedule, bulk):
    jobs.add_command(one)


@jobs.command("list")
@click.option("--status", help="Only jobs in this status, e.g. Waiting.")
@click.option("--workflow", "workflow_id", type=click.IntRange(1), help="Only jobs of this workflow.")
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True, help="How many at most.")
@click.option("--all", "is_all", is_flag=True, help="All of them.")
@output_option
def list_jobs(status: str | None, workflow_id: int | None, limit: int, is_all: bool, form: str) -> None:
    """List jobs, newest first."""
    client = output.connect()
    conditions = []
    if status:
        conditions.append({"parameter": "Status", "operator": "eq", "value": status.capitalize()})
    if workflow_id:
        conditions.append({"parameter": "JobGroup", "operator": "eq", "value": f"{workflow_id:08d}"})
    rows = list(_found(client, conditions, None if is_all else limit + 1))
    if not rows:
        output.show_nothing(_why_none(client, status, workflow_id), form)
        return
    more = "" if is_all or len(rows) <= limit else f"There are more: --limit {limit * 4}, or --all."
    output.show_rows(rows if is_all else rows[:limit], form, key="JobID", columns=COLUMNS, more=more)


@jobs.command()
@job_argument
@output_option
def show(job_id: int, form: str) -> None:
    """Show a job with its attempts and its history."""
    client = output.connect()
    job = client.get(f"/api/jobs/{job_id}")
    history = client.get(f"/api/jobs/{job_id}/history")
    if form != output.TABLE:
        whole = {**job, "History": history}
        output.show_one(whole, form, key="JobID")
        return
    out = output.console()
    out.print(output.facts([("Status", output.state(job["Status"])), *_facts(job)]))
    for title, rows, columns in (("Attempts", job.get("Attempts"), ATTEMPTS), ("History", history, HISTORY)):
        if rows:
            out.print(f"\n{title}", style="bold")
            out.print(output.table(rows, columns))


@jobs.command()
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends, and exit with its code.")
def logs(job_id: int, follow: bool) -> None:
    """Print the end of a job's output, also while it runs."""
    client = output.connect()
    before: Row = {"text": "", "attempt": None}
    is_away = False
    while True:
        try:
            log = client.get(f"/api/jobs/{job_id}/logs", follow=follow or None)
        except Unreachable as error:
            if not follow or before["attempt"] is None:
                raise
            if not is_away:
                click.echo(f"diracx: {error}; still trying", err=True)
            is_away = True
        else:
            is_away = False
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


@dataclass
class Storing:
    """Uploads the local files of values, those of up to `most` bytes; the others are only announced."""

    client: "Client"
    most: int | None = None
    _wanted: list[tuple[dict[str, Any], Path]] = field(default_factory=list)

    def store(self, values: dict[str, Any]) -> dict[str, Any]:
        """Inputs by name, with locations in the store for absolute paths, and directories as literals."""
        found = {name: self._outward(value, name) for name, value in values.items()}
        paths = list(dict.fromkeys(path for _, path in self._wanted))
        with ThreadPoolExecutor(PARALLEL) as pool:
            stored = dict(zip(paths, pool.map(self._upload, paths), strict=True))
        for file, path in self._wanted:
            file.update(stored[path])
        return found

    def _outward(self, value: Any, name: str) -> Any:
        if isinstance(value, list):
            return [self._outward(one, name) for one in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") not in FILE or "path" not in value:
            return {key: self._outward(one, name) for key, one in value.items()}
        path = Path(value["path"])
        found = {key: self._outward(one, name) for key, one in value.items() if key != "path"}
        found.setdefault("basename", path.name)
        is_file = value["class"] == "File"
        if not (path.is_file() if is_file else path.is_dir()):
            what = f"is no {'file' if is_file else 'folder'}" if path.exists() else "does not exist"
            raise BadRequest(f"input {name!r}: {path} {what}")
        if is_file:
            self._wanted.append((found, path))
        elif "listing" not in found:
            found |= {"listing": self._outward(list(_listing(path)), name), FOLDER: True}
        return found

    def _upload(self, path: Path) -> dict[str, Any]:
        sha256, sha1, size = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), 0
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                size += len(block)
                sha256.update(block)
                sha1.update(block)
        asked = {"checksum_algorithm": "sha256", "checksum": sha256.hexdigest(), "size": size}
        grant = self.client.post("/api/jobs/sandbox", {**asked, "format": "file"})
        if grant["url"] and (self.most is None or size <= self.most):
            if sys.stderr.isatty():
                click.echo(f"uploading {path.name} ({output.bytes_of(size)})", err=True)
            self.client.upload(grant, path)
        location = f"sandbox:{grant['pfn'].rpartition('|')[2]}"
        return {"location": location, "size": size, "checksum": f"sha1${sha1.hexdigest()}"}


def _listing(folder: Path) -> Iterator[dict[str, Any]]:
    here = folder.resolve()
    if any(parent.resolve() == here for parent in folder.parents):
        raise BadRequest(f"{folder}: a link in this folder leads back to one above it")
    for path in sorted(folder.iterdir()):
        yield {"class": "Directory" if path.is_dir() else "File", "path": str(path)}


def _found(client: "Client", conditions: list[Row], most: int | None) -> Iterator[Row]:
    return newest(client, "/api/jobs/search", "JobID", conditions, most)


def _why_none(client: "Client", status: str | None, workflow_id: int | None) -> str:
    if not status and not workflow_id:
        return "no jobs yet: submit a workflow with `diracx workflows submit`"
    filters = [f"status={status}"] if status else []
    filters += [f"workflow={workflow_id}"] if workflow_id else []
    others = len(list(_found(client, [], PAGE)))
    count = f"{others} or more" if others == PAGE else str(others)
    return f"no job matches {' and '.join(filters)}; {count} without this filter"


def _facts(job: Row) -> Iterator[tuple[str, Any]]:
    for name in SHOWN:
        yield name, job.get(name)
    yield "Submitted", f"{output.ago(job.get('SubmissionTime'))} ({job.get('SubmissionTime')})"
    yield "Ran", output.took(job.get("StartExecTime"), job.get("EndExecTime"))
    yield "Rescheduled", job.get("RescheduleCounter") or None
    yield "Last sign of life", output.ago(job.get("HeartBeatTime")) if job["Status"] not in FINAL else None


def _used(attempt: Row, name: str, unit: str) -> str:
    """What an attempt has used; empty before its end."""
    used = attempt.get("use")
    return f"{used[name]:.3g} {unit}" if used else ""


def _print_new(log: Row, before: Row) -> None:
    """Print what a log has more than it had before; it is the end of a text that grows."""
    old, new = before["text"] or "", log["text"] or ""
    if log["attempt"] != before["attempt"]:
        if before["attempt"] is not None:
            click.echo(f"diracx: attempt {log['attempt']} begins", err=True)
        old = ""
    # As it was printed: a program that reads this wants the colours that the job has written.
    click.echo(new_of(old, new), nl=False, color=True)
