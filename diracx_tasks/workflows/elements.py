"""The instances of a step one by one: elements of a scatter, iterations of a loop, or the only one."""

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import select, union_all
from sqlalchemy.orm import Session

from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.packed import unpacked
from diracx_tasks.jobs import times
from diracx_tasks.jobs.times import Times
from diracx_tasks.workflows import places
from diracx_tasks.workflows.places import Place
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Node, Workflow

STATES = (Status.RUNNING, Status.DONE, Status.SKIPPED, Status.FAILED, Status.KILLED)


class Element(NamedTuple):
    """An instance of a step; `times` are those of its job, None when it has none."""

    node_id: int
    job_id: int | None
    status: str
    reason: str
    tries: int
    place: Place
    times: Times | None

    @property
    def state(self) -> str:
        """What a person sees of it: one that goes on may still wait for a pilot."""
        is_waiting = self.status == Status.RUNNING and self.times is not None and not self.times.is_held
        return "Waiting" if is_waiting else self.status


def step(workflow: Workflow, path: str) -> dict[str, Any]:
    """A step of the workflow's document; NotFound when it has no such step."""
    for node in unpacked(workflow.graph)["nodes"]:
        if node["path"] == path:
            found: dict[str, Any] = node
            return found
    raise NotFound(f"workflow {workflow.workflow_id} has no step {path!r}")


def page(
    db: Session,
    workflow: Workflow,
    path: str,
    *,
    states: Collection[str] = STATES,
    after: int = 0,
    limit: int,
) -> list[Element]:
    """Instances of a step with higher numbers than `after`, in the order in which they were made."""
    kind = "loop" if (found := step(workflow, path))["loop"] and not found["scatter"] else found["kind"]
    # Each part is read in the order of an index: of 100 000 elements only a page is looked at.
    parts = [
        select(Node.node_id)
        .where(Node.workflow_id == workflow.workflow_id, Node.path == path, Node.kind == one)
        .where(Node.status == state, Node.node_id > after)
        .order_by(Node.node_id)
        .limit(limit)
        for state in states
        for one in {kind, found["kind"]}
    ]
    each = union_all(*(select(part.subquery()) for part in parts)).subquery()
    numbers = db.scalars(select(each.c.node_id).order_by(each.c.node_id).limit(limit)).all()
    return _elements(db, numbers)


def _elements(db: Session, node_ids: Collection[int]) -> list[Element]:
    columns = (*places.COLUMNS, Node.job_id, Node.status, Node.reason, Node.tries)
    rows = db.execute(select(*columns).where(Node.node_id.in_(node_ids)).order_by(Node.node_id)).all()
    where = places.of_nodes(db, rows)
    ran = times.times(db, [row.job_id for row in rows if row.job_id])
    return [
        Element(
            row.node_id,
            row.job_id,
            row.status,
            row.reason or "",
            row.tries,
            where[row.node_id],
            ran.get(row.job_id or 0),
        )
        for row in rows
    ]
