"""Continuing a workflow that failed or was killed: what went well stays, the rest is done once more."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session, aliased

from diracx_tasks.auth.rights import must_own
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, plain, utc_now
from diracx_tasks.core.errors import Conflict
from diracx_tasks.core.many import Columns, update_many
from diracx_tasks.engine import dead_letters
from diracx_tasks.jobs import ends
from diracx_tasks.workflows.events import tell
from diracx_tasks.workflows.look import TASK
from diracx_tasks.workflows.search import find
from diracx_tasks.workflows.states import GOOD, Status
from diracx_tasks.workflows.submit import ask_to_advance, keys_of
from diracx_tasks.workflows.tables import Node, NodeValues, Workflow

BAD = (Status.FAILED, Status.KILLED)
PAGE = 1000


def rerun(db: Session, workflow_id: int, *, by: User) -> Workflow:
    """Have a workflow's failed and killed parts done again; Conflict when it is Done or still goes on."""
    workflow = find(db, workflow_id, by=by)
    must_own(by, owner=workflow.owner, vo=workflow.vo, what=f"workflow {workflow_id}")
    if ends.has_ended(db, TASK, workflow_id):
        # They would close what is opened here.
        raise Conflict(f"workflow {workflow_id} takes note of jobs that have ended: try again in a minute")
    values: dict[str, Any] = {
        "status": Status.RUNNING,
        "ended_at": None,
        "outputs": None,
        "reason": "",
        "is_broken": False,
        "version": Workflow.version + 1,
    }
    mine = (Workflow.workflow_id == workflow_id, Workflow.status.in_(BAD))
    if not changed(db, update(Workflow).where(*mine).values(values)):
        raise Conflict(f"workflow {workflow_id} is {workflow.status}: there is nothing to do again")
    bad = (Node.workflow_id == workflow_id, Node.status.in_(BAD))
    _try_tools(db, bad)
    _forget_unmade(db, bad)
    _reopen(db, bad)
    tell(db, workflow_id, Status.RUNNING, f"what failed is done again, says {by.name}")
    dead_letters.supersede(db, keys_of(workflow_id), by=by.name)
    ask_to_advance(db, workflow_id)
    db.refresh(workflow)
    return workflow


def _forget_unmade(db: Session, bad: tuple[Any, ...]) -> None:
    """Steps whose inputs could not be evaluated are made anew by their workflow, slots by themselves."""
    unmade = (*bad, Node.kind == "tool", Node.job_id.is_(None), Node.parent_id != 0)
    parent = aliased(Node)
    query = select(Node.node_id, parent.kind).join(parent, parent.node_id == Node.parent_id).where(*unmade)
    again = {"status": Status.RUNNING, "is_dirty": True, "reason": None}
    while found := dict(db.execute(query.limit(PAGE)).all()):
        slots = [node_id for node_id, kind in found.items() if kind == "scatter"]
        steps = list(found.keys() - slots)
        changed(db, update(Node).where(Node.node_id.in_(slots)).values(again))
        changed(db, delete(NodeValues).where(NodeValues.node_id.in_(steps)))
        changed(db, delete(Node).where(Node.node_id.in_(steps)))


def _try_tools(db: Session, bad: tuple[Any, ...]) -> None:
    """New jobs for tools that failed: page by page, as after a pause."""
    values = {"status": Status.RUNNING, "retry_at": utc_now(), "tries": 0, "reason": None}
    changed(db, update(Node).where(*bad, Node.kind == "tool", Node.job_id.is_not(None)).values(values))


def _reopen(db: Session, bad: tuple[Any, ...]) -> None:
    """Workflows, scatters and loops go on from what went well below them."""
    while opened := list(db.scalars(select(Node.node_id).where(*bad).limit(PAGE))):
        good = (
            select(Node.parent_id, Node.status, func.count())
            .where(Node.parent_id.in_(opened), Node.status.in_(GOOD))
            .group_by(Node.parent_id, Node.status)
        )
        counts: dict[tuple[int, str], int] = {
            (parent, status): count for parent, status, count in db.execute(good)
        }
        rows = [
            (node_id, counts.get((node_id, Status.DONE), 0), counts.get((node_id, Status.SKIPPED), 0))
            for node_id in opened
        ]
        update_many(db, plain(Node), ("NodeID", "Ended", "Skipped"), _opened, rows)


def _opened(new: Columns) -> Mapping[str, Any]:
    return {
        "Status": Status.RUNNING.value,
        "IsDirty": True,
        "Reason": None,
        "Ended": new["Ended"] + new["Skipped"],
        "Bad": 0,
        "Skipped": new["Skipped"],
    }
