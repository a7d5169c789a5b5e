"""The one writer of a workflow's nodes: applies what was decided unless the workflow has changed since."""

from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.packed import packed, unpacked
from diracx_tasks.jobs import control, ends
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.jobs.submit import NewJob, create
from diracx_tasks.workflows.decide import End, Instance, Step
from diracx_tasks.workflows.events import tell
from diracx_tasks.workflows.look import TASK
from diracx_tasks.workflows.states import FINAL, Status
from diracx_tasks.workflows.tables import Node, NodeValues, Workflow

PAGE = 500
CONTAINERS = ("workflow", "scatter")
ENDS = {JobStatus.DONE: Status.DONE, JobStatus.FAILED: Status.FAILED}


def apply(db: Session, workflow: Workflow, step: Step) -> bool:
    """Carry out a decision; False when the workflow has changed since it was looked at."""
    if not _take(db, workflow):
        return False
    if step.instances:
        _make(db, workflow, step)
    if step.end:
        _end(db, workflow, step.node, step.end)
    else:
        values: dict[str, Any] = {"is_dirty": step.is_dirty}
        if step.cursor is not None:
            values["cursor"] = step.cursor
        changed(db, update(Node).where(Node.node_id == step.node.node_id).values(values))
    return True


def note_ended(db: Session, workflow: Workflow) -> bool:
    """Take note of up to PAGE jobs that ended; False when the workflow has changed since it was looked at."""
    if not _take(db, workflow):
        return False
    ended = {end.job_id: end for end in ends.take_ended(db, TASK, workflow.workflow_id, PAGE)}
    nodes = db.scalars(select(Node).where(Node.job_id.in_(ended), Node.status == Status.RUNNING)).all()
    for node in nodes:
        end = ended[node.job_id or 0]
        status = ENDS.get(end.status, Status.KILLED)
        reason = "" if status is Status.DONE else f"{end.reason or end.status} (job {end.job_id})"
        _end(db, workflow, node, End(status, end.outputs, reason))
    return True


def kill(db: Session, workflow: Workflow) -> bool:
    """End everything that goes on in a workflow that is to be killed; False as in `apply`."""
    if not _take(db, workflow):
        return False
    _abandon(db, workflow.workflow_id, "the workflow was killed")
    _finish(db, workflow, End(Status.KILLED, reason=workflow.reason))
    return True


def _take(db: Session, workflow: Workflow) -> bool:
    """Win the right to change the workflow: what was read is still so, and stays so until the commit."""
    values: dict[str, Any] = {"version": workflow.version + 1}
    if workflow.status == Status.RECEIVED:
        values["status"] = Status.RUNNING
    won = changed(
        db,
        update(Workflow)
        .where(
            Workflow.workflow_id == workflow.workflow_id,
            Workflow.version == workflow.version,
            Workflow.status == workflow.status,
        )
        .values(values),
    )
    return bool(won)


def _make(db: Session, workflow: Workflow, step: Step) -> None:
    parent, jobs = step.node, [one for one in step.instances if one.given["kind"] == "tool"]
    numbers = iter(create(db, [_job(workflow, one) for one in jobs]))
    if parent.kind == "tool":
        changed(db, update(Node).where(Node.node_id == parent.node_id).values(job_id=next(numbers)))
        return
    rows = [_row(workflow, parent, one, numbers) for one in step.instances]
    nodes = [Node(**row) for row in rows]
    db.add_all(nodes)
    db.flush()
    values = [_values(node, one.given) for node, one in zip(nodes, step.instances, strict=True)]
    db.execute(insert(NodeValues), values)
    _tell_made(db, workflow, step, nodes)


def _row(workflow: Workflow, parent: Node, one: Instance, numbers: Any) -> dict[str, Any]:
    kind = one.given["kind"]
    endings = {"skipped": Status.SKIPPED, "expression": Status.DONE, "broken": Status.FAILED}
    return {
        "workflow_id": workflow.workflow_id,
        "parent_id": parent.node_id,
        "path": one.path,
        "slot": one.slot,
        "kind": "tool" if kind in ("skipped", "broken") else kind,
        "status": endings.get(kind, Status.RUNNING),
        "is_dirty": kind in CONTAINERS,
        "job_id": next(numbers) if kind == "tool" else None,
        "total": one.given.get("total", 0),
        "dims": one.given.get("dims"),
        "reason": one.given.get("reason"),
    }


def _values(node: Node, given: dict[str, Any]) -> dict[str, Any]:
    # A job carries its inputs itself.
    inputs = packed(given["inputs"]) if node.kind in CONTAINERS else None
    outputs = packed(given["outputs"]) if "outputs" in given else None
    return {"node_id": node.node_id, "inputs": inputs, "outputs": outputs}


def _job(workflow: Workflow, one: Instance) -> NewJob:
    payload = {
        "kind": "cwl",
        "bundle": workflow.bundle,
        "entrypoint": workflow.entrypoint,
        "path": one.path,
        "inputs": one.given["inputs"],
    }
    return NewJob(
        name=one.path or workflow.name,
        vo=workflow.vo,
        owner=workflow.owner,
        group=workflow.group,
        payload=payload,
        requirements=one.given["requirements"],
        job_group=f"{workflow.workflow_id:08d}",
        owner_task=TASK,
        owner_id=workflow.workflow_id,
    )


def _tell_made(db: Session, workflow: Workflow, step: Step, nodes: list[Node]) -> None:
    if step.node.kind == "scatter":
        words = f"{len(nodes)} of {step.node.total} instances made"
        tell(db, workflow.workflow_id, Status.RUNNING, words, path=step.node.path)
    for node in nodes:
        if node.status != Status.RUNNING or step.node.kind != "scatter":
            words = node.reason or (f"{node.total} instances" if node.kind == "scatter" else "")
            tell(
                db,
                workflow.workflow_id,
                node.status,
                words,
                path=node.path,
                slot=_slot(workflow, node),
                job_id=node.job_id,
            )


def _end(db: Session, workflow: Workflow, node: Node, end: End) -> None:
    values = {"status": end.status, "is_dirty": False, "reason": end.reason or None}
    changed(db, update(Node).where(Node.node_id == node.node_id).values(values))
    if node.parent_id == 0:
        _abandon(db, workflow.workflow_id, "the workflow has ended")
        _finish(db, workflow, end)
        return
    if end.outputs is not None:
        changed(
            db,
            update(NodeValues).where(NodeValues.node_id == node.node_id).values(outputs=packed(end.outputs)),
        )
    changed(db, update(Node).where(Node.node_id == node.parent_id).values(is_dirty=True))
    if node.kind in CONTAINERS or end.status is not Status.DONE:
        tell(
            db,
            workflow.workflow_id,
            end.status,
            end.reason,
            path=node.path,
            slot=_slot(workflow, node),
            job_id=node.job_id,
        )


def _finish(db: Session, workflow: Workflow, end: End) -> None:
    status = Status.DONE if end.status is Status.SKIPPED else end.status
    assert status in FINAL
    values: dict[str, Any] = {"status": status, "ended_at": utc_now(), "reason": end.reason}
    if end.outputs is not None:
        values["outputs"] = packed(end.outputs)
    changed(db, update(Workflow).where(Workflow.workflow_id == workflow.workflow_id).values(values))
    tell(db, workflow.workflow_id, status, end.reason)


def _slot(workflow: Workflow, node: Node) -> int | None:
    """The element of a scatter that a node is of; None for others."""
    steps = {step["path"]: step for step in unpacked(workflow.graph)["nodes"]}
    is_element = node.kind != "scatter" and steps.get(node.path, {}).get("scatter")
    return node.slot if is_element else None


def _abandon(db: Session, workflow_id: int, reason: str) -> None:
    """Kill the jobs that still go on, and close all nodes."""
    going_on = (Node.workflow_id == workflow_id, Node.status == Status.RUNNING)
    jobs = list(db.scalars(select(Node.job_id).where(*going_on, Node.job_id.is_not(None))))
    control.kill_all(db, [job for job in jobs if job], f"because {reason}")
    changed(db, update(Node).where(*going_on).values(status=Status.KILLED, is_dirty=False, reason=reason))
