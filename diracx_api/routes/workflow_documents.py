"""Workflows' documents: an inputs file to fill in, drawings, provenance."""

from typing import Annotated, Any

from fastapi import Header, Query, Response
from fastapi.responses import JSONResponse

from diracx_api.deps import LARGE, Me, ReadDb, Router
from diracx_api.models import workflow_documents as models
from diracx_api.models.fields import WorkflowId
from diracx_api.models.workflows import Graph
from diracx_api.submission import OPENAPI, WRONG, SentBody
from diracx_tasks.auth import rights
from diracx_tasks.cwl import draw
from diracx_tasks.workflows import access, crate, precheck, search

router = Router("workflows", "/api/workflows")
SVG, DOT, ZIP = "image/svg+xml", "text/vnd.graphviz", "application/zip"
TEXT: dict[str, Any] = {"schema": {"type": "string"}}
BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
# A drawing is made of what users wrote: in a browser it may show itself and nothing more.
HARMLESS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


@router.post(
    "/template",
    max_body_size=LARGE,
    right=rights.submit,
    response_model=models.Template,
    responses=WRONG,
    openapi_extra=OPENAPI,
)
def make_inputs_template(me: Me, body: SentBody) -> Any:
    """An inputs file for a workflow, to be filled in; inputs in the body are not looked at."""
    return {"inputs": precheck.template(body.bundle)}


@router.get(
    "/{workflow_id}/graph",
    right=rights.read,
    response_model=Graph,
    responses={200: {"content": {SVG: TEXT, DOT: TEXT}}},
)
def draw_workflow(
    db: ReadDb,
    me: Me,
    workflow_id: WorkflowId,
    format: Annotated[
        models.GraphFormat, Query(description="JSON, a picture, or text for Graphviz.", examples=["svg"])
    ] = models.GraphFormat.JSON,
) -> Any:
    """Steps with their states, and what flows between them; as JSON, SVG or DOT."""
    workflow = search.find(db, workflow_id, by=me)
    found = search.graph(db, workflow)
    title = f"workflow {workflow_id} {workflow.name} {workflow.status}"
    if format is models.GraphFormat.SVG:
        return Response(draw.svg(found, title), media_type=SVG, headers=HARMLESS)
    if format is models.GraphFormat.DOT:
        return Response(draw.dot(found, title), media_type=DOT)
    return found


@router.get(
    "/{workflow_id}/crate",
    right=rights.read,
    response_model=models.CrateMetadata,
    responses={200: {"content": {ZIP: BYTES}}},
)
def get_crate(
    db: ReadDb,
    me: Me,
    workflow_id: WorkflowId,
    format: Annotated[
        models.CrateFormat | None,
        Query(description="What counts before the header Accept.", examples=["json"]),
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Any:
    """A workflow, best one that has ended, as a Workflow Run RO-Crate: a zip with documents, or metadata."""
    workflow = search.find(db, workflow_id, by=me)
    access.must_see_jobs(workflow, me)
    found = crate.crate(db, workflow)
    is_zip = format is models.CrateFormat.ZIP if format else ZIP in accept
    if not is_zip:
        return JSONResponse(found.metadata)
    name = f'attachment; filename="crate-{workflow_id}.zip"'
    return Response(found.zipped(), media_type=ZIP, headers={"Content-Disposition": name})
