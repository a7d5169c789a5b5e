"""What the pages of one workflow have in common: its state, how far it is, and the ways between them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy.orm import Session

from diracx_api.ui.words import plural
from diracx_tasks.auth.rights import ADMIN
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import now
from diracx_tasks.workflows import access, search
from diracx_tasks.workflows.states import FINAL, Status

# Seconds between two looks: while jobs run, while all wait, and of graphs with very many steps.
EVERY, EVERY_WAITING, EVERY_LARGE = 2.0, 10.0, 10.0
LARGE = 200
COUNTED = ("Waiting", "Running", "Done", "Skipped", "Failed", "Killed")
TABS = (
    ("", "Overview"),
    ("/timeline", "Timeline"),
    ("/log", "Log"),
    ("/outputs", "Outputs"),
    ("/inputs", "Inputs"),
    ("/resources", "Resources"),
    ("/events", "Events"),
    ("/files", "Files"),
)


@dataclass(frozen=True)
class Head:
    """A workflow with its steps, for whoever looks at it."""

    workflow: Any
    graph: dict[str, Any]
    me: User

    @property
    def at(self) -> str:
        """The address of its page."""
        return f"/ui/workflows/{self.workflow.workflow_id}"

    @property
    def counts(self) -> dict[str, int]:
        """Its jobs by state; a result that was taken from an earlier workflow counts as one that is done."""
        tools = [node for node in self.graph["nodes"] if node["kind"] == "tool"]
        sums = {state: sum(node["counts"].get(state, 0) for node in tools) for state in COUNTED}
        return {state: count for state, count in sums.items() if count}

    @property
    def done(self) -> int:
        """Jobs that are done or were skipped."""
        return self.counts.get("Done", 0) + self.counts.get("Skipped", 0)

    @property
    def total(self) -> int:
        """Jobs that are known so far."""
        return sum(node["total"] for node in self.graph["nodes"] if node["kind"] == "tool")

    @property
    def reused(self) -> int:
        """Those of them that were taken from earlier workflows."""
        return sum(node["reused"] for node in self.graph["nodes"] if node["kind"] == "tool")

    @property
    def title(self) -> str:
        """The state first: so a tab shows it."""
        far = f" {self.done}/{self.total}" if self.total else ""
        return f"{self.workflow.status}{far} · {self.workflow.name}"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return str(self.workflow.status) in FINAL

    @property
    def may_rerun(self) -> bool:
        """Whether there is something to do again."""
        return self.is_mine and self.workflow.status in (Status.FAILED, Status.KILLED)

    @property
    def may_kill(self) -> bool:
        """Whether it can be killed by whoever looks."""
        return self.is_mine and self.workflow.status in (Status.RECEIVED, Status.RUNNING)

    @property
    def is_mine(self) -> bool:
        """Whether whoever looks may change it."""
        return bool(self.workflow.owner == self.me.name or ADMIN in self.me.properties)

    @property
    def sees_jobs(self) -> bool:
        """Whether whoever looks may see its jobs one by one, and what they print."""
        return access.sees_jobs(self.workflow, self.me)

    @property
    def reason(self) -> str:
        """Why it is as it is, for whoever may know."""
        return access.reason(self.workflow, self.me)

    @property
    def until(self) -> datetime:
        """Its end, or now."""
        ended: datetime | None = self.workflow.ended_at
        return ended or now()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        begun: datetime = self.workflow.submitted_at
        return (self.until - begun).total_seconds()

    @property
    def every(self) -> float | None:
        """Seconds until there may be something new to see; None: never."""
        if self.is_over:
            return None
        if len(self.graph["nodes"]) > LARGE:
            return max(EVERY, EVERY_LARGE)
        is_waiting = self.workflow.status != Status.KILLING and not self.counts.get("Running")
        return EVERY_WAITING if is_waiting else EVERY

    @property
    def kill_question(self) -> str:
        """What is asked before it is killed: with what that ends."""
        running, waiting = self.counts.get("Running", 0), self.counts.get("Waiting", 0)
        what = f"{plural(running, 'running job')} and {plural(waiting, 'waiting job')}"
        return f"Kill workflow {self.workflow.workflow_id} “{self.workflow.name}” with {what}?"

    @property
    def rerun_question(self) -> str:
        """What is asked before its failed parts are done again."""
        bad = plural(self.counts.get("Failed", 0) + self.counts.get("Killed", 0), "failed or killed job")
        what = f"Do {bad} and what comes after again"
        where = f"in workflow {self.workflow.workflow_id} “{self.workflow.name}”?"
        return f"{what} {where} What went well stays: {plural(self.done, 'job')}."

    def step(self, path: str) -> str:
        """The address of a step; a tool that is the whole workflow has an empty path."""
        return f"{self.at}/steps/{quote(path)}"

    def tabs(self, here: str) -> list[tuple[str, str, bool]]:
        """The pages: address, name, and whether it is this one."""
        return [(self.at + where, name, where == here) for where, name in TABS]


def head(db: Session, workflow_id: int, me: User) -> Head:
    """A workflow of the user's VO; NotFound otherwise."""
    workflow = search.find(db, workflow_id, by=me)
    return Head(workflow, search.graph(db, workflow), me)
