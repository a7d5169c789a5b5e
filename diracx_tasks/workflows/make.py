"""Making what was decided: nodes, their jobs, and results that are there from earlier runs."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, plain
from diracx_tasks.core.many import insert_many
from diracx_tasks.core.packed import packed
from diracx_tasks.cwl.arrays import has_arrays
from diracx_tasks.jobs.submit import NewJob, create
from diracx_tasks.storage.names import LONGEST as LONGEST_LFN
from diracx_tasks.workflows import collections, count, reuse
from diracx_tasks.workflows.decide import End, Instance, Step
from diracx_tasks.workflows.events import LONGEST, MOST, Teller
from diracx_tasks.workflows.input_lfns import stated
from diracx_tasks.workflows.look import TASK
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Node, NodeValues, Workflow

CONTAINERS = ("workflow", "scatter", "loop")
ENDINGS = {
    "skipped": Status.SKIPPED,
    "expression": Status.DONE,
    "broken": Status.FAILED,
    "reused": Status.DONE,
}
ROW = (
    "WorkflowID",
    "ParentID",
    "Path",
    "Slot",
    "Kind",
    "Status",
    "IsDirty",
    "JobID",
    "Total",
    "SlotCursor",
    "Dims",
    "Reason",
    "Ended",
    "Bad",
    "Skipped",
    "Tries",
    "MaxTries",
    "ReuseKey",
    "ReusedFrom",
)
Values = dict[str, Any]
NOTHING: Values = {}


def instances(db: Session, workflow: Workflow, step: Step) -> End | None:
    """Make the instances of a decision, below its node or in its place; how the node ends with that."""
    made = reuse.found(db, workflow, step.instances) if workflow.reuses else step.instances
    jobs = [one for one in made if one.given["kind"] == "tool"]
    numbers = iter(create(db, list(map(_Jobs(workflow).of, jobs))))
    if step.node.kind == "tool":
        return _become(db, workflow, step.node, made[0], numbers)
    where = (workflow.workflow_id, step.node.node_id)
    insert_many(db, plain(Node), ROW, [_row(where, one, numbers) for one in made])
    _keep_values(db, workflow, step.node, made)
    _count_ended(db, workflow, step.node, made)
    _tell(db, workflow, step, made)
    return None


def _row(where: tuple[int, int], one: Instance, numbers: Iterator[int]) -> tuple[Any, ...]:
    """A row of WorkflowNodes in the order of ROW; `where` is a workflow and the node above."""
    given = one.given
    kind = given["kind"]
    job = next(numbers) if kind == "tool" else None
    shown = "tool" if kind in ("skipped", "broken", "reused") else kind
    state = (shown, _status(one).value, int(kind in CONTAINERS))
    extent = (given.get("total", 0), 0, given.get("dims"), _reason(one), 0, 0, 0, 1)
    retries = given.get("facts", NOTHING).get("retries")
    tries = None if retries is None else retries + 1
    return *where, one.path, one.slot, *state, job, *extent, tries, given.get("key"), given.get("from")


def _become(db: Session, workflow: Workflow, node: Node, one: Instance, numbers: Iterator[int]) -> End | None:
    """Let a node that is there become an instance, which may be over at once."""
    kind = one.given["kind"]
    values = dict(zip(ROW, _row((workflow.workflow_id, node.node_id), one, numbers), strict=True))
    kept = ("Kind", "IsDirty", "JobID", "Total", "Dims", "Reason", "MaxTries", "ReuseKey", "ReusedFrom")
    changed(
        db,
        update(plain(Node)).where(plain(Node).c.NodeID == node.node_id).values({k: values[k] for k in kept}),
    )
    if kind in CONTAINERS or "outputs" in one.given:
        _store(db, workflow, {node.node_id: one}, is_new=False)
    if kind not in ENDINGS:
        return None
    return End(_status(one), one.given.get("outputs"), one.given.get("reason", ""))


def _keep_values(db: Session, workflow: Workflow, parent: Node, made: Sequence[Instance]) -> None:
    """Store the values of instances; a job carries its inputs itself, and has its outputs."""
    wanted = {
        (one.path, one.slot): one
        for one in made
        if one.given["kind"] in CONTAINERS or one.given.get("outputs") is not None
    }
    if not wanted:
        return
    query = select(Node.node_id, Node.path, Node.slot).where(
        Node.workflow_id == workflow.workflow_id,
        Node.parent_id == parent.node_id,
        Node.path.in_({path for path, _ in wanted}),
        Node.slot.between(min(slot for _, slot in wanted), max(slot for _, slot in wanted)),
    )
    rows = [(node_id, wanted.get((path, slot))) for node_id, path, slot in db.execute(query)]
    _store(db, workflow, {node_id: one for node_id, one in rows if one}, is_new=True)


def _store(db: Session, workflow: Workflow, of_nodes: dict[int, Instance], *, is_new: bool) -> None:
    for node_id, one in of_nodes.items():
        inputs = outputs = None
        if one.given["kind"] in CONTAINERS:
            more = {name: one.given[name] for name in ("keys", "names", "method") if name in one.given}
            inputs = packed(
                {**more, "inputs": collections.put_away(db, workflow.workflow_id, one.given["inputs"])}
            )
        if one.given.get("outputs") is not None:
            outputs = packed(collections.put_away(db, workflow.workflow_id, one.given["outputs"]))
        row = NodeValues(node_id=node_id, inputs=inputs, outputs=outputs)
        if is_new:
            db.add(row)
        else:
            db.merge(row)
    db.flush()


def _count_ended(db: Session, workflow: Workflow, parent: Node, made: Sequence[Instance]) -> None:
    statuses = [_status(one) for one in made if one.given["kind"] in ENDINGS]
    if statuses:
        bad, skipped = statuses.count(Status.FAILED), statuses.count(Status.SKIPPED)
        count.note(db, workflow, [parent.node_id], ended=len(statuses), bad=bad, skipped=skipped)


class _Jobs:
    """The jobs of a workflow's tools; what they have in common is read once."""

    def __init__(self, workflow: Workflow) -> None:
        self._name, self._id, self._vo = workflow.name, workflow.workflow_id, workflow.vo
        self._owner, self._group = workflow.owner, workflow.group
        self._job_group = f"{workflow.workflow_id:08d}"
        self._common = {"kind": "cwl", "bundle": workflow.bundle, "entrypoint": workflow.entrypoint}
        # What is said of a tool is one object for all slots of a scatter.
        self._facts: dict[int, Values] = {}

    def of(self, one: Instance) -> NewJob:
        """The job of an instance."""
        given = one.given
        facts, inputs = given.get("facts", NOTHING), given["inputs"]
        payload = {**self._common, "path": one.path, "inputs": inputs, **self._told(facts)}
        if has_arrays(inputs):
            # What the pilot asks for then, instead of taking the inputs from here.
            payload["arrays"] = True
        return NewJob(
            name=one.path or self._name,
            vo=self._vo,
            owner=self._owner,
            group=self._group,
            payload=payload,
            requirements=given["requirements"],
            job_group=self._job_group,
            owner_task=TASK,
            owner_id=self._id,
            job_type=facts.get("type") or "User",
            # Longer ones are nowhere: the pilot says so of them.
            input_data=[lfn for lfn in stated(facts, inputs) if len(lfn) <= LONGEST_LFN],
        )

    def _told(self, facts: Values) -> Values:
        if id(facts) not in self._facts:
            others = ("type", "group", "retries")
            self._facts[id(facts)] = {name: value for name, value in facts.items() if name not in others}
        return self._facts[id(facts)]


def _tell(db: Session, workflow: Workflow, step: Step, made: Sequence[Instance]) -> None:
    teller = Teller(db, workflow)
    is_wide = step.node.kind == "scatter"
    if is_wide:
        reused = sum(one.given["kind"] == "reused" for one in made)
        words = f"{len(made)} of {step.node.total} instances made" + (f", {reused} reused" if reused else "")
        teller.tell(Status.RUNNING, words, path=step.node.path)
    shown = 0
    for one in made:
        kind = one.given["kind"]
        if is_wide and (kind != "broken" or (shown := shown + 1) > MOST):
            continue
        words = one.given.get("reason") or (f"{one.given['total']} instances" if kind == "scatter" else "")
        slot = one.slot if step.node.kind in ("scatter", "loop") else None
        teller.tell(_status(one), words, path=one.path, slot=slot)


def _reason(one: Instance) -> str | None:
    reason = one.given.get("reason")
    return reason[:LONGEST] if reason else None


def _status(one: Instance) -> Status:
    return ENDINGS.get(one.given["kind"], Status.RUNNING)
