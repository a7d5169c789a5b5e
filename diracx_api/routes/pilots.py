"""What pilots ask: work, and the way to and from the store for what they hold."""

from dataclasses import asdict
from typing import Any

from diracx_api.deps import Db, Me, Router
from diracx_api.models import jobs, pilots
from diracx_api.models.fields import JobId
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import Forbidden
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import control, heartbeat
from diracx_tasks.matching.match import Pilot, match
from diracx_tasks.pilots import register
from diracx_tasks.sandboxes import metadata

router = Router("pilots", "/api/pilots")
RETRY_AFTER = 1.0


@router.post("/match", right=rights.pilot, response_model=pilots.Matches)
def match_jobs(db: Db, me: Me, body: pilots.Slot) -> Any:
    """Give a pilot the soonest jobs that fit its slot."""
    if body.stamp != me.pilot_stamp:
        raise Forbidden(f"this token is of the pilot {me.pilot_stamp}, not {body.stamp}")
    slot = Pilot(body.site, body.ce, body.cores, body.ram_mb, body.platform, body.tags)
    found = match(db, me.vo, slot, stamp=body.stamp, count=body.count)
    register.seen(db, body.stamp, found[0].job_id if found else None)
    pace = {"heartbeat_seconds": settings().heartbeat_seconds}
    rows = [{"job_id": one.job_id, "attempt": one.attempt, **asdict(one.work), **pace} for one in found]
    return {"jobs": rows, "retry_after": RETRY_AFTER}


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
