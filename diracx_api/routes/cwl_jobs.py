"""Jobs that run a CWL process: submit, and read what they gave."""

from typing import Annotated, Any

from fastapi import Header

from diracx_api.cwl_submission import OPENAPI, SentJobsBody
from diracx_api.deps import LARGE, Db, Me, ReadDb, Router
from diracx_api.models import cwl_jobs as models
from diracx_api.models.fields import JobId
from diracx_api.models.jobs import InsertedJob
from diracx_api.submission import WRONG
from diracx_tasks.auth import rights
from diracx_tasks.jobs import read
from diracx_tasks.workflows import fused

router = Router("jobs", "/api/jobs")
Key = Annotated[
    str | None,
    Header(
        max_length=128,
        description="The same key twice is one submission.",
        examples=["0190f3c2-7c1e-7000-8000-0123456789ab"],
    ),
]


@router.post(
    "/cwl",
    max_body_size=LARGE,
    right=rights.submit,
    status_code=201,
    response_model=list[InsertedJob],
    responses=WRONG,
    openapi_extra=OPENAPI,
)
def submit_cwl_jobs(
    db: Db, me: Me, body: SentJobsBody, idempotency_key: Key = None, x_ms_client_request_id: Key = None
) -> Any:
    """Submit a tool, or a workflow with `dirac:Job`, that runs as one job for each input object.

    A request that comes again with the same `Idempotency-Key` is answered as the first time and makes no
    second job.
    """
    key = idempotency_key or x_ms_client_request_id
    request = fused.Request(body.bundle, body.inputs, body.range, body.name, key)
    # Checked before the transaction begins: many inputs take seconds.
    return fused.submit(db, fused.prepare(request, by=me))


@router.get("/{job_id}/outputs", right=rights.read, response_model=models.JobOutputs)
def get_job_outputs(db: ReadDb, me: Me, job_id: JobId) -> Any:
    """The outputs of a job that is Done, as CWL writes them."""
    found = read.get(db, job_id, by=me)
    return {"job_id": job_id, "status": found["Status"], "outputs": found["Outputs"]}
