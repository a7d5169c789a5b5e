"""What the jobs of a workflow print: the ends of it, and line by line while they run."""

from typing import Annotated

from anyio import to_thread
from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from diracx_api.deps import ReadDb
from diracx_api.followed import messages
from diracx_api.listeners import Listener, Place, hub
from diracx_api.models.fields import LARGEST, WorkflowId
from diracx_api.routes.workflow_live import HEADERS, LONGEST, to_follow
from diracx_api.ui import render
from diracx_api.ui.router import Me, Pages
from diracx_api.ui.workflow_head import head
from diracx_tasks.auth import rights
from diracx_tasks.workflows import live
from diracx_tasks.workflows.live import Filter

router = Pages("/workflows/{workflow_id}/log")
# Of so many jobs the end is shown, and so much of it.
JOBS, SHOWN = 10, 16_000
Step = Annotated[str | None, Query(max_length=255)]
# An empty field of a form is no number.
Job = Annotated[str, Query(max_length=19, pattern=r"^[0-9]*$")]


@router.get("", right=rights.read)
def show_log(
    *, db: ReadDb, request: Request, me: Me, workflow_id: WorkflowId, step: Step = None, job: Job = ""
) -> Response:
    """The ends of what jobs have printed: of failed ones, running ones, then the newest."""
    found = head(db, workflow_id, me)
    wanted = _filter(step, job)
    texts = []
    if found.sees_jobs:
        jobs = live.jobs_of(found.workflow, wanted)
        texts = live.stored_outputs(db, workflow_id, jobs, JOBS)
    return render.page(
        request,
        "workflow_log.html",
        head=found,
        tab="/log",
        texts=[(one, one.text[-SHOWN:]) for one in texts],
        steps=[node["path"] for node in found.graph["nodes"] if node["kind"] == "tool" and node["path"]],
        step=wanted.step or "",
        job=job,
        stated={"step": wanted.step, "job": job or None},
    )


@router.get("/live", right=rights.read, response_class=StreamingResponse)
async def follow_log(
    me: Me,
    workflow_id: WorkflowId,
    *,
    step: Step = None,
    job: Job = "",
    seconds: Annotated[float, Query(ge=0, le=LONGEST)] = LONGEST,
    last_event_id: Annotated[str, Header(max_length=100)] = "",
) -> StreamingResponse:
    """What is printed from now on, as the API streams it."""
    hub().must_take(me)
    wanted = _filter(step, job)
    followed, jobs = await to_thread.run_sync(to_follow, workflow_id, wanted, me, limiter=hub().limiter)
    listener = Listener(wanted, Place.read(last_event_id) or Place())
    stream = messages(followed, jobs, listener, seconds, to=me)
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)


def _filter(step: str | None, job: str) -> Filter:
    return Filter(step or None, min(int(job), LARGEST) if job else None)
