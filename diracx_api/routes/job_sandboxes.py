"""Sandboxes of users and of jobs."""

import json
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import jobs as models
from diracx_api.models.fields import JobId
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import PILOT
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import access
from diracx_tasks.sandboxes import assigned, metadata

router = Router("jobs", "/api/jobs")
EXAMPLE = "SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:9f8….file"
LONGEST = 512
Pfn = Annotated[str, Query(max_length=LONGEST, description="The file's name.", examples=[EXAMPLE])]
Kind = Annotated[Literal["input", "output"], Path(description="Which sandboxes.", examples=["output"])]


async def _named(request: Request) -> str:
    """The PFN in the body: JSON, or the bare text that the official client sends."""
    body = (await request.body()).decode(errors="replace").strip()
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = body
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST:
        raise BadRequest("the body is not the name of a sandbox")
    return found


SentPfn = Annotated[str, Depends(_named)]
PFN_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "string",
                    "maxLength": LONGEST,
                    "description": "The PFN, as JSON or bare.",
                    "example": EXAMPLE,
                }
            }
        },
    }
}


@router.post("/sandbox", right=rights.submit, response_model=models.Grant)
def initiate_sandbox_upload(db: Db, me: Me, body: models.NewSandbox) -> Any:
    """Announce a file; answers how to upload it, or that it is stored already."""
    grant = metadata.initiate(
        db, metadata.Owner.of(me), checksum=body.checksum, size=body.size, kind=body.format
    )
    return {**grant, "location": metadata.location_of(grant["pfn"])}


@router.get("/sandbox", right=rights.read, response_model=models.Download)
def get_sandbox_file(db: Db, me: Me, pfn: Pfn) -> Any:
    """A signed address of one of one's own files; of any of the VO for its administrators."""
    url = metadata.download_url(db, pfn, metadata.Owner.of(me), is_admin=rights.ADMIN in me.properties)
    return {"url": url, "expires_in": settings().url_seconds}


@router.post("/sandbox/unassign", right=rights.report, status_code=204)
def unassign_bulk_jobs_sandboxes(db: Db, me: Me, body: models.JobIds) -> None:
    """Take all sandboxes from jobs."""
    assigned.unassign(db, access.hold_mine(db, body.job_ids, by=me))


@router.get("/{job_id}/sandbox", right=rights.payload)
def get_job_sandboxes(db: ReadDb, me: Me, job_id: JobId) -> dict[str, list[str]]:
    """The PFNs of a job's sandboxes, without their storage element, by `Input` and `Output`."""
    access.must_see(db, job_id, by=me)
    return assigned.of_job(db, job_id)


@router.get("/{job_id}/sandbox/{sandbox_type}", right=rights.payload)
def get_job_sandbox(db: ReadDb, me: Me, job_id: JobId, sandbox_type: Kind) -> list[str]:
    """The PFNs of a job's input or output sandboxes."""
    access.must_see(db, job_id, by=me)
    return assigned.of_job(db, job_id)[sandbox_type.capitalize()]


@router.patch("/{job_id}/sandbox/output", right=rights.report, openapi_extra=PFN_BODY)
def assign_sandbox_to_job(db: Db, me: Me, job_id: JobId, pfn: SentPfn) -> None:
    """Make a stored sandbox an output of a job."""
    held = access.hold_one(db, job_id, by=me)
    owner = access.owner_of(db, held) if PILOT in me.properties else metadata.Owner.of(me)
    assigned.assign_output(db, job_id, pfn, owner, is_admin=rights.ADMIN in me.properties)


@router.delete("/{job_id}/sandbox", right=rights.report)
def unassign_job_sandboxes(db: Db, me: Me, job_id: JobId) -> None:
    """Take all sandboxes from a job."""
    access.hold_one(db, job_id, by=me)
    assigned.unassign(db, [job_id])
