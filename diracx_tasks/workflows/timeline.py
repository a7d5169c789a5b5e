"""When the jobs of steps waited and ran; of a wide step a sample, so that a picture of it stays small."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.jobs import times
from diracx_tasks.jobs.times import Times
from diracx_tasks.workflows.tables import Node, Workflow, WorkflowEvent

# Jobs that are looked at: of one step, and of all steps together.
MOST_OF_STEP, MOST = 200, 800
# Of a step with more of them, elements are found by their places, one by one.
WIDE = 2000
# Scatters at the same path, inside of other scatters, of which elements are taken.
SCATTERS = 10
EVENTS = 2000


class Bar(NamedTuple):
    """A job of a step: the element's number, and whether it is an earlier one that was tried before."""

    slot: int
    times: Times
    is_earlier: bool


def bars(db: Session, workflow: Workflow, totals: Mapping[str, int]) -> dict[str, list[Bar]]:
    """Jobs of steps by path, in the order of their elements; `totals` says how many each step has.

    A step with more than its share of MOST gives as many of its elements, evenly spread over them.
    """
    share = max(4, min(MOST_OF_STEP, MOST // max(1, len(totals))))
    rows, alike = [], defaultdict(list)
    for path, total in totals.items():
        if total > WIDE:
            rows += _sample(db, workflow, path, share)
        else:
            alike[-(-total // share) or 1].append(path)
    for distance, paths in alike.items():
        rows += db.execute(_tools(workflow).where(Node.path.in_(paths), Node.slot % distance == 0)).all()
    now = {row.job_id: (row.path, row.slot) for row in rows if row.job_id}
    before = {job_id: at for job_id, at in _earlier(db, workflow, alike.get(1, [])) if job_id not in now}
    found: dict[str, list[Bar]] = defaultdict(list)
    for job_id, one in times.times(db, [*now, *before]).items():
        path, slot = now.get(job_id) or before[job_id]
        found[path].append(Bar(slot, one, job_id in before))
    return {path: sorted(some, key=lambda bar: (bar.slot, bar.times.job_id)) for path, some in found.items()}


def _tools(workflow: Workflow) -> Any:
    columns = Node.path, Node.slot, Node.job_id
    return select(*columns).where(Node.workflow_id == workflow.workflow_id, Node.kind == "tool")


def _sample(db: Session, workflow: Workflow, path: str, count: int) -> list[Any]:
    """Elements of a step at even distances, each found by its place."""
    mine = (Node.workflow_id == workflow.workflow_id, Node.path == path, Node.kind.in_(("scatter", "loop")))
    query = select(Node.node_id, Node.cursor, Node.ended).where(*mine).order_by(Node.node_id).limit(SCATTERS)
    above = db.execute(query).all()
    if not above:
        return list(db.execute(_tools(workflow).where(Node.path == path).limit(count)).all())
    found: list[Any] = []
    for row in above:
        slots = _spread(max(row.cursor, row.ended + 1), max(1, count // len(above)))
        places = (Node.parent_id == row.node_id, Node.path == path, Node.slot.in_(slots))
        found += db.execute(_tools(workflow).where(*places)).all()
    return found


def _spread(length: int, count: int) -> Sequence[int]:
    """Numbers below `length` at even distances, the first and the last among them."""
    if length <= count:
        return range(length)
    return sorted({round(number * (length - 1) / max(1, count - 1)) for number in range(count)})


def _earlier(db: Session, workflow: Workflow, paths: Sequence[str]) -> Iterator[tuple[int, tuple[str, int]]]:
    """Jobs that failed before their step was tried again: the workflow's events tell of them."""
    if not paths:
        return
    query = select(WorkflowEvent.job_id, WorkflowEvent.path, WorkflowEvent.slot).where(
        WorkflowEvent.workflow_id == workflow.workflow_id,
        WorkflowEvent.job_id.is_not(None),
        WorkflowEvent.path.in_(paths),
    )
    for job_id, path, slot in db.execute(query.order_by(WorkflowEvent.event_id.desc()).limit(EVENTS)):
        if job_id is not None:
            yield job_id, (path, slot or 0)
