"""What happened to a workflow, and the files that it was made of."""

from typing import Annotated, Any

from fastapi import Query, Request, Response

from diracx_api.deps import ReadDb
from diracx_api.models.fields import LARGEST, WorkflowId
from diracx_api.ui import render
from diracx_api.ui.router import Me, Pages
from diracx_api.ui.workflow_head import head
from diracx_tasks.auth import rights
from diracx_tasks.core.errors import NotFound
from diracx_tasks.workflows import events, search

router = Pages("/workflows/{workflow_id}")
PER_PAGE = 100
SHOWN_BYTES = 256 * 1024


@router.get("/events", right=rights.read)
def show_events(
    *,
    db: ReadDb,
    request: Request,
    me: Me,
    workflow_id: WorkflowId,
    before: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
    step: Annotated[str | None, Query(max_length=255)] = None,
) -> Response:
    """What happened, newest first."""
    found = head(db, workflow_id, me)
    rows = events.newest(
        db, workflow_id, before=before, limit=PER_PAGE + 1, path=step or None, sees_jobs=found.sees_jobs
    )
    return render.page(
        request,
        "workflow_events.html",
        every=found.every,
        head=found,
        tab="/events",
        rows=rows[:PER_PAGE],
        older=rows[PER_PAGE - 1].event_id if len(rows) > PER_PAGE else None,
        before=before,
        stated={"step": step} if step else {},
    )


@router.get("/files", right=rights.read)
def show_files(
    db: ReadDb,
    request: Request,
    me: Me,
    workflow_id: WorkflowId,
    name: Annotated[str, Query(max_length=1024)] = "",
) -> Response:
    """The original files of a workflow, one of them as text."""
    found = head(db, workflow_id, me)
    bundle = search.bundle_of(db, found.workflow.bundle, me.vo)
    files: dict[str, Any] = bundle["files"]
    shown = name or str(bundle["entrypoint"]).partition("#")[0]
    if shown not in files:
        raise NotFound(
            f"workflow {workflow_id} has no file {shown!r}: it has {', '.join(sorted(files)[:20])}"
        )
    content = files[shown]
    text = content if isinstance(content, str) else None
    return render.page(
        request,
        "workflow_files.html",
        head=found,
        tab="/files",
        entrypoint=bundle["entrypoint"],
        files=sorted(files),
        shown=shown,
        text=text[:SHOWN_BYTES] if text is not None else None,
        is_cut=text is not None and len(text) > SHOWN_BYTES,
    )
