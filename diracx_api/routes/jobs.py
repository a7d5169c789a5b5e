"""Jobs as they are: searches, counts, and everything about one."""

from typing import Annotated, Any

from fastapi import Query, Response

from diracx_api import paging
from diracx_api.deps import Me, ReadDb, Router
from diracx_api.models import jobs as models
from diracx_api.models import matching
from diracx_api.models.fields import JobId
from diracx_api.models.search import Search, Summary, plain
from diracx_api.paging import Cursor, PageNumber, PerPage
from diracx_tasks.auth import rights
from diracx_tasks.jobs import listening, read
from diracx_tasks.jobs import search as searching
from diracx_tasks.matching.explain import explain

router = Router("jobs", "/api/jobs")


@router.post("/search", right=rights.read, responses=paging.RESPONSES, response_model=list[dict[str, Any]])
def search(
    db: ReadDb,
    me: Me,
    *,
    body: Search | None = None,
    page: PageNumber = 1,
    per_page: PerPage = 100,
    cursor: Cursor = None,
) -> Response:
    """Jobs of the VO that fit all conditions; 206 and Content-Range when there are more.

    `LoggingInfo` among the parameters adds each job's history; a condition on `PilotStamp` stands for the
    jobs that this pilot had.
    """
    query = paging.query_of(body, page, per_page, cursor)
    return paging.answer(searching.search(db, query, by=me), "jobs")


@router.post("/summary", right=rights.read, response_model=list[dict[str, Any]])
def summary(db: ReadDb, me: Me, body: Summary) -> Response:
    """How many jobs of the VO there are of each combination of attributes."""
    return paging.rows(searching.summary(db, body.grouping, plain(body.search), by=me))


@router.get("/{job_id}", right=rights.read)
def get_job(db: ReadDb, me: Me, job_id: JobId) -> dict[str, Any]:
    """Everything about one job."""
    return read.get(db, job_id, by=me)


@router.get("/{job_id}/jdl", right=rights.read, response_model=models.Description)
def get_job_jdl(db: ReadDb, me: Me, job_id: JobId) -> Any:
    """The job's description, as it runs and as it was submitted."""
    return read.description(db, job_id, by=me)


@router.get("/{job_id}/history", right=rights.read)
def get_job_history(db: ReadDb, me: Me, job_id: JobId) -> list[dict[str, Any]]:
    """Every change of the job, oldest first."""
    return read.history(db, job_id, by=me)


@router.get("/{job_id}/heartbeats", right=rights.read)
def get_job_heartbeats(db: ReadDb, me: Me, job_id: JobId) -> list[dict[str, Any]]:
    """What the job used, heartbeat by heartbeat, oldest first."""
    return read.heartbeats(db, job_id, by=me)


@router.get("/{job_id}/parameters", right=rights.read, response_model=models.Parameters)
def get_job_parameters(db: ReadDb, me: Me, job_id: JobId) -> Any:
    """What is known of the job besides its attributes."""
    found = read.parameters_of(db, job_id, by=me)
    return {"parameters": found.parameters.get(job_id, {}), "is_complete": found.is_complete}


@router.get("/{job_id}/logs", right=rights.read, response_model=models.Log)
def get_job_logs(
    db: ReadDb,
    me: Me,
    job_id: JobId,
    follow: Annotated[
        bool, Query(description="It is read again and again: have it come more often.", examples=[True])
    ] = False,
) -> Any:
    """The tail of the job's output, also while it runs."""
    found = read.log(db, job_id, by=me)
    if follow and not found["final"]:
        listening.listen([job_id])
    return found


@router.get("/{job_id}/why", right=rights.read, response_model=matching.Why)
def get_job_why(db: ReadDb, me: Me, job_id: JobId) -> Any:
    """Why the job is where it is, in words, and what to change."""
    return explain(db, job_id, by=me)
