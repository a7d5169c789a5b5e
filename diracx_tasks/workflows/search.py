"""Reading workflows: lists, one with its steps, its graph."""

from typing import Any, NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import utc
from diracx_tasks.core.errors import NotFound, TooLarge
from diracx_tasks.core.packed import unpacked
from diracx_tasks.core.remembered import remembered
from diracx_tasks.core.settings import settings
from diracx_tasks.cwl.arrays import is_reference
from diracx_tasks.jobs import search as jobs
from diracx_tasks.workflows import access, collections, listing
from diracx_tasks.workflows.look import bundle
from diracx_tasks.workflows.states import FINAL, Status
from diracx_tasks.workflows.tables import BundleUse, Node, Workflow

# So many elements of an output are shown at once.
SHOWN = 10_000
VERY_MANY = 1000
# From the worst to the best: a step is as bad as its worst instance.
STATES = ("Failed", "Killed", "Skipped", "Done")
# A step that nothing was done of when its workflow ended: it waits no more.
NOT_RUN = "Not run"


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
    counted = listing.progress(db, rows) if rows else {}
    return [{**_head(row), "jobs": _totals(counted[row.workflow_id])} for row in rows]


def steps(db: Session, workflow: Workflow) -> list[dict[str, Any]]:
    """The steps with their states and counts."""
    return [
        {**{key: node[key] for key in ("path", "name", "kind", "scatter")}, **counted}
        for node, counted in _counted_steps(db, workflow)
    ]


def detail(db: Session, workflow: Workflow, *, by: User) -> dict[str, Any]:
    """Everything about one workflow: state, steps with their counts, outputs."""
    outputs = unpacked(workflow.outputs) if workflow.outputs else None
    if outputs is not None:
        outputs = {name: _shown(db, workflow, value) for name, value in outputs.items()}
    return {
        **_head(workflow),
        "reason": access.reason(workflow, by),
        "bundle": workflow.bundle,
        "steps": steps(db, workflow),
        "outputs": outputs,
    }


def elements(db: Session, workflow: Workflow, name: str, start: int, limit: int) -> dict[str, Any]:
    """`{"elements", "length"}` of a part of an output that is an array; NotFound when it is none."""
    value = (unpacked(workflow.outputs) if workflow.outputs else {}).get(name)
    if isinstance(value, list):
        return {"elements": value[start : start + limit], "length": len(value)}
    if not is_reference(value):
        raise NotFound(f"workflow {workflow.workflow_id} has no array {name!r} among its outputs")
    found = collections.read(db, workflow.workflow_id, value, start, start + limit)
    return {"elements": collections.whole(db, workflow.workflow_id, found), "length": value["length"]}


def graph(db: Session, workflow: Workflow) -> dict[str, Any]:
    """Nodes and edges with the state of each step, and its instances by state."""
    nodes = [
        {**node, "done": _done(counted["counts"]), **counted}
        for node, counted in _counted_steps(db, workflow)
    ]
    return {**unpacked(workflow.graph), "nodes": nodes}


def bundle_of(db: Session, key: str, vo: str) -> dict[str, Any]:
    """The original files of a bundle that a workflow or a job of the VO uses."""
    of_workflows = select(Workflow.workflow_id).where(Workflow.bundle == key, Workflow.vo == vo).limit(1)
    if db.get(BundleUse, (key, vo)) is None and db.execute(of_workflows).first() is None:
        raise NotFound(f"there is no bundle {key} in {vo}")
    return bundle(db, key).to_json()


def totals(db: Session) -> dict[str, int]:
    """How many workflows there are in each status, over all VOs: for metrics."""
    return dict(db.execute(select(Workflow.status, func.count()).group_by(Workflow.status)).all())


def _counted_steps(db: Session, workflow: Workflow) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    steps = unpacked(workflow.graph)["nodes"]
    scatters = _scatters(db, workflow.workflow_id, [step["path"] for step in steps if step["scatter"]])
    counts = {path: one.counts for path, one in scatters.items()}
    # Slots have the path of their scatter, which has counted them: there may be a million.
    others = [step["path"] for step in steps if step["path"] not in scatters]
    for path, status, count in db.execute(_singles(workflow.workflow_id, others)):
        counts.setdefault(path, {})[status] = count
    # Of what has ended no pilot holds anything: many jobs need not be looked at.
    held = {} if workflow.status in FINAL else _held(db, workflow)
    tools = [step["path"] for step in steps if step["kind"] == "tool"]
    reused = _reused(db, workflow, tools) if workflow.reuses else {}
    found = []
    for step in steps:
        path = step["path"]
        own = _split(counts.get(path, {}), held.get(path or workflow.name, 0), step["kind"])
        total = max(scatters[path].total if path in scatters else 0, sum(own.values()))
        state = _state(own, is_over=workflow.status in FINAL)
        if path in scatters and not total:
            # Over nothing: it had nothing to wait for.
            state = Status.DONE.value
        counted = {"state": state, "counts": own, "total": total, "reused": reused.get(path, 0)}
        found.append((step, counted))
    return found


def _held(db: Session, workflow: Workflow) -> dict[str, int]:
    """How many jobs of each step pilots have; a little old where they are very many."""
    key = ("held", settings().database, workflow.workflow_id)
    found: dict[str, int] = remembered(
        key,
        lambda: jobs.held(db, workflow.vo, _job_group(workflow)),
        is_dear=lambda counts: sum(counts.values()) > VERY_MANY,
    )
    return found


def _reused(db: Session, workflow: Workflow, paths: list[str]) -> dict[str, int]:
    """How many results each step has taken from earlier workflows; a little old where jobs are very many."""
    # In the order of the index NodeCounts: of what was not reused nothing is read.
    mine = (Node.workflow_id == workflow.workflow_id, Node.path.in_(paths), Node.kind == "tool")
    reused = (Node.status == Status.DONE, Node.reused_from.is_not(None))
    query = select(Node.path, func.count()).where(*mine, *reused).group_by(Node.path)
    found: dict[str, int] = remembered(
        ("reused", settings().database, workflow.workflow_id),
        lambda: dict(db.execute(query).all()),
        is_dear=lambda counts: sum(counts.values()) > VERY_MANY,
    )
    return found


class _Scatter(NamedTuple):
    """The slots of all scatters at one path."""

    total: int
    counts: dict[str, int]


def _shown(db: Session, workflow: Workflow, value: Any) -> Any:
    """An output with its arrays, or what stands for one that is too long to be shown."""
    try:
        return collections.whole(db, workflow.workflow_id, value, SHOWN)
    except TooLarge:
        return value


def _scatters(db: Session, workflow_id: int, paths: list[str]) -> dict[str, _Scatter]:
    sums = (func.sum(column) for column in (Node.total, Node.cursor, Node.ended, Node.bad, Node.skipped))
    # Named by their paths, they are found beside a hundred thousand slots without a look at these.
    mine = (Node.workflow_id == workflow_id, Node.path.in_(paths), Node.kind == "scatter")
    query = select(Node.path, *sums).where(*mine).group_by(Node.path)
    found = {}
    for path, *numbers in db.execute(query) if paths else ():
        total, made, ended, bad, skipped = map(int, numbers)
        counts = {
            Status.DONE.value: ended - bad - skipped,
            Status.FAILED.value: bad,
            Status.SKIPPED.value: skipped,
            Status.RUNNING.value: made - ended,
        }
        found[path] = _Scatter(total, {status: count for status, count in counts.items() if count > 0})
    return found


def _singles(workflow_id: int, paths: list[str]) -> Select[str, str, int]:
    query = select(Node.path, Node.status, func.count())
    mine = (Node.workflow_id == workflow_id, Node.path.in_(paths))
    return query.where(*mine).group_by(Node.path, Node.status)


def _split(counts: dict[str, int], held: int, kind: str) -> dict[str, int]:
    """Counts in which what runs is what a pilot holds, and the rest waits."""
    running = counts.get(Status.RUNNING, 0)
    if kind != "tool" or not running:
        return counts
    held = min(held, running)
    split = {"Running": held, "Waiting": running - held}
    return {
        **{name: count for name, count in counts.items() if name != Status.RUNNING},
        **{name: count for name, count in split.items() if count},
    }


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


def _totals(found: listing.Progress) -> dict[str, int]:
    names = ("Waiting", "Running", "Done", "Skipped", "Failed", "Killed")
    shown = {name.lower(): found.counts.get(name, 0) for name in names}
    return {"total": found.total, **shown, "reused": found.reused}


def _state(counts: dict[str, int], *, is_over: bool) -> str:
    """What a step is doing while an instance goes on, else the worst end of one."""
    none = NOT_RUN if is_over else "Waiting"
    return next((state for state in ("Running", "Waiting", *STATES) if counts.get(state)), none)


def _done(counts: dict[str, int]) -> int:
    return counts.get(Status.DONE, 0) + counts.get(Status.SKIPPED, 0)


def _job_group(workflow: Workflow) -> str:
    return f"{workflow.workflow_id:08d}"
