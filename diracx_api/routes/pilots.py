"""What pilots ask: work, and the way to and from the store for what they hold; and what is known of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Body, Query, Response

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import data, jobs, pilots
from diracx_api.models.fields import JobId
from diracx_api.models.search import Search, Summary, plain
from diracx_api.paging import RESPONSES, Cursor, PageNumber, PerPage, answer, query_of, rows
from diracx_api.routes.data import address_of, uploaded
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import BadRequest, Conflict, Forbidden, NotFound
from diracx_tasks.core.packed import plain as as_json
from diracx_tasks.jobs import control, heartbeat
from diracx_tasks.matching.match import match
from diracx_tasks.pilots import metadata as pilot_metadata
from diracx_tasks.pilots import register
from diracx_tasks.pilots import search as pilot_search
from diracx_tasks.sandboxes import metadata
from diracx_tasks.storage import read, write
from diracx_tasks.storage.entries import Taken
from diracx_tasks.storage.names import Writer, is_lfn
from diracx_tasks.storage.write import Announced
from diracx_tasks.workflows.job_inputs import whole_inputs

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
    return answer(pilot_search.search(db, query_of(body, page, per_page, cursor), by=me), "pilots")


@router.post("/summary", right=rights.not_a_pilot, response_model=list[dict[str, Any]])
def summary(db: ReadDb, me: Me, body: Summary) -> Response:
    """How many of the VO's pilots there are by some of their columns; by all when none is named."""
    return rows(pilot_search.summary(db, body.grouping, plain(body.search), by=me))


@router.post("/match", right=rights.pilot, response_model=pilots.Matches)
def match_jobs(me: Me, body: pilots.Asking) -> Response:
    """Give a pilot the jobs that are next for its slot, which it describes in our words or in DIRAC's."""
    stamp = body.stamp or me.pilot_stamp
    if stamp is None or stamp != me.pilot_stamp:
        raise Forbidden(f"this token is of the pilot {me.pilot_stamp}, not {stamp}")
    seconds = body.pace()
    found = match(
        me.vo,
        body.node(),
        stamp=stamp,
        count=body.count,
        in_turn=body.in_turn,
        heartbeat_seconds=seconds,
    )
    given = [
        {
            "job_id": one.job_id,
            "attempt": one.work.attempt,
            "owner": one.work.owner,
            "group": one.work.group,
            "vo": one.work.vo,
            "cores": one.cores,
            "ram_mb": one.ram_mb,
            "gpus": one.gpus,
            "scratch_mb": one.scratch_mb,
            "payload": one.work.payload,
            "heartbeat_seconds": seconds,
        }
        for one in found.jobs
    ]
    # Built here as the model says: to have it checked and copied takes longer than to find the job.
    told = as_json({"jobs": given, "retry_after": found.retry_after})
    return Response(told, media_type="application/json")


@router.post("/jobs/{job_id}/uploads", right=rights.pilot, response_model=list[data.Grant])
def initiate_uploads(db: Db, me: Me, job_id: JobId, body: pilots.Uploads) -> Any:
    """How to store outputs, in the sandbox store or under LFNs; they belong to the job's owner."""
    owner = _job_owner(db, me, job_id, body.attempt)
    files = [
        Announced(one.lfn, one.size, one.checksum, tuple(one.se), tuple(one.failed))
        for one in body.files
        if one.lfn
    ]
    with _not_late():
        granted = iter(write.announce(db, _writer(owner), files, job_id=job_id))
    return [next(granted) if one.lfn else _sandbox_grant(db, owner, one) for one in body.files]


@router.post("/jobs/{job_id}/files", right=rights.pilot, status_code=204)
def register_files(db: Db, me: Me, job_id: JobId, body: pilots.Files) -> None:
    """Enter what was uploaded under LFNs into the catalogue, give the job its sandboxes: all or nothing."""
    owner = _job_owner(db, me, job_id, body.attempt)
    with _not_late():
        write.register(db, _writer(owner), uploaded(body.files), job_id=job_id)
    metadata.refuse_foreign(body.sandboxes, owner)
    metadata.assign(db, f"Job:{job_id}", body.sandboxes, "Output")


@router.post("/jobs/{job_id}/downloads", right=rights.pilot, response_model=list[data.Address])
def get_downloads(db: Db, me: Me, job_id: JobId, body: pilots.Downloads) -> Any:
    """Where to fetch inputs: sandboxes of the job's owner, and files of the VO, the site's replicas first."""
    job = heartbeat.holder(db, job_id, body.attempt, me)
    owner = metadata.Owner(job.owner, job.group, job.vo)
    lfns = [one for one in body.locations if is_lfn(one)]
    with _not_late():
        found = [address_of(one) for one in read.addresses(db, job.vo, lfns, site=job.site)]
    sandboxes = [one for one in body.locations if not is_lfn(one)]
    return [{"location": one, "url": metadata.download_url(db, one, owner)} for one in sandboxes] + found


@router.get("/jobs/{job_id}/inputs", right=rights.pilot, response_model=dict[str, Any])
def get_inputs(
    db: Db,
    me: Me,
    job_id: JobId,
    attempt: Annotated[int, Query(ge=1, description="The attempt that the pilot holds.", examples=[1])],
) -> Any:
    """The whole input object of a job whose payload says `arrays`: it holds references to long arrays."""
    heartbeat.holder(db, job_id, attempt, me)
    return whole_inputs(db, job_id)


@router.post("/jobs/{job_id}/release", right=rights.pilot, response_model=jobs.JobState)
def release_job(db: Db, me: Me, job_id: JobId, body: pilots.Release) -> Any:
    """Give a job back that the pilot cannot finish: it becomes a new attempt."""
    job = heartbeat.holder(db, job_id, body.attempt, me)
    outcome = control.reschedule(
        db, job_id, attempt=body.attempt, reason=body.reason, source="Pilot", counts=body.has_begun
    )
    db.refresh(job)
    return {"job_id": job_id, "status": job.status, "outcome": outcome}


def _job_owner(db: Db, me: User, job_id: JobId, attempt: int) -> metadata.Owner:
    job = heartbeat.holder(db, job_id, attempt, me)
    return metadata.Owner(job.owner, job.group, job.vo)


def _writer(owner: metadata.Owner) -> Writer:
    return Writer.of_job(owner.name, owner.group, owner.vo)


def _sandbox_grant(db: Db, owner: metadata.Owner, one: pilots.Upload) -> dict[str, Any]:
    grant = metadata.initiate(db, owner, checksum=one.checksum, size=one.size, kind=one.format)
    return {**grant, "location": metadata.location_of(grant["pfn"])}


@contextmanager
def _not_late() -> Iterator[None]:
    """404 and 409 tell a pilot that the attempt is not its own any more: files must not say so."""
    try:
        yield
    except (NotFound, Conflict, Taken) as error:
        raise BadRequest(str(error)) from error
