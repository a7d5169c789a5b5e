"""A workflow in a terminal: followed until its end, its steps as a table, its graph as a tree."""

import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.complaints import one_line
from diracx_tasks.cli.live import changes
from diracx_tasks.cli.progress import waiting
from diracx_tasks.cli.steps import done_of, place, steps_table
from diracx_tasks.cli.tables import Row
from diracx_tasks.core.errors import Unreachable
from diracx_tasks.core.words import progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text
    from rich.tree import Tree

    from diracx_tasks.core.client import Client

EXIT_CODES = {"Done": 0, "Failed": 1, "Killed": 3}
SHORTEST = 1.0
LONGEST = 5.0
EVENTS = 8


@dataclass(frozen=True)
class Seen:
    """A workflow as the server has just described it; `away` says why it did not answer."""

    workflow: Row
    events: list[Row] = field(default_factory=list)
    away: str = ""


def watch(client: "Client", workflow_id: int, console: "Console", *, is_kept: bool = True) -> str:
    """Show a workflow until its end; its final status. Ctrl-C ends the watching, not the workflow.

    Of one that is not kept on its server nobody is told how to see more.
    """
    try:
        if console.is_terminal:
            last = _watch_live(client, workflow_id, console)
        else:
            last = _watch_lines(client, workflow_id, console)
    except KeyboardInterrupt:
        if is_kept:
            words = f"workflow {workflow_id} goes on; see it again: diracx workflows watch {workflow_id}"
            _say(console, words)
        raise
    _say(console, _ending(last, is_kept=is_kept))
    return str(last["status"])


def wait(client: "Client", workflow_id: int) -> str:
    """The workflow's final status, once it has one; only a terminal shows how far it is."""
    return str(_waited(client, workflow_id)["status"])


def wait_and_tell(client: "Client", workflow_id: int, *, is_brief: bool) -> str:
    """The same; how it ended is a line on standard error, but not of one that is done where `is_brief`."""
    last = _waited(client, workflow_id)
    if not is_brief or last["status"] != "Done":
        click.echo(_ending(last, is_kept=True), err=True)
    return str(last["status"])


def follow(client: "Client", workflow_id: int) -> Iterator[Seen]:
    """What the server says, again and again, until the workflow has ended.

    A server that is away is told once, by a Seen with `away`; Unreachable only if it never answered.
    """
    after, delay, is_away = 0, SHORTEST, False
    before: Row | None = None
    while True:
        try:
            workflow = client.get(f"/api/workflows/{workflow_id}")
            events, after = _events(client, workflow_id, after)
        except Unreachable as error:
            if before is None:
                raise
            if not is_away:
                yield Seen(before, away=str(error))
            is_away = True
        else:
            delay = SHORTEST if events or workflow != before else min(delay * 1.5, LONGEST)
            is_away, before = False, workflow
            yield Seen(workflow, events)
            if workflow["status"] in EXIT_CODES:
                return
        time.sleep(delay)


def watched(client: "Client", workflow_id: int, form: str) -> int:
    """Show a workflow until its end, to programs whenever it has changed; the exit code of its end."""
    if form == output.TABLE:
        return EXIT_CODES[watch(client, workflow_id, output.console())]

    def is_over(workflow: Row) -> bool:
        return workflow["status"] in EXIT_CODES

    for one in changes(lambda: client.get(f"/api/workflows/{workflow_id}"), is_over):
        click.echo(json.dumps(one) if form == output.JSON else workflow_id)
    return EXIT_CODES[one["status"]]


def title_of(workflow: Row) -> "Text":
    """A workflow's name and state."""
    from rich.text import Text

    return Text.assemble(_title(workflow), " ", output.state(workflow["status"]))


def tree(title: "Text | str", graph: Row) -> "Tree":
    """Steps below the workflow that they are part of, each with its state and what it comes after."""
    from rich.text import Text
    from rich.tree import Tree

    made = Tree(Text(one_line(title)) if isinstance(title, str) else title)
    branches = {"": made}
    for node in sorted(graph["nodes"], key=lambda node: node["path"].count("/")):
        label = Text(one_line(node["name"]))
        if state := node.get("state"):
            label.append(" ").append(output.state(state))
        if node["scatter"]:
            label.append(f" {progress(node['done'], node['total'], node['reused'])}" if state else " scatter")
        sources = [edge["from"].rpartition("/")[2] for edge in graph["edges"] if edge["to"] == node["path"]]
        if sources:
            label.append(f"  {one_line('after ' + ', '.join(sources))}", style="bright_black")
        branches[node["path"] or "."] = branches.get(node["parent"], made).add(label)
    return made


@dataclass
class _Screen:
    """The live view: redrawn several times a second, so that the clock runs between two answers."""

    seen: Seen
    console: "Console"
    events: deque[Row] = field(default_factory=lambda: deque(maxlen=EVENTS))

    def show(self, seen: Seen) -> None:
        self.seen = seen
        self.events.extend(seen.events)

    def __rich__(self) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        workflow = self.seen.workflow
        passed = output.took(workflow["submitted_at"], workflow["ended_at"])
        parts: list[RenderableType] = [
            Text.assemble(_title(workflow), "  ", output.state(workflow["status"]), f"  {passed}")
        ]
        room = max(3, self.console.height - EVENTS - 6)
        steps = workflow["steps"]
        # Of many steps those that are going on are shown, and the last before them.
        first = next(
            (n for n, step in enumerate(steps) if done_of(step["counts"]) < max(step["total"], 1)), 0
        )
        start = max(0, min(first - 1, len(steps) - room))
        parts.append(steps_table(steps[start : start + room], self.console.width))
        if len(steps) > room:
            parts.append(Text(f"{room} of {len(steps)} steps", style="bright_black"))
        parts += [Text(), *(Text(_words(event, workflow), style="bright_black") for event in self.events)]
        if self.seen.away:
            parts.append(Text(f"{self.seen.away}; still trying", style="yellow"))
        return Group(*parts)


class _Lines:
    """A line for everything that happens, for logs."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._before: dict[str, str] = {}
        self._is_away = False

    def show(self, seen: Seen) -> None:
        if seen.away:
            self._say(f"{seen.away}; still trying")
        elif self._is_away:
            self._say("the server answers again")
        self._is_away = bool(seen.away)
        for event in seen.events:
            self._say(_words(event, seen.workflow))
        workflow = seen.workflow
        if workflow["status"] not in EXIT_CODES:
            self._say_once("", f"{_title(workflow)} is {workflow['status']}")
        for step in workflow["steps"]:
            counts = ", ".join(f"{count} {state}" for state, count in sorted(step["counts"].items()) if count)
            if counts:
                self._say_once(f"/{step['path']}", f"{place(step)}: {counts} of {step['total'] or '?'}")

    def _say_once(self, what: str, words: str) -> None:
        if self._before.get(what) != words:
            self._before[what] = words
            self._say(words)

    def _say(self, words: str) -> None:
        _say(self._console, words)


def _waited(client: "Client", workflow_id: int) -> Row:
    with waiting(f"workflow {workflow_id}") as now:
        for seen in follow(client, workflow_id):
            last = seen.workflow
            steps = [step for step in last["steps"] if step["kind"] == "tool"]
            done, total = sum(done_of(step["counts"]) for step in steps), sum(step["total"] for step in steps)
            far = progress(done, total, sum(step["reused"] for step in steps))
            now(f"{_title(last)} {last['status']}: {far} jobs", done, total or None)
    return last


def _watch_live(client: "Client", workflow_id: int, console: "Console") -> Row:
    from rich.live import Live

    seen = follow(client, workflow_id)
    screen = _Screen(next(seen), console)
    screen.show(screen.seen)
    with Live(get_renderable=screen.__rich__, console=console, refresh_per_second=4) as live:
        for one in seen:
            screen.show(one)
            live.refresh()
    return screen.seen.workflow


def _watch_lines(client: "Client", workflow_id: int, console: "Console") -> Row:
    lines = _Lines(console)
    for seen in follow(client, workflow_id):
        lines.show(seen)
    return seen.workflow


def _say(console: "Console", words: str) -> None:
    console.print(one_line(words), soft_wrap=True, markup=False, highlight=False, emoji=False)


def _events(client: "Client", workflow_id: int, after: int) -> tuple[list[Row], int]:
    found: list[Row] = []
    while True:
        page = client.get(f"/api/workflows/{workflow_id}/events", after=after)
        if page["last"] <= after:
            return found, after
        found += page["events"]
        after = page["last"]


def _ending(workflow: Row, *, is_kept: bool) -> str:
    status, number = workflow["status"], workflow["workflow_id"]
    words = (
        f"{_title(workflow)} is {status} after {output.took(workflow['submitted_at'], workflow['ended_at'])}"
    )
    reason = one_line(workflow.get("reason") or "")
    if status != "Done" and reason:
        logs = f"; its logs: diracx workflows logs {number}" if is_kept and status == "Failed" else ""
        return f"{words}: {reason}{logs}"
    if not is_kept:
        return words
    is_done = status == "Done"
    more = (
        f"outputs: diracx workflows outputs {number}"
        if is_done
        else f"jobs: diracx jobs list --workflow {number}"
    )
    return f"{words}; its {more}"


def _title(workflow: Row) -> str:
    return one_line(f"workflow {workflow['workflow_id']} {workflow['name']}")


def _words(event: Row, workflow: Row) -> str:
    where = event["path"] or "workflow"
    is_scattered = any(step["scatter"] for step in workflow["steps"] if step["path"] == event["path"])
    # The server gives slot 0 to everything that has no slots, the scatter itself included.
    slot = f"[{event['slot']}]" if is_scattered and (event["slot"] or event["job_id"]) else ""
    job = f" (job {event['job_id']})" if event["job_id"] else ""
    # A reason names the job that it is of.
    job = "" if job and event["message"].endswith(job) else job
    message = f": {event['message']}" if event["message"] else ""
    return one_line(f"{event['at'][:19]}Z {where}{slot} {event['status']}{job}{message}")
