"""Reading workflows: lists, one with its steps, its graph."""

from collections import defaultdict
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import utc
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.packed import unpacked
from diracx_tasks.jobs import search as jobs
from diracx_tasks.workflows.look import bundle
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Node, Workflow

# From the worst to the best: a step is as bad as its worst instance, and runs while one does.
STATES = ("Failed", "Killed", "Running", "Waiting", "Skipped", "Done")


def find(db: Session, workflow_id: int, *, by: User) -> Workflow:
    """A workflow of the user's VO."""
    workflow = db.get(Workflow, workflow_id)
    if workflow is None or workflow.vo != by.vo:
        raise NotFound(f"there is no workflow {workflow_id} in {by.vo}")
    return workflow


def page(
    db: Session, *, by: User, limit: int, before: int | None = None, status: str | None = None
) -> list[dict[str, Any]]:
    """The VO's newest workflows with numbers below `before`, each with its counts of jobs."""
    query = select(Workflow).where(Workflow.vo == by.vo).order_by(Workflow.workflow_id.desc()).limit(limit)
    if before is not None:
        query = query.where(Workflow.workflow_id < before)
    if status:
        query = query.where(Workflow.status == status)
    rows = db.scalars(query).all()
    counted = jobs.group_counts(db, by.vo, [_job_group(row) for row in rows]) if rows else {}
    return [{**_head(row), "jobs": _totals(counted[_job_group(row)])} for row in rows]


def detail(db: Session, workflow: Workflow) -> dict[str, Any]:
    """Everything about one workflow: state, steps with their counts, outputs."""
    steps = [
        {**{key: node[key] for key in ("path", "name", "kind", "scatter")}, **counted}
        for node, counted in _counted_steps(db, workflow)
    ]
    outputs = unpacked(workflow.outputs) if workflow.outputs else None
    return {
        **_head(workflow),
        "reason": workflow.reason,
        "bundle": workflow.bundle,
        "steps": steps,
        "outputs": outputs,
    }


def graph(db: Session, workflow: Workflow) -> dict[str, Any]:
    """Nodes and edges with the state of each step."""
    nodes = [
        {
            **node,
            "state": _state(counted["counts"]),
            "done": _done(counted["counts"]),
            "total": counted["total"],
        }
        for node, counted in _counted_steps(db, workflow)
    ]
    return {"nodes": nodes, "edges": unpacked(workflow.graph)["edges"]}


def bundle_of(db: Session, key: str, vo: str) -> dict[str, Any]:
    """The original files of a bundle that a workflow of the VO uses."""
    if not db.execute(
        select(Workflow.workflow_id).where(Workflow.bundle == key, Workflow.vo == vo).limit(1)
    ).first():
        raise NotFound(f"there is no bundle {key} in {vo}")
    return bundle(db, key).to_json()


def totals(db: Session) -> dict[str, int]:
    """How many workflows there are in each status, over all VOs: for metrics."""
    return dict(db.execute(select(Workflow.status, func.count()).group_by(Workflow.status)).all())


def _counted_steps(db: Session, workflow: Workflow) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    totals: dict[str, int] = defaultdict(int)
    columns = (Node.path, Node.kind, Node.status)
    query = select(*columns, func.count(), func.sum(Node.total), func.count(Node.job_id))
    for path, kind, status, count, slots, with_job in db.execute(
        query.where(Node.workflow_id == workflow.workflow_id).group_by(*columns)
    ):
        if kind == "scatter":
            totals[path] += int(slots)
        elif not with_job:
            counts[path][status] = counts[path].get(status, 0) + count
    for (name, status), count in jobs.counts(db, workflow.vo, _job_group(workflow)).items():
        counts[name][status] = counts[name].get(status, 0) + count
    found = []
    for node in unpacked(workflow.graph)["nodes"]:
        own = counts.get(node["path"] or workflow.name, {})
        found.append((node, {"counts": own, "total": max(totals[node["path"]], sum(own.values()))}))
    return found


def _head(workflow: Workflow) -> dict[str, Any]:
    return {
        "workflow_id": workflow.workflow_id,
        "name": workflow.name,
        "status": workflow.status,
        "owner": workflow.owner,
        "group": workflow.group,
        "vo": workflow.vo,
        "submitted_at": utc(workflow.submitted_at),
        "ended_at": utc(workflow.ended_at),
    }


def _totals(counted: dict[str, int]) -> dict[str, int]:
    shown = {
        name.lower(): counted.get(name, 0) for name in ("Waiting", "Running", "Done", "Failed", "Killed")
    }
    return {"total": sum(counted.values()), **shown}


def _state(counts: dict[str, int]) -> str:
    if counts.get("Running") or counts.get("Waiting"):
        return "Running" if counts.get("Running") else "Waiting"
    return next((state for state in STATES if counts.get(state)), "Waiting")


def _done(counts: dict[str, int]) -> int:
    return counts.get(Status.DONE, 0) + counts.get(Status.SKIPPED, 0)


def _job_group(workflow: Workflow) -> str:
    return f"{workflow.workflow_id:08d}"
