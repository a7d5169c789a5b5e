"""A step of a workflow: its elements one by one, with their jobs."""

from typing import Annotated

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, Field

from diracx_api.deps import ReadDb
from diracx_api.models.fields import LARGEST, WorkflowId
from diracx_api.ui import render
from diracx_api.ui.router import Me, Pages
from diracx_api.ui.workflow_head import head
from diracx_tasks.auth import rights
from diracx_tasks.workflows import elements
from diracx_tasks.workflows.states import Status

router = Pages("/workflows/{workflow_id}/steps")
PER_PAGE = 100
# What one filters by, and the states of nodes that this is.
STATES = {
    "Going on": (Status.RUNNING,),
    "Done": (Status.DONE,),
    "Skipped": (Status.SKIPPED,),
    "Failed": (Status.FAILED,),
    "Killed": (Status.KILLED,),
}
StepPath = Annotated[str, Path(max_length=255)]


class Filters(BaseModel):
    """Which elements are shown."""

    state: str = Field("", max_length=16)
    after: int = Field(0, ge=0, le=LARGEST)

    @property
    def stated(self) -> dict[str, str]:
        """The filter, without the page."""
        return {"state": self.state} if self.state else {}


@router.get("/{path:path}", right=rights.read)
def show_step(
    *,
    db: ReadDb,
    request: Request,
    me: Me,
    workflow_id: WorkflowId,
    path: StepPath,
    asked: Annotated[Filters, Query()],
) -> Response:
    """The elements of a step, in the order in which they were made."""
    found = head(db, workflow_id, me)
    elements.step(found.workflow, path)
    (step,) = [node for node in found.graph["nodes"] if node["path"] == path]
    # A state that there is not is that of no element.
    wanted = STATES.get(asked.state, ()) if asked.state else elements.STATES
    rows = []
    if found.sees_jobs and wanted:
        limit = PER_PAGE + 1
        rows = elements.page(db, found.workflow, path, states=wanted, after=asked.after, limit=limit)
    return render.page(
        request,
        "workflow_step.html",
        every=found.every and max(found.every, 5),
        head=found,
        tab="/steps",
        step=step,
        rows=rows[:PER_PAGE],
        next=rows[PER_PAGE - 1].node_id if len(rows) > PER_PAGE else None,
        asked=asked,
        stated=asked.stated,
        states=_counts(step["counts"]),
        below=[node for node in found.graph["nodes"] if node["parent"] == path and path],
    )


def _counts(counts: dict[str, int]) -> list[tuple[str, int]]:
    going_on = counts.get("Running", 0) + counts.get("Waiting", 0)
    return [(name, going_on if name == "Going on" else counts.get(name, 0)) for name in STATES]
