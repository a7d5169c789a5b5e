"""Lists of a VO's workflows by what somebody looks for, with what they have come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, defer

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.remembered import remembered
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import search as jobs
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Node, Workflow

UNREAD = (Workflow.graph, Workflow.outputs, Workflow.tags, Workflow.reason)


class Progress(NamedTuple):
    """The jobs of a workflow by what a person sees of them, and how many were taken from earlier ones.

    A job that a step tried before does not count: its step has another one now. What was taken from an
    earlier workflow counts as done.
    """

    counts: dict[str, int]
    reused: int = 0

    @property
    def total(self) -> int:
        """All that are known so far."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """Those that need nothing more."""
        return self.counts.get(Status.DONE, 0) + self.counts.get(Status.SKIPPED, 0)


@dataclass(frozen=True)
class Wanted:
    """Which workflows: of a status, of an owner, with something in their name; empty: all."""

    status: str = ""
    owner: str = ""
    name: str = ""

    def conditions(self, by: User) -> list[ColumnElement[bool]]:
        """What holds of them, in the VO of whoever asks."""
        found = [Workflow.vo == by.vo]
        found += [Workflow.status == self.status] if self.status else []
        found += [Workflow.owner == self.owner] if self.owner else []
        # What is typed is a part of the name, and no pattern.
        return found + ([Workflow.name.icontains(self.name, autoescape=True)] if self.name else [])


def page(
    db: Session, wanted: Wanted, *, by: User, limit: int, before: int | None = None, after: int | None = None
) -> Sequence[Workflow]:
    """The newest first, from below `before`; or the oldest first, from above `after`."""
    query = select(Workflow).options(*(defer(column) for column in UNREAD)).where(*wanted.conditions(by))
    if after is not None:
        query = query.where(Workflow.workflow_id > after)
        return db.scalars(query.order_by(Workflow.workflow_id).limit(limit)).all()
    if before is not None:
        query = query.where(Workflow.workflow_id < before)
    return db.scalars(query.order_by(Workflow.workflow_id.desc()).limit(limit)).all()


def statuses(db: Session, wanted: Wanted, *, by: User) -> dict[str, int]:
    """How many there are in each status, whichever is wanted; a little old where they are many."""
    every = Wanted(owner=wanted.owner, name=wanted.name)
    query = select(Workflow.status, func.count()).where(*every.conditions(by)).group_by(Workflow.status)
    key = ("workflows", settings().database, by.vo, every)
    found: dict[str, int] = remembered(key, lambda: dict(db.execute(query).all()))
    return found


def progress(db: Session, rows: Sequence[Workflow]) -> dict[int, Progress]:
    """How far each workflow is; a little old where its jobs are many."""
    key = ("progress", settings().database, tuple((row.workflow_id, row.status) for row in rows))
    found: dict[int, Progress] = remembered(key, lambda: _counted(db, rows))
    return found


def _counted(db: Session, rows: Sequence[Workflow]) -> dict[int, Progress]:
    found: dict[int, dict[str, int]] = {row.workflow_id: {} for row in rows}
    taken = dict.fromkeys(found, 0)
    mine = (Node.workflow_id.in_(found), Node.kind == "tool")
    counts = func.count(), func.count(Node.reused_from)
    query = select(Node.workflow_id, Node.status, *counts).where(*mine)
    # All that is asked for is in this index: of wide workflows not one row is read.
    hinted = query.with_hint(Node, "FORCE INDEX (NodeCounts)", "mysql").with_hint(
        Node, "FORCE INDEX (NodeCounts)", "mariadb"
    )
    for workflow_id, status, count, reused in db.execute(hinted.group_by(Node.workflow_id, Node.status)):
        found[workflow_id][status] = count
        taken[workflow_id] += reused
    groups = {f"{one:08d}": own for one, own in found.items() if own.get(Status.RUNNING)}
    held = jobs.held_in(db, rows[0].vo, groups) if groups else {}
    for group, own in groups.items():
        running = own[Status.RUNNING]
        with_a_pilot = min(running, held.get(group, 0))
        own |= {Status.RUNNING.value: with_a_pilot, "Waiting": running - with_a_pilot}
    return {one: Progress(counts, taken[one]) for one, counts in found.items()}
