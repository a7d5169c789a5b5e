"""What pilots ask: work, and the way to and from the store for what they hold; and what is known of them."""

from typing import Annotated, Any

import orjson
from fastapi import Body, Response

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import jobs, pilots
from diracx_api.models.fields import JobId
from diracx_api.models.search import Search, Summary, plain
from diracx_api.paging import RESPONSES, Cursor, PageNumber, PerPage, answer, query_of, rows
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import Forbidden
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import control, heartbeat
from diracx_tasks.matching.match import match
from diracx_tasks.pilots import metadata as pilot_metadata
from diracx_tasks.pilots import register
from diracx_tasks.pilots import search as pilot_search
from diracx_tasks.sandboxes import metadata

router = Router("pilots", "/api/pilots")
MOST_PILOTS = 10_000
Updates = Annotated[
    dict[pilots.Stamp, pilots.PilotMetadata],
    Body(
        max_length=MOST_PILOTS,
        description="What to set, by the pilots' stamps.",
        examples=[{"0f3c9a": {"Status": "Done"}}],
    ),
]


@router.post("/", right=rights.manage_pilot, status_code=201)
def register_pilot(db: Db, me: Me, body: pilots.PilotRegistration) -> None:
    """Register a pilot that was started: a service administrator any of his VO, a pilot itself."""
    register.enrol(
        db,
        body.vo,
        register.NewPilot(
            stamp=body.pilot_stamp,
            site=body.grid_site,
            destination=body.destination_site,
            grid_type=body.grid_type,
            reference=body.pilot_reference,
            status=body.pilot_status,
        ),
        by=me,
    )


@router.patch("/metadata", right=rights.manage_pilot, status_code=204)
def update_pilot_metadata(db: Db, me: Me, body: Updates) -> None:
    """Set what is known of pilots: all of them or none. A pilot may only do so for itself."""
    stated = {stamp: one.model_dump(exclude_none=True) for stamp, one in body.items()}
    pilot_metadata.correct(db, stated, by=me)


@router.post("/search", right=rights.not_a_pilot, response_model=list[dict[str, Any]], responses=RESPONSES)
def search(
    db: ReadDb,
    me: Me,
    *,
    body: Search | None = None,
    page: PageNumber = 1,
    per_page: PerPage = 100,
    cursor: Cursor = None,
) -> Response:
    """The VO's pilots by conditions; `JobID` (`eq`, `in`) stands for the pilots that had a job."""
    return answer(pilot_search.search(db, me.vo, query_of(body, page, per_page, cursor)), "pilots")


@router.post("/summary", right=rights.not_a_pilot, response_model=list[dict[str, Any]])
def summary(db: ReadDb, me: Me, body: Summary) -> Response:
    """How many of the VO's pilots there are by some of their columns; by all when none is named."""
    return rows(pilot_search.summary(db, me.vo, body.grouping, plain(body.search)))


@router.post("/match", right=rights.pilot, response_model=pilots.Matches)
def match_jobs(me: Me, body: pilots.Asking) -> Response:
    """Give a pilot the jobs that are next for its slot, which it describes in our words or in DIRAC's."""
    stamp = body.stamp or me.pilot_stamp
    if stamp is None or stamp != me.pilot_stamp:
        raise Forbidden(f"this token is of the pilot {me.pilot_stamp}, not {stamp}")
    found = match(me.vo, body.node(), stamp=stamp, count=body.count)
    pace = {"heartbeat_seconds": settings().heartbeat_seconds}
    given = [
        {
            "job_id": one.job_id,
            "attempt": one.work.attempt,
            "owner": one.work.owner,
            "group": one.work.group,
            "vo": one.work.vo,
            "cores": one.cores,
            "ram_mb": one.ram_mb,
            "payload": one.work.payload,
            **pace,
        }
        for one in found.jobs
    ]
    # Built here as the model says: to have it checked and copied takes longer than to find the job.
    told = orjson.dumps({"jobs": given, "retry_after": found.retry_after})
    return Response(told, media_type="application/json")


@router.post("/jobs/{job_id}/uploads", right=rights.pilot, response_model=list[jobs.Grant])
def initiate_uploads(db: Db, me: Me, job_id: JobId, body: pilots.Uploads) -> Any:
    """How to store outputs; they belong to the job's owner."""
    owner = _job_owner(db, me, job_id, body.attempt)
    grants = [metadata.initiate(db, owner, checksum=one.checksum, size=one.size) for one in body.files]
    return [{**grant, "location": metadata.location_of(grant["pfn"])} for grant in grants]


@router.post("/jobs/{job_id}/downloads", right=rights.pilot, response_model=list[pilots.Address])
def get_downloads(db: Db, me: Me, job_id: JobId, body: pilots.Downloads) -> Any:
    """Where to fetch inputs: files of the job's owner only."""
    owner = _job_owner(db, me, job_id, body.attempt)
    return [{"location": one, "url": metadata.download_url(db, one, owner)} for one in body.locations]


@router.post("/jobs/{job_id}/release", right=rights.pilot, response_model=jobs.JobState)
def release_job(db: Db, me: Me, job_id: JobId, body: pilots.Release) -> Any:
    """Give a job back that the pilot cannot finish: it becomes a new attempt."""
    job = heartbeat.holder(db, job_id, body.attempt, me)
    outcome = control.reschedule(db, job_id, attempt=body.attempt, reason=body.reason, source="Pilot")
    db.refresh(job)
    return {"job_id": job_id, "status": job.status, "outcome": outcome}


def _job_owner(db: Db, me: User, job_id: JobId, attempt: int) -> metadata.Owner:
    job = heartbeat.holder(db, job_id, attempt, me)
    return metadata.Owner(job.owner, job.group, job.vo)
