"""`diracx workflows logs` and `resources`: what a workflow's jobs print, and what they use."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.arguments import workflow_argument
from diracx_tasks.cli.complaints import one_line
from diracx_tasks.cli.known import known_jobs, known_steps
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Column, Row
from diracx_tasks.core.errors import Unreachable
from diracx_tasks.core.overlap import new_of
from diracx_tasks.core.words import size_of_mb, span

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

Words = Callable[[float], str]
EXIT_CODES = {"Done": 0, "Failed": 1, "Killed": 3}
# The server says something every 15 s; without a word it is taken to be away.
SILENT_SECONDS = 45
AGAIN_SECONDS = 1.0
KEPT = 65536


@click.command("logs")
@workflow_argument
@click.argument("step", required=False, shell_complete=known_steps)
@click.option("-f", "--follow", "is_following", is_flag=True, help="Go on until the end, exit with its code.")
@click.option("--job", "job_id", type=click.IntRange(1), help="Only this job.", shell_complete=known_jobs)
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="Without --follow: of how many jobs.",
)
def logs(workflow_id: int, step: str | None, is_following: bool, job_id: int | None, limit: int) -> None:
    """Print what the jobs of a workflow print, or of one STEP of it, each line after its place."""
    client, wanted = output.connect(), {"step": step, "job": job_id}
    if not is_following:
        _show_stored(client, workflow_id, {**wanted, "limit": 1 if job_id else limit})
        return
    screen = Screen(step, is_alone=job_id is not None)
    for kind, content in follow(client, workflow_id, wanted):
        screen.show(kind, content)
    if not screen.has_shown:
        _show_stored(client, workflow_id, {**wanted, "limit": limit})
    click.echo(f"diracx: workflow {workflow_id} is {content['status']}", err=True)
    raise click.exceptions.Exit(EXIT_CODES[content["status"]])


@click.command("resources")
@workflow_argument
@output_option
def resources(workflow_id: int, form: str) -> None:
    """Show what each step asked for beside what its jobs used."""
    found = output.connect().get(f"/api/workflows/{workflow_id}/resources")["steps"]
    empty = f"workflow {workflow_id} has no step that runs as a job"
    output.show_rows(found, form, key="path", columns=STEPS, empty=empty)
    if form == output.TABLE:
        for row in found:
            for remark in row["remarks"]:
                click.echo(one_line(f"{row['path'] or row['name']}: {remark}"))


def follow(client: "Client", workflow_id: int, wanted: Row) -> Iterator[tuple[str, Row]]:
    """What the server says until the workflow's end, the last of it ("end", ...); over breaks of the line.

    Unreachable only if the server never answered.
    """
    from diracx_tasks.core.sse import messages

    last, is_away, has_answered = "", False, False
    while True:
        try:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            path = f"/api/workflows/{workflow_id}/live"
            with client.stream(path, timeout=SILENT_SECONDS, headers=headers, **wanted) as answer:
                has_answered, is_away = True, False
                for one in messages(answer.stream(KEPT)):
                    last = one.last_id or last
                    yield one.kind, json.loads(one.data)
                    if one.kind == "end":
                        return
        except Unreachable as error:
            if not has_answered:
                raise
            if not is_away:
                click.echo(f"diracx: {one_line(str(error))}; still trying", err=True)
            is_away = True
        time.sleep(AGAIN_SECONDS)


@dataclass
class Screen:
    """Prints outputs as they come; each line after its place, unless there is one job alone."""

    step: str | None = None
    is_alone: bool = False
    has_shown: bool = False
    _texts: dict[int, str] = field(default_factory=dict)
    _attempts: dict[int, int] = field(default_factory=dict)
    _rests: dict[int, str] = field(default_factory=dict)
    _is_told: bool = False

    def show(self, kind: str, content: Row) -> None:
        """Print a message of the server's, if it is for people."""
        if kind == "log":
            self.has_shown = True
            self._print(content)
        elif kind == "progress" and not self.has_shown:
            self.is_alone = self.is_alone or self._is_one_job(content["steps"])
        elif kind == "following" and content["running"] > len(content["jobs"]) and not self._is_told:
            self._is_told = True
            words = f"{len(content['jobs'])} of {content['running']} running jobs are shown"
            click.echo(f"diracx: {words}: name a step, or one with --job", err=True)

    def _is_one_job(self, steps: list[Row]) -> bool:
        """Whether there never is more than one job; of steps of steps one does not know."""
        found = [one for one in steps if one["kind"] == "tool" and self.step in (None, one["path"])]
        return len(found) == 1 and not found[0]["scatter"] and "/" not in found[0]["path"]

    def _print(self, log: Row) -> None:
        job_id, text = log["job_id"], log["text"]
        before = self._attempts.get(job_id)
        if before not in (None, log["attempt"]):
            click.echo(f"diracx: attempt {log['attempt']} of job {job_id} begins", err=True)
            self._texts[job_id] = ""
        self._attempts[job_id] = log["attempt"]
        old = self._texts.get(job_id, "")
        # After a break of the line all comes once more.
        fresh = new_of(old, text) if log["whole"] else text
        self._texts[job_id] = (old + fresh)[-KEPT:]
        if self.is_alone:
            click.echo(fresh, nl=False, color=True)
        else:
            self._print_lines(log, fresh)

    def _print_lines(self, log: Row, fresh: str) -> None:
        *lines, rest = (self._rests.pop(log["job_id"], "") + fresh).split("\n")
        if rest and log["final"]:
            lines.append(rest)
        elif rest:
            self._rests[log["job_id"]] = rest
        for line in lines:
            click.echo(f"{one_line(log['place'])} | {line}", color=True)


def _show_stored(client: "Client", workflow_id: int, query: Row) -> None:
    found = client.get(f"/api/workflows/{workflow_id}/logs", **query)
    shown = [one for one in found["outputs"] if one["text"]]
    if not shown:
        is_over = found["status"] in EXIT_CODES
        click.echo(f"diracx: no such job has printed anything{'' if is_over else ' yet'}", err=True)
    screen = Screen(is_alone=len(shown) == 1)
    for one in shown:
        screen.show("log", {**one, "whole": True, "final": True})


def _mean(row: Row, name: str, words: Words) -> str:
    used = row["used"][name]
    return words(used["mean"]) if used else ""


def _cores(row: Row) -> str:
    asked, share = row["asked"]["cores"], row["efficiency"]
    busy = "-" if share is None or not asked else f"{share * asked['most']:.2g}"
    return f"{busy} | {_range(asked, lambda cores: f'{cores:g}')}"


def _pair(row: Row, used: str, asked: str, words: Words) -> str:
    """The mean and the largest that was used, and what was asked for."""
    one = row["used"][used]
    told = f"{words(one['mean'])}, {words(one['most'])} at most" if one else "-"
    return f"{told} | {_range(row['asked'][asked], words)}"


def _range(asked: Row | None, words: Words) -> str:
    if not asked:
        return "-"
    least, most = words(asked["least"]), words(asked["most"])
    return least if least == most else f"{least} to {most}"


STEPS = (
    Column("Step", lambda row: row["path"] or row["name"]),
    Column("Jobs", lambda row: f"{row['measured']}/{row['jobs']}", is_number=True),
    Column("CPU", lambda row: _mean(row, "cpu_seconds", span), is_number=True),
    Column("Cores: busy | asked", _cores, is_number=True),
    Column("Time: used | asked", lambda row: _pair(row, "wall_seconds", "wall_time", span), is_number=True),
    Column("Memory: used | asked", lambda row: _pair(row, "memory_mb", "ram_mb", size_of_mb), is_number=True),
    Column("Disk: used | asked", lambda row: _pair(row, "disk_mb", "scratch_mb", size_of_mb), is_number=True),
)
