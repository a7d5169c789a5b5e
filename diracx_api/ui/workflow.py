"""One workflow: where it is, its graph and steps, and what can be done with it."""

from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse

from diracx_api.deps import Db, ReadDb
from diracx_api.models.fields import WorkflowId
from diracx_api.ui import render
from diracx_api.ui.drawing import graph
from diracx_api.ui.router import Me, Pages
from diracx_api.ui.workflow_head import COUNTED, Head, head
from diracx_tasks.auth import rights
from diracx_tasks.cwl import draw
from diracx_tasks.workflows import access, control, crate, resources, search
from diracx_tasks.workflows.rerun import rerun

router = Pages("/workflows/{workflow_id}")
PER_PAGE = 100
# What jobs have used is summed up on the first page of workflows with fewer jobs only.
FEW_JOBS = 2000
ZIP = "application/zip"
HARMLESS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
Place = Annotated[int, Query(ge=1, le=100_000)]
State = Annotated[str, Query(max_length=16)]


@router.get("", right=rights.read)
def show_workflow(
    db: ReadDb, request: Request, me: Me, workflow_id: WorkflowId, *, state: State = "", page: Place = 1
) -> Response:
    """State, graph and steps."""
    found = head(db, workflow_id, me)
    steps = [node for node in found.graph["nodes"] if not state or node["state"] == state]
    are_summed = found.sees_jobs and found.total <= FEW_JOBS
    used = resources.of_steps(db, found.workflow) if are_summed else []
    return render.page(
        request,
        "workflow.html",
        every=found.every,
        head=found,
        tab="",
        graph=graph(found.graph, found.step),
        steps=steps[(page - 1) * PER_PAGE : page * PER_PAGE],
        shown=len(steps),
        page=page,
        pages=-(-len(steps) // PER_PAGE),
        state=state,
        states=_states(found),
        used={one["path"]: one for one in used},
    )


@router.get("/resources", right=rights.read)
def show_resources(
    db: ReadDb, request: Request, me: Me, workflow_id: WorkflowId, page: Place = 1
) -> Response:
    """What each step asked for beside what it used."""
    found = head(db, workflow_id, me)
    steps = resources.of_steps(db, found.workflow) if found.sees_jobs else []
    return render.page(
        request,
        "workflow_resources.html",
        every=found.every and max(found.every, 10.0),
        head=found,
        tab="/resources",
        steps=steps[(page - 1) * PER_PAGE : page * PER_PAGE],
        page=page,
        pages=-(-len(steps) // PER_PAGE),
        remarks=[(step, remark) for step in steps for remark in step["remarks"]][:PER_PAGE],
    )


@router.post("/kill", right=rights.manage)
def kill_workflow(db: Db, request: Request, me: Me, workflow_id: WorkflowId) -> Response:
    """Kill a workflow and all its jobs."""
    found = control.kill(db, workflow_id, by=me)
    said = f"Workflow {workflow_id} {found.name} is {found.status}."
    return render.onwards(request, f"/ui/workflows/{workflow_id}", said)


@router.post("/rerun", right=rights.manage)
def rerun_workflow(db: Db, request: Request, me: Me, workflow_id: WorkflowId) -> Response:
    """Continue a workflow that failed or was killed."""
    found = rerun(db, workflow_id, by=me)
    said = f"Workflow {workflow_id} {found.name} goes on: what failed is done again."
    return render.onwards(request, f"/ui/workflows/{workflow_id}", said)


@router.get("/json", right=rights.read)
def get_json(db: ReadDb, me: Me, workflow_id: WorkflowId) -> Response:
    """What the API answers about the workflow."""
    return JSONResponse(
        search.detail(db, search.find(db, workflow_id, by=me), by=me), headers=render.NO_STORE
    )


@router.get("/graph.svg", right=rights.read)
def get_graph(db: ReadDb, me: Me, workflow_id: WorkflowId) -> Response:
    """The graph as a picture to keep."""
    workflow = search.find(db, workflow_id, by=me)
    title = f"workflow {workflow_id} {workflow.name} {workflow.status}"
    made = draw.svg(search.graph(db, workflow), title)
    return Response(made, media_type="image/svg+xml", headers={**HARMLESS, **render.NO_STORE})


@router.get("/crate", right=rights.read)
def get_crate(db: ReadDb, me: Me, workflow_id: WorkflowId) -> Response:
    """The workflow with its provenance as an RO-Crate, in a zip."""
    workflow = search.find(db, workflow_id, by=me)
    access.must_see_jobs(workflow, me)
    made = crate.crate(db, workflow).zipped()
    name = f'attachment; filename="crate-{workflow_id}.zip"'
    return Response(made, media_type=ZIP, headers={"Content-Disposition": name, **render.NO_STORE})


def _states(found: Head) -> list[tuple[str, int]]:
    """How many steps there are in each state."""
    states = [node["state"] for node in found.graph["nodes"]]
    return [(state, states.count(state)) for state in (*COUNTED, search.NOT_RUN) if state in states]
