"""A workflow as a Workflow Run RO-Crate: what its rows tell of it, put into `crate_metadata`."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.packed import unpacked
from diracx_tasks.cwl.arrays import is_reference
from diracx_tasks.jobs.ran import Ran, ran
from diracx_tasks.workflows import collections, search
from diracx_tasks.workflows.crate_metadata import METADATA, Action, Metadata, Run
from diracx_tasks.workflows.look import bundle, values_of
from diracx_tasks.workflows.states import FINAL, Status
from diracx_tasks.workflows.tables import Node, Workflow

# Of one step, and of all steps together; what is left out is counted.
MOST_OF_A_STEP = 100
MOST_ACTIONS = 5000
# Elements of one array.
MOST_VALUES = 200
LEFT = "left out"


@dataclass(frozen=True)
class Crate:
    """The metadata, and the files that come along by their names."""

    metadata: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)

    def zipped(self) -> bytes:
        """All of it as a zip archive, the metadata first."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(METADATA, json.dumps(self.metadata, indent=1))
            for name, content in sorted(self.files.items()):
                archive.writestr(name, content)
        return out.getvalue()


def crate(db: Session, workflow: Workflow) -> Crate:
    """The crate of a workflow; while it goes on, of what has happened so far.

    Of a step with many jobs the first MOST_OF_A_STEP are listed, and the others counted in words: a
    million jobs make no larger crate than a hundred.
    """
    stored = bundle(db, workflow.bundle)
    made = Metadata(_run(db, workflow), set(stored.files))
    steps = search.steps(db, workflow)
    room = max(1, min(MOST_OF_A_STEP, MOST_ACTIONS // max(1, len(steps))))
    for step in steps:
        if step["kind"] == "workflow":
            continue
        actions = list(_actions(db, workflow, step["path"], room))
        made.add_step(step, actions, _words(step, len(actions)))
    files = stored.files | made.literals
    return Crate(made.document(), files)


def _run(db: Session, workflow: Workflow) -> Run:
    root = db.scalar(
        select(Node.node_id).where(Node.workflow_id == workflow.workflow_id, Node.parent_id == 0).limit(1)
    )
    inputs, _ = values_of(db, root) if root else ({}, {})
    outputs = unpacked(workflow.outputs) if workflow.outputs else {}
    graph = unpacked(workflow.graph)
    return Run(
        workflow_id=workflow.workflow_id,
        name=workflow.name,
        entrypoint=workflow.entrypoint,
        owner=workflow.owner,
        group=workflow.group,
        vo=workflow.vo,
        is_done=workflow.status == Status.DONE,
        is_over=workflow.status in FINAL,
        reason=workflow.reason or "",
        submitted_at=workflow.submitted_at,
        ended_at=workflow.ended_at,
        inputs=_listed(db, workflow, inputs),
        outputs=_listed(db, workflow, outputs),
        types={port["name"]: port["type"] for side in ("inputs", "outputs") for port in graph.get(side, ())},
    )


def _actions(db: Session, workflow: Workflow, path: str, room: int) -> Iterator[Action]:
    """The first runs of a step, in the order in which they were made."""
    query = (
        select(Node)
        .where(
            Node.workflow_id == workflow.workflow_id,
            Node.path == path,
            Node.kind.in_(("tool", "expression")),
            Node.status.in_((Status.DONE, Status.FAILED, Status.KILLED)),
        )
        .order_by(Node.node_id)
        .limit(room)
    )
    nodes = db.scalars(query).all()
    jobs = ran(db, [node.job_id for node in nodes if node.job_id])
    outputs = collections.outputs(db, nodes)
    for node in nodes:
        job = jobs.get(node.job_id or 0)
        yield _action(db, workflow, node, job, outputs.get(node.node_id, {}))


def _action(db: Session, workflow: Workflow, node: Node, job: Ran | None, outputs: dict[str, Any]) -> Action:
    return Action(
        number=node.node_id,
        slot=node.slot,
        is_done=node.status == Status.DONE,
        reason=node.reason or "",
        job_id=node.job_id,
        attempt=job.attempt if job else 0,
        site=job.site if job else "",
        started_at=job.started_at if job else None,
        ended_at=job.ended_at if job else None,
        inputs=_listed(db, workflow, job.inputs) if job else {},
        outputs=_listed(db, workflow, outputs),
        reused_from=node.reused_from,
    )


def _listed(db: Session, workflow: Workflow, values: dict[str, Any]) -> dict[str, Any]:
    """Values without long arrays: of these the first elements, and how many there are besides."""
    return {name: _short(db, workflow, value) for name, value in values.items()}


def _short(db: Session, workflow: Workflow, value: Any) -> Any:
    if is_reference(value):
        length = int(value["length"])
        first = collections.read(db, workflow.workflow_id, value, 0, min(length, MOST_VALUES))
        return [*(_short(db, workflow, one) for one in first), *_rest(length)]
    if isinstance(value, list):
        return [*(_short(db, workflow, one) for one in value[:MOST_VALUES]), *_rest(len(value))]
    return value


def _rest(length: int) -> list[str]:
    return [f"{length - MOST_VALUES} more are {LEFT}"] if length > MOST_VALUES else []


def _words(step: dict[str, Any], listed: int) -> str:
    """How the instances of a step ended, and how many of them are listed."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(step["counts"].items()) if count)
    total = sum(step["counts"].values())
    words = (
        f"{total} of {max(total, step['total'])} instances ended: {counts}" if counts else "It did not run"
    )
    return f"{words}. The first {listed} are listed." if total > listed else f"{words}."
