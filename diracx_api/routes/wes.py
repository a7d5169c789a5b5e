"""GA4GH's Workflow Execution Service 1.1: the same workflows under the standard's names."""

from typing import Annotated, Any

import orjson
from fastapi import Path, Query, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from diracx_api.deps import LARGE, Db, Me, ReadDb, Router
from diracx_api.models import wes as models
from diracx_api.models.fields import LARGEST
from diracx_api.wes import answer, paging, service
from diracx_api.wes.asked import OPENAPI, Asked
from diracx_api.wes.prefix import PREFIX
from diracx_tasks.auth import rights
from diracx_tasks.core.database import reading
from diracx_tasks.jobs import read
from diracx_tasks.sandboxes import metadata
from diracx_tasks.workflows import control, runs, search, submit

router = Router("wes", PREFIX)
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.WesError} for status in (400, 401, 403, 404, 409, 413, 422, 500, 503)
}
JSON: dict[str, Any] = {"responses": ERRORS, "response_model_exclude_none": True}
# Errors of a route that answers with text are JSON all the same.
_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/WesError"}}}
TEXT: dict[str, Any] = {
    "responses": {status: {"description": "Error", "content": _ERROR} for status in ERRORS},
    "response_class": PlainTextResponse,
}
Run = Annotated[int, Path(ge=0, le=LARGEST, description="The workflow's number.", examples=[42])]
Task = Annotated[int, Path(ge=0, le=LARGEST, description="The job's number.", examples=[17])]
PageSize = Annotated[
    int, Query(ge=1, le=LARGEST, description="How many at most; more than 1000 are not given.", examples=[50])
]
PageToken = Annotated[
    str,
    Query(max_length=256, description="The next_page_token of the page before.", examples=["WzQyXQ=="]),
]
Name = Annotated[str, Path(max_length=255, description="Its name, for people.", examples=["pi.json"])]
Pfn = Annotated[
    str,
    Query(
        max_length=512,
        description="The file's location.",
        examples=["sandbox:/S3/local/lhcb/user/alice/sha256:9f8….file"],
    ),
]


@router.get("/service-info", right=rights.anyone, response_model=models.ServiceInfo, **JSON)
def get_service_info(db: ReadDb) -> Any:
    """What this service is and can do."""
    return service.info(db)


@router.get(service.TOKEN, right=rights.anyone, **TEXT)
def get_token_instructions() -> Any:
    """How one gets a token, for people."""
    return service.instructions()


@router.get("/runs", right=rights.read, response_model=models.RunList, **JSON)
def list_runs(db: ReadDb, me: Me, page_size: PageSize = 50, page_token: PageToken = "") -> Any:
    """The VO's runs, newest first."""
    size = min(page_size, paging.MOST)
    found = runs.newest(db, by=me, limit=size, before=paging.number(page_token))
    following = paging.token(found[-1].workflow_id) if len(found) == size else ""
    return {"runs": [answer.summary(db, one, by=me) for one in found], "next_page_token": following}


@router.post(
    "/runs",
    max_body_size=LARGE,
    right=rights.submit,
    response_model=models.RunId,
    openapi_extra=OPENAPI,
    **JSON,
)
def run_workflow(db: Db, me: Me, request: Asked) -> Any:
    """Run a CWL workflow that comes with the request."""
    with reading() as before:
        found = submit.earlier(before, request, by=me)
    if found is None:
        # Checked before the transaction begins: a document may take seconds.
        checked = submit.check(request.bundle, request.inputs, by=me)
        found = submit.submit(db, request, checked, by=me)
    return {"run_id": str(found.workflow_id)}


@router.get("/runs/{run_id}", right=rights.read, response_model=models.RunLog, **JSON)
def get_run_log(db: ReadDb, me: Me, run_id: Run) -> Any:
    """Everything about a run: its request, state, log, and outputs."""
    return answer.run_log(db, search.find(db, run_id, by=me), by=me)


@router.get("/runs/{run_id}/status", right=rights.read, response_model=models.RunStatus, **JSON)
def get_run_status(db: ReadDb, me: Me, run_id: Run) -> Any:
    """A run's state."""
    return {"run_id": str(run_id), "state": answer.state(db, search.find(db, run_id, by=me), by=me)}


@router.post("/runs/{run_id}/cancel", right=rights.manage, response_model=models.RunId, **JSON)
def cancel_run(db: Db, me: Me, run_id: Run) -> Any:
    """Kill a run and all its jobs; twice is harmless, 409 when it has ended otherwise."""
    control.kill(db, run_id, by=me)
    return {"run_id": str(run_id)}


@router.get("/runs/{run_id}/tasks", right=rights.read, response_model=models.TaskList, **JSON)
def list_tasks(db: ReadDb, me: Me, run_id: Run, page_size: PageSize = 100, page_token: PageToken = "") -> Any:
    """A run's jobs, oldest first; those that a scatter makes come as they are made."""
    workflow, size = search.find(db, run_id, by=me), min(page_size, paging.MOST)
    found, following = answer.tasks(db, workflow, by=me, size=size, token=page_token)
    return {"task_logs": found, "next_page_token": following}


@router.get("/runs/{run_id}/tasks/{task_id}", right=rights.read, response_model=models.TaskLog, **JSON)
def get_task(db: ReadDb, me: Me, run_id: Run, task_id: Task) -> Any:
    """One job of a run, with its attempts."""
    return answer.task(db, search.find(db, run_id, by=me), task_id, by=me)


@router.get("/runs/{run_id}/tasks/{task_id}/log", right=rights.read, **TEXT)
def get_task_log(db: ReadDb, me: Me, run_id: Run, task_id: Task) -> Any:
    """The end of what a job has printed, on standard output and error, also while it runs."""
    answer.task(db, search.find(db, run_id, by=me), task_id, by=me)
    return read.log(db, task_id, by=me)["text"]


@router.get("/runs/{run_id}/stderr", right=rights.read, **TEXT)
def get_run_stderr(db: ReadDb, me: Me, run_id: Run) -> Any:
    """What happened to a run, a line for each event."""
    return answer.story(db, search.find(db, run_id, by=me), by=me)


@router.get("/runs/{run_id}/stdout", right=rights.read, responses=ERRORS, response_model=dict[str, Any])
def get_run_stdout(db: ReadDb, me: Me, run_id: Run) -> Any:
    """The output object as cwltool prints it; empty until there is one."""
    found = answer.outputs(db, search.find(db, run_id, by=me))
    return Response(orjson.dumps(found, option=orjson.OPT_INDENT_2), media_type="application/json")


@router.get(
    "/runs/{run_id}/files/{name}",
    right=rights.read,
    status_code=307,
    response_class=RedirectResponse,
    responses=ERRORS,
)
def get_run_file(db: Db, me: Me, run_id: Run, name: Name, pfn: Pfn) -> Any:
    """A file of a run, at its signed address; for its owner and administrators of the VO."""
    search.find(db, run_id, by=me)
    owner = metadata.Owner.of(me)
    return metadata.download_url(db, pfn, owner, is_admin=rights.ADMIN in me.properties)
