"""Workflows: submit, check, read, kill."""

from typing import Annotated, Any

from fastapi import Header, Path, Query

from diracx_api.deps import LARGE, Db, Me, ReadDb, Router
from diracx_api.models import workflows as models
from diracx_api.models.fields import LARGEST, WorkflowId
from diracx_api.submission import OPENAPI, WRONG, SentBody
from diracx_tasks.auth import rights
from diracx_tasks.core.database import reading, utc
from diracx_tasks.workflows import access, control, events, search, submit
from diracx_tasks.workflows.rerun import rerun

router = Router("workflows", "/api/workflows")
Key = Annotated[
    str | None,
    Header(
        max_length=128,
        description="The same key a second time gives the first workflow.",
        examples=["7f2c9a"],
    ),
]
Hash = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{64}$", description="SHA-256 of the files in hex.", examples=["9f86d08" + "0" * 57]
    ),
]


@router.post(
    "",
    max_body_size=LARGE,
    right=rights.submit,
    status_code=201,
    response_model=models.Submitted,
    responses=WRONG,
    openapi_extra=OPENAPI,
)
def submit_workflow(
    db: Db, me: Me, body: SentBody, idempotency_key: Key = None, x_ms_client_request_id: Key = None
) -> Any:
    """Submit a workflow; the same Idempotency-Key a second time gives the first workflow."""
    request = submit.Request(
        body.bundle,
        body.inputs or {},
        body.name,
        idempotency_key or x_ms_client_request_id,
        body.options,
    )
    with reading() as before:
        if found := submit.earlier(before, request, by=me):
            return found
    # Checked before the transaction begins: a document may take seconds.
    checked = submit.check(request.bundle, request.inputs, by=me)
    return submit.submit(db, request, checked, by=me)


@router.post(
    "/check",
    max_body_size=LARGE,
    right=rights.submit,
    response_model=models.Checked,
    responses=WRONG,
    openapi_extra=OPENAPI,
)
def check_workflow(me: Me, body: SentBody) -> Any:
    """Whether a workflow can run, without running it; 422 says where not. Without inputs: the document."""
    checked = submit.check(body.bundle, body.inputs, by=me)
    told = {"graph": checked["graph"], "estimate": checked.get("estimate")}
    return {"ok": True, "diagnostics": checked["warnings"], **told}


@router.get("", right=rights.read, response_model=models.WorkflowPage)
def list_workflows(
    db: ReadDb,
    me: Me,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.", examples=[50])] = 50,
    before: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="Only those with lower numbers.", examples=[17])
    ] = None,
    status: Annotated[
        str | None, Query(description="Only those in this status.", examples=["Running"])
    ] = None,
) -> Any:
    """The VO's workflows, newest first."""
    found = search.page(db, by=me, limit=limit, before=before, status=status)
    return {"workflows": found, "next": found[-1]["workflow_id"] if len(found) == limit else None}


@router.get("/bundles/{key}", right=rights.payload, response_model=models.BundleFiles)
def get_bundle(db: ReadDb, me: Me, key: Hash) -> Any:
    """A workflow's original files, by their hash."""
    return search.bundle_of(db, key, me.vo)


@router.get("/{workflow_id}", right=rights.read, response_model=models.WorkflowDetail)
def get_workflow(db: ReadDb, me: Me, workflow_id: WorkflowId) -> Any:
    """State, steps with their counts, and outputs."""
    return search.detail(db, search.find(db, workflow_id, by=me), by=me)


@router.get("/{workflow_id}/events", right=rights.read, response_model=models.Events)
def get_workflow_events(
    db: ReadDb,
    me: Me,
    workflow_id: WorkflowId,
    after: Annotated[int, Query(ge=0, le=LARGEST, description="The last event seen.", examples=[7])] = 0,
    limit: Annotated[int, Query(ge=1, le=10000, description="How many at most.", examples=[1000])] = 1000,
) -> Any:
    """What happened after the event `after`; of jobs that one may not see nothing is told."""
    workflow = search.find(db, workflow_id, by=me)
    found = events.since(db, workflow_id, after, limit, sees_jobs=access.sees_jobs(workflow, me))
    rows = [event._asdict() | {"at": utc(event.at)} for event in found]
    return {"events": rows, "last": found[-1].event_id if found else after}


@router.get("/{workflow_id}/outputs/{name}", right=rights.read, response_model=models.Elements)
def get_workflow_output(
    *,
    db: ReadDb,
    me: Me,
    workflow_id: WorkflowId,
    name: Annotated[str, Path(max_length=255, description="The output's name.", examples=["counts"])],
    start: Annotated[int, Query(ge=0, le=LARGEST, description="The first element.", examples=[0])] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000, description="How many at most.", examples=[1000])] = 1000,
) -> Any:
    """Elements of an output that is an array; `outputs` has what stands for one beyond 10 000."""
    found = search.find(db, workflow_id, by=me)
    return search.elements(db, found, name, start, limit)


@router.post("/{workflow_id}/rerun", right=rights.manage, response_model=models.WorkflowState)
def rerun_workflow(db: Db, me: Me, workflow_id: WorkflowId) -> Any:
    """Continue a workflow that failed or was killed: what went well stays, the rest is done again."""
    found = rerun(db, workflow_id, by=me)
    return {"workflow_id": workflow_id, "status": found.status}


@router.post("/{workflow_id}/kill", right=rights.manage, response_model=models.WorkflowState)
def kill_workflow(db: Db, me: Me, workflow_id: WorkflowId) -> Any:
    """Kill a workflow and all its jobs."""
    found = control.kill(db, workflow_id, by=me)
    return {"workflow_id": workflow_id, "status": found.status}
