"""Large workflows as they are stored, with all that their pages look at: made directly, row by row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import Table, now, plain, session
from diracx_tasks.core.many import insert_many
from diracx_tasks.core.packed import packed
from diracx_tasks.jobs.tables import Attempt, AttemptUse, Job, JobJDL, Payload, Result
from diracx_tasks.workflows.tables import Node, WorkflowEvent
from tests.builders import ANYWHERE, a_workflow

ROWS = 5000
Row = dict[str, Any]
# A job, the step of it, and which element.
Numbered = tuple[int, str, int]
# Of a hundred jobs.
STATUSES = ["Done"] * 80 + ["Failed"] * 2 + ["Running"] * 8 + ["Waiting"] * 10
NODES = {"Done": "Done", "Failed": "Failed", "Running": "Running", "Waiting": "Running"}


@dataclass(frozen=True)
class Size:
    """So many steps, each a scatter of so many jobs."""

    steps: int
    jobs: int


def a_large_workflow(size: Size) -> int:
    """The number of a workflow of alice's in the middle of its work."""
    with session() as db:
        found = a_workflow(db)
        names = [f"step_{number:04}" for number in range(size.steps)]
        found.graph, found.name, found.status = packed(_graph(names)), "large", "Running"
        found.submitted_at = now() - timedelta(hours=5)
        db.flush()
        workflow_id = found.workflow_id
        root = db.scalars(select(Node.node_id).where(Node.workflow_id == workflow_id)).one()
        db.get_one(Node, root).kind = "workflow"
        _fill(db, workflow_id, root, names, size.jobs)
    return workflow_id


def small_workflows(count: int) -> None:
    """So many workflows that have ended."""
    with session() as db:
        for number in range(count):
            found = a_workflow(db)
            found.name, found.status, found.ended_at = f"analysis {number}", "Done", now()


def _graph(names: Sequence[str]) -> dict[str, Any]:
    """Each step takes from two of those before it."""
    plain_ = {"kind": "tool", "parent": "", "scatter": True, "loop": False, "hints": {}}
    nodes = [{"path": name, "name": name, **plain_} for name in names]
    edges = [
        {"from": names[number - back], "to": name}
        for number, name in enumerate(names)
        for back in (1 + number % 3, 7)
        if number >= back
    ]
    return {"nodes": nodes, "edges": edges, "inputs": [{"name": "seeds", "type": "int[]", "to": names[:3]}]}


def _fill(db: Session, workflow_id: int, root: int, names: Sequence[str], jobs: int) -> None:
    first = (db.scalar(select(func.max(Node.node_id))) or 0) + 1
    begin = (db.scalar(select(func.max(JobJDL.job_id))) or 0) + 1
    scatters = {name: first + number for number, name in enumerate(names)}
    counts = {name: round(jobs * STATUSES.count(name) / 100) for name in set(STATUSES)}
    ended, bad = counts["Done"] + counts["Failed"], counts["Failed"]
    whole = {"Kind": "scatter", "Total": jobs, "SlotCursor": jobs, "Ended": ended, "Bad": bad}
    above = (
        _node(node, workflow_id, root, name) | {"Status": "Running", **whole}
        for name, node in scatters.items()
    )
    _insert(db, Node, above)
    places = [(name, slot) for name in names for slot in range(jobs)]
    after = first + len(names)
    elements = (
        _node(after + number, workflow_id, scatters[name], name)
        | {"Slot": slot, "Status": NODES[_status(slot)], "JobID": begin + number}
        for number, (name, slot) in enumerate(places)
    )
    _insert(db, Node, elements)
    numbered = [(begin + number, name, slot) for number, (name, slot) in enumerate(places)]
    _jobs(db, workflow_id, numbered)
    _attempts(db, [one for one in numbered if _status(one[2]) != "Waiting"])
    _events(db, workflow_id, [one for one in numbered if _status(one[2]) == "Failed"])


def _node(node_id: int, workflow_id: int, parent: int, path: str) -> Row:
    place = {"NodeID": node_id, "WorkflowID": workflow_id, "ParentID": parent, "Path": path, "Slot": 0}
    made = {"Kind": "tool", "Status": "", "IsDirty": False, "JobID": None, "Tries": 1}
    return place | made | {"Total": 0, "SlotCursor": 0, "Ended": 0, "Bad": 0, "Skipped": 0}


def _jobs(db: Session, workflow_id: int, numbered: Sequence[Numbered]) -> None:
    jdl = {"JDL": "[]", "JobRequirements": "", "OriginalJDL": "[]"}
    _insert(db, JobJDL, ({"JobID": job_id, **jdl} for job_id, _, _ in numbered))
    same = {
        **{"JobType": "user", "JobGroup": f"{workflow_id:08d}", "Site": "LCG.CERN.ch", "Owner": "alice"},
        **{"OwnerGroup": "user", "VO": "lhcb", "SubmissionTime": _begun(), "LastUpdateTime": _begun()},
        **{"MinorStatus": "Application", "ApplicationStatus": "Unknown", "UserPriority": 5},
        **{"RescheduleCounter": 0, "VerifiedFlag": "True", "AccountedFlag": "False", "Attempt": 1},
    }
    rows = ({"JobID": one, "JobName": name, "Status": _status(slot), **same} for one, name, slot in numbered)
    _insert(db, Job, rows)
    payload = packed({"kind": "cwl", "inputs": {"x": 1}})
    owned = {"Payload": payload, "Requirements": ANYWHERE, "OwnerTask": "workflows.advance"}
    _insert(db, Payload, ({"JobID": one, **owned, "OwnerID": workflow_id} for one, _, _ in numbered))


def _attempts(db: Session, held: Sequence[Numbered]) -> None:
    place = {"Site": "LCG.CERN.ch", "CE": "ce", "Node": "node", "Log": "event\n" * 50, "LogAt": now()}
    same = {"Attempt": 1, "PilotStamp": "stamp-1", "Reason": "", **place}
    _insert(db, Attempt, ({"JobID": one, **same, **_times(one, _status(slot))} for one, _, slot in held))
    over = [one for one, _, slot in held if _status(slot) in ("Done", "Failed")]
    used = {"Attempt": 1, "CPUSeconds": 10.0, "WallSeconds": 12.0, "MemoryMB": 300.0, "DiskMB": 5.0}
    _insert(db, AttemptUse, ({"JobID": one, **used} for one in over))
    _insert(db, Result, ({"JobID": one, "Attempt": 1, "Outputs": packed({"y": one})} for one in over))


def _status(slot: int) -> str:
    return STATUSES[slot * 37 % 100]


def _begun() -> datetime:
    return now().replace(microsecond=0) - timedelta(hours=5)


def _times(job_id: int, status: str) -> Row:
    start = _begun() + timedelta(seconds=job_id % 9000)
    end = start + timedelta(seconds=60 + job_id % 600) if status in ("Done", "Failed") else None
    return {"StartedAt": start, "EndedAt": end, "Status": status}


def _events(db: Session, workflow_id: int, failed: Sequence[Numbered]) -> None:
    same = {"WorkflowID": workflow_id, "HappenedAt": now(), "Status": "Failed", "Message": "exit code 3"}
    rows = ({**same, "Path": name, "Slot": slot, "JobID": job_id} for job_id, name, slot in failed)
    _insert(db, WorkflowEvent, rows)


def _insert(db: Session, table: type[Table], rows: Iterator[Row]) -> None:
    """Insert rows, some at a time."""
    while page := list(islice(rows, ROWS)):
        insert_many(db, plain(table), list(page[0]), [tuple(row.values()) for row in page])
