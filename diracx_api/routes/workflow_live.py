"""Workflows while they run: a stream of what happens, the outputs of their jobs, what their steps use."""

from typing import Annotated, Any

from anyio import to_thread
from fastapi import Header, Query
from fastapi.responses import StreamingResponse

from diracx_api.deps import Me, ReadDb, Router
from diracx_api.followed import Followed, messages
from diracx_api.listeners import Listener, Place, hub
from diracx_api.models import workflow_live as models
from diracx_api.models.fields import LARGEST, WorkflowId
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import reading, utc
from diracx_tasks.jobs.tails import Jobs
from diracx_tasks.workflows import access, live, resources, search
from diracx_tasks.workflows.live import Filter

router = Router("workflows", "/api/workflows")
# Then the client comes back with a token that holds.
LONGEST = 900.0
Step = Annotated[
    str | None, Query(max_length=255, description="Only output of this step's jobs.", examples=["simulate"])
]
Job = Annotated[int | None, Query(ge=0, le=LARGEST, description="Only output of this job.", examples=[17])]
MESSAGE = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Messages of the kinds state, progress, event, following, log and end; data is JSON.",
        "content": {"text/event-stream": {"schema": MESSAGE}},
    },
    429: {"description": "The user follows as many workflows as one may."},
}
# A proxy that keeps what it gets until it is much would make it useless.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/{workflow_id}/live", right=rights.read, response_class=StreamingResponse, responses=EVENTS)
async def follow_workflow(
    me: Me,
    workflow_id: WorkflowId,
    *,
    step: Step = None,
    job: Job = None,
    logs: Annotated[
        bool, Query(description="Whether the output of running jobs is wanted.", examples=[True])
    ] = True,
    seconds: Annotated[
        float,
        Query(ge=0, le=LONGEST, description="The stream ends after so long at the latest.", examples=[60]),
    ] = LONGEST,
    last_event_id: Annotated[
        str, Header(max_length=100, description="The id of the last message seen.", examples=["7-0"])
    ] = "",
) -> StreamingResponse:
    """Everything that happens to a workflow from now on, as server-sent events, until it ends.

    Whoever comes back with the last id gets what has happened since; without one, the last events first.
    """
    hub().must_take(me)
    wanted = Filter(step, job) if logs else None
    followed, jobs = await to_thread.run_sync(to_follow, workflow_id, wanted, me, limiter=hub().limiter)
    listener = Listener(wanted, Place.read(last_event_id) or Place())
    stream = messages(followed, jobs, listener, seconds, to=me)
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)


@router.get("/{workflow_id}/logs", right=rights.read, response_model=models.Outputs)
def get_workflow_logs(
    db: ReadDb,
    me: Me,
    workflow_id: WorkflowId,
    *,
    step: Step = None,
    job: Job = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Of how many jobs at most.", examples=[10])] = 10,
) -> Any:
    """The ends of what a workflow's jobs have printed: of failed ones, running ones, then the newest."""
    workflow = search.find(db, workflow_id, by=me)
    access.must_see_jobs(workflow, me)
    found = live.stored_outputs(db, workflow_id, live.jobs_of(workflow, Filter(step, job)), limit)
    return {"status": workflow.status, "outputs": [_output(one) for one in found]}


@router.get("/{workflow_id}/resources", right=rights.read, response_model=models.Resources)
def get_workflow_resources(db: ReadDb, me: Me, workflow_id: WorkflowId) -> Any:
    """What each step asked for beside what its jobs used; up to 10 s old."""
    workflow = search.find(db, workflow_id, by=me)
    access.must_see_jobs(workflow, me)
    return {"steps": resources.of_steps(db, workflow)}


def to_follow(workflow_id: int, wanted: Filter | None, me: User) -> tuple[Followed, Jobs | None]:
    """A workflow that the user may see, and the jobs whose output is wanted; None when none is."""
    with reading() as db:
        workflow = search.find(db, workflow_id, by=me)
        followed = Followed(workflow_id, access.sees_jobs(workflow, me))
        if wanted is None:
            return followed, None
        access.must_see_jobs(workflow, me)
        return followed, live.jobs_of(workflow, wanted)


def _output(one: live.Text) -> dict[str, Any]:
    names = {name: getattr(one.output, name) for name in ("job_id", "attempt", "status")}
    places = {name: getattr(one, name) for name in ("place", "step", "slot", "text")}
    return {**names, **places, "updated_at": utc(one.at), "final": one.output.is_final}
