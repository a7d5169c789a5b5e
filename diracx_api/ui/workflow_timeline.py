"""When the steps of a workflow waited and ran: drawn, and in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Annotated, Any

from fastapi import Query, Request, Response
from sqlalchemy.orm import Session

from diracx_api.deps import ReadDb
from diracx_api.models.fields import WorkflowId
from diracx_api.ui import render
from diracx_api.ui.lanes import Axis, Lane, timeline
from diracx_api.ui.router import Me, Pages
from diracx_api.ui.workflow_head import Head, head
from diracx_tasks.auth import rights
from diracx_tasks.core.database import database_time
from diracx_tasks.workflows.timeline import bars

router = Pages("/workflows/{workflow_id}/timeline")
PER_PAGE = 40


@dataclass(frozen=True)
class Row:
    """A step in numbers: of the jobs that were looked at, seconds of waiting and of running."""

    lane: Lane
    looked_at: int
    attempts: int
    first: datetime | None
    last: datetime | None
    waited: tuple[float, float] | None
    ran: tuple[float, float] | None


@router.get("", right=rights.read)
def show_timeline(
    db: ReadDb,
    request: Request,
    me: Me,
    workflow_id: WorkflowId,
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """Every attempt of every job, of steps with many jobs how many ran at a time."""
    found = head(db, workflow_id, me)
    steps = [node for node in found.graph["nodes"] if node["kind"] == "tool" and node["total"]]
    here = steps[(page - 1) * PER_PAGE : page * PER_PAGE] if found.sees_jobs else []
    lanes = _lanes(db, found, here)
    moment = database_time(db)
    end = found.workflow.ended_at or moment
    axis = Axis(_begin(lanes, found.workflow.submitted_at), max(end, found.workflow.submitted_at))
    return render.page(
        request,
        "workflow_timeline.html",
        every=found.every and max(found.every, 5),
        head=found,
        tab="/timeline",
        drawn=timeline(lanes, axis, None if found.is_over else moment),
        rows=[_row(lane, axis.end) for lane in lanes],
        axis=axis,
        page=page,
        pages=-(-len(steps) // PER_PAGE),
        waiting=[node for node in found.graph["nodes"] if node["kind"] == "tool" and not node["total"]][:20],
    )


def _lanes(db: Session, found: Head, steps: Sequence[dict[str, Any]]) -> list[Lane]:
    totals = {step["path"]: sum(step["counts"].values()) for step in steps}
    jobs = bars(db, found.workflow, totals) if totals else {}
    return [
        Lane(
            step["path"] or step["name"],
            found.step(step["path"]),
            step["state"],
            jobs.get(step["path"], []),
            totals[step["path"]],
            step["counts"].get("Failed", 0) + step["counts"].get("Killed", 0),
        )
        for step in steps
    ]


def _begin(lanes: Sequence[Lane], submitted: datetime) -> datetime:
    """The beginning of what is drawn; of further pages it need not be that of the workflow."""
    times = [bar.times.submitted_at for lane in lanes for bar in lane.bars if bar.times.submitted_at]
    # Jobs know the second of their submission only.
    return max(submitted, min(times)) if times else submitted


def _row(lane: Lane, until: datetime) -> Row:
    current = [bar.times for bar in lane.bars if not bar.is_earlier]
    starts = [one.started_at for job in current for one in job.spans]
    ends = [one.ended_at for job in current for one in job.spans]
    return Row(
        lane,
        looked_at=len(current),
        attempts=len(starts),
        first=min(starts, default=None),
        last=max((one for one in ends if one), default=None) if all(ends) else None,
        waited=_middle([job.waited(until) for job in current]),
        ran=_middle([job.ran(until) for job in current]),
    )


def _middle(seconds: Sequence[float | None]) -> tuple[float, float] | None:
    """The median and the most; None of nothing."""
    known = [one for one in seconds if one is not None]
    return (median(known), max(known)) if known else None
