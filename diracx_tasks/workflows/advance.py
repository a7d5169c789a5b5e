"""The one writer of a workflow's nodes: applies what was decided unless the workflow has changed since."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.packed import packed
from diracx_tasks.jobs import control, ends
from diracx_tasks.jobs.again import again
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.workflows import collections, count, make
from diracx_tasks.workflows.decide import End, Step
from diracx_tasks.workflows.events import LONGEST, Teller
from diracx_tasks.workflows.look import TASK, due
from diracx_tasks.workflows.notify import tell_of_end
from diracx_tasks.workflows.states import FINAL, Status
from diracx_tasks.workflows.tables import Node, NodeValues, Workflow

PAGE = 2000
ENDS = {JobStatus.DONE: Status.DONE, JobStatus.FAILED: Status.FAILED}
# Seconds before the second try of a tool that failed temporarily; each further pause is four times as long.
FIRST_PAUSE = 30
LONGEST_PAUSE = 3600


class Row(NamedTuple):
    """What is asked for the outputs of a node."""

    node_id: int
    job_id: int
    status: Status


def apply(db: Session, workflow: Workflow, step: Step) -> bool:
    """Carry out a decision; False when the workflow has changed since it was looked at."""
    if not _take(db, workflow):
        return False
    if step.node.kind != "tool" and not step.end:
        # Before what is made below it: that may be over at once, and then the node is looked at again.
        values: dict[str, Any] = {"is_dirty": step.is_dirty}
        if step.cursor is not None:
            values["cursor"] = step.cursor
        changed(db, update(Node).where(Node.node_id == step.node.node_id).values(values))
    end = make.instances(db, workflow, step) if step.instances else None
    if end := step.end or end:
        _end(db, workflow, step.node, end)
    if step.inputs is not None:
        stored = packed(step.inputs)
        changed(db, update(NodeValues).where(NodeValues.node_id == step.node.node_id).values(inputs=stored))
    return True


def note_ended(db: Session, workflow: Workflow) -> bool:
    """Take note of up to PAGE jobs that ended; False when the workflow has changed since it was looked at."""
    if not _take(db, workflow):
        return False
    ended = {end.job_id: end for end in ends.take_ended(db, TASK, workflow.workflow_id, PAGE)}
    columns = (Node.node_id, Node.parent_id, Node.path, Node.slot, Node.job_id, Node.tries, Node.max_tries)
    running = select(*columns).where(Node.job_id.in_(ended), Node.status == Status.RUNNING)
    nodes = db.execute(running).all() if ended else []
    teller = Teller(db, workflow)
    alike: dict[tuple[Status, str], list[Any]] = {}
    put_off: dict[tuple[int, str], list[Any]] = {}
    for node in nodes:
        end = ended[node.job_id]
        if end.is_temporary and node.tries < (node.max_tries or workflow.max_tries) and not workflow.stops:
            put_off.setdefault((node.tries, end.reason), []).append(node)
            continue
        status = ENDS.get(end.status, Status.KILLED)
        reason = "" if status is Status.DONE else f"{end.reason or end.status} (job {end.job_id})"
        if node.parent_id == 0:
            outputs = collections.outputs(db, [Row(node.node_id, node.job_id, status)])
            _end(db, workflow, node, End(status, outputs.get(node.node_id), reason))
            return True
        alike.setdefault((status, reason), []).append(node)
    for (tries, reason), some in put_off.items():
        _put_off(db, teller, some, tries, reason)
    for (status, reason), some in alike.items():
        count.close(db, workflow, some, status, reason)
        if status is not Status.DONE:
            teller.ended(some, status, reason)
    return True


def retry(db: Session, workflow: Workflow) -> bool:
    """Begin the next try of tools whose pause is over, or none any more; False as in `apply`."""
    if not _take(db, workflow):
        return False
    nodes = db.scalars(due(workflow).order_by(Node.node_id).limit(PAGE)).all()
    if workflow.stops:
        words = "it failed temporarily, and is not tried again because another step failed"
        count.close(db, workflow, nodes, Status.FAILED, words)
        Teller(db, workflow).ended(nodes, Status.FAILED, words)
        return True
    numbers = again(db, [node.job_id for node in nodes if node.job_id])
    teller = Teller(db, workflow)
    for node in nodes:
        number = numbers.get(node.job_id or 0)
        if number is None:
            _end(db, workflow, node, End(Status.FAILED, reason=f"job {node.job_id} is gone"))
            continue
        node.job_id, node.tries, node.retry_at = number, node.tries + 1, None
        teller.began(node, f"try {node.tries}")
    return True


def kill(db: Session, workflow: Workflow) -> bool:
    """End a page of what goes on in a workflow that is to be killed, and at last itself; False as `apply`."""
    if not _take(db, workflow):
        return False
    if not _abandon(db, workflow.workflow_id, "the workflow was killed"):
        _finish(db, workflow, End(Status(workflow.ends_as), reason=workflow.reason))
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


def _put_off(db: Session, teller: Teller, nodes: Sequence[Any], tries: int, reason: str) -> None:
    """Have tools that failed alike tried again after a pause."""
    seconds = min(LONGEST_PAUSE, FIRST_PAUSE * 4 ** (tries - 1))
    mine = Node.node_id.in_([node.node_id for node in nodes])
    changed(db, update(Node).where(mine).values(retry_at=utc_now(seconds)))
    teller.ended(nodes, Status.RUNNING, f"{reason}: try {tries + 1} in {seconds} s")


def _end(db: Session, workflow: Workflow, node: Any, end: End) -> None:
    if node.parent_id == 0:
        if _abandon(db, workflow.workflow_id, "the workflow has ended", keep=node.node_id):
            # More than one page: the root stays as it is, and is decided upon again.
            return
        changed(
            db,
            update(Node)
            .where(Node.node_id == node.node_id)
            .values(status=end.status, is_dirty=False, reason=end.reason[:LONGEST] or None),
        )
        _finish(db, workflow, end)
        return
    if end.outputs is not None:
        outputs = packed(collections.put_away(db, workflow.workflow_id, end.outputs))
        changed(db, update(NodeValues).where(NodeValues.node_id == node.node_id).values(outputs=outputs))
    count.close(db, workflow, [node], end.status, end.reason)
    Teller(db, workflow).ended([node], end.status, end.reason)


def _finish(db: Session, workflow: Workflow, end: End) -> None:
    status = Status.DONE if end.status is Status.SKIPPED else end.status
    assert status in FINAL
    values: dict[str, Any] = {"status": status, "ended_at": utc_now(), "reason": end.reason[:LONGEST]}
    if end.outputs is not None:
        values["outputs"] = packed(collections.put_away(db, workflow.workflow_id, end.outputs))
    changed(db, update(Workflow).where(Workflow.workflow_id == workflow.workflow_id).values(values))
    Teller(db, workflow).tell(status, end.reason)
    tell_of_end(db, workflow, status, end.reason)


def _abandon(db: Session, workflow_id: int, reason: str, keep: int = 0) -> bool:
    """Kill a page of the jobs that still go on, and close their nodes; whether there are more."""
    going_on = (Node.workflow_id == workflow_id, Node.status == Status.RUNNING, Node.node_id != keep)
    query = select(Node.node_id, Node.job_id).where(*going_on).order_by(Node.node_id.desc()).limit(PAGE)
    rows = db.execute(query).all()
    job_ids = [row.job_id for row in rows if row.job_id]
    control.kill_all(db, job_ids, f"because {reason}")
    # What has just ended well is taken note of first: it need not be done again.
    done = ends.done(db, job_ids)
    closed = {"status": Status.KILLED, "is_dirty": False, "reason": reason, "retry_at": None}
    others = [row.node_id for row in rows if row.job_id not in done]
    changed(db, update(Node).where(Node.node_id.in_(others)).values(closed))
    return len(rows) == PAGE or bool(done)
