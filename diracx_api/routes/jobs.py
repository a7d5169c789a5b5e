"""Jobs: read, search, kill; what pilots report; sandboxes of users."""

from typing import Annotated, Any

from fastapi import Query, Response

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import jobs as models
from diracx_api.models.fields import JobId
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import BadRequest, Conflict, NotFound
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import control, heartbeat, search
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change, moment_of
from diracx_tasks.matching.explain import explain
from diracx_tasks.sandboxes import metadata

Pfn = Annotated[
    str,
    Query(
        max_length=512,
        description="The file's name.",
        examples=["SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:9f8….file"],
    ),
]
router = Router("jobs", "/api/jobs")
REPORTED = frozenset({Status.RUNNING, Status.COMPLETING, Status.DONE, Status.FAILED})
NUMBERS = ("LoadAverage", "MemoryUsed", "Vsize", "AvailableDiskSpace", "CPUConsumed", "WallClockTime")


@router.post("/search", right=rights.read, responses={206: {"description": "There are more pages."}})
def search_jobs(
    db: ReadDb,
    me: Me,
    *,
    response: Response,
    body: models.Search | None = None,
    page: Annotated[int, Query(ge=1, le=10**9, description="Which page.", examples=[1])] = 1,
    per_page: Annotated[int, Query(ge=1, le=10000, description="How many jobs.", examples=[100])] = 100,
) -> list[dict[str, Any]]:
    """Jobs of the VO that fit all conditions; 206 and Content-Range when there are more."""
    wanted = body or models.Search()
    total, rows = search.search(
        db,
        me.vo,
        parameters=wanted.parameters,
        conditions=[condition.model_dump() for condition in wanted.search],
        sort=[order.model_dump() for order in wanted.sort],
        page=page,
        per_page=per_page,
    )
    first = (page - 1) * per_page
    if not rows and page > 1:
        response.status_code = 416
        response.headers["Content-Range"] = f"jobs */{total}"
    elif len(rows) < total:
        response.status_code = 206
        response.headers["Content-Range"] = f"jobs {first}-{first + len(rows) - 1}/{total}"
    return rows


@router.patch("/heartbeat", right=rights.pilot, response_model=list[models.Command])
def add_heartbeat(db: Db, me: Me, body: dict[models.JobNumber, models.Heartbeat]) -> Any:
    """Note that payloads live; answers what their pilot is to do."""
    commands = []
    for job_id, sent in body.items():
        usage = {name: value for name in NUMBERS if (value := getattr(sent, name)) is not None}
        beat = heartbeat.Beat(sent.Attempt, usage, sent.StandardOutput)
        if not heartbeat.beat(db, job_id, beat, by=me):
            commands.append({"job_id": job_id, "command": "Kill", "arguments": ""})
    return commands


@router.patch("/status", right=rights.pilot, response_model=models.StatusAnswer)
def set_job_statuses(db: Db, me: Me, body: dict[models.JobNumber, models.Updates]) -> Any:
    """Apply what pilots report, in the order of its times; 409 when an attempt is over."""
    done: dict[int, Any] = {}
    failed: dict[int, Any] = {}
    for job_id, updates in body.items():
        reports = [
            _report(update) for _, update in sorted(updates.items(), key=lambda item: _moment(item[0]))
        ]
        try:
            done[job_id] = {"Status": heartbeat.report(db, job_id, reports, by=me)}
        except (NotFound, Conflict) as error:
            # One job alone: the pilot learns it from the status. Several: the others' reports hold.
            if len(body) == 1:
                raise
            failed[job_id] = {"detail": str(error)}
    return {"success": done, "failed": failed}


@router.post("/sandbox", right=rights.submit, response_model=models.Grant)
def initiate_sandbox_upload(db: Db, me: Me, body: models.NewSandbox) -> Any:
    """Announce a file; answers how to upload it, or that it is stored already."""
    grant = metadata.initiate(db, _owner(me), checksum=body.checksum, size=body.size, kind=body.format)
    return {**grant, "location": metadata.location_of(grant["pfn"])}


@router.get("/sandbox", right=rights.read, response_model=models.Download)
def get_sandbox_file(db: Db, me: Me, pfn: Pfn) -> Any:
    """A signed address of one of one's own files."""
    return {"url": metadata.download_url(db, pfn, _owner(me)), "expires_in": settings().url_seconds}


@router.get("/{job_id}", right=rights.read)
def get_job(db: ReadDb, me: Me, job_id: JobId) -> dict[str, Any]:
    """Everything about one job."""
    return search.get(db, job_id, me.vo)


@router.get("/{job_id}/history", right=rights.read)
def get_job_history(db: ReadDb, me: Me, job_id: JobId) -> list[dict[str, Any]]:
    """Every change of the job, oldest first."""
    return search.history(db, job_id, me.vo)


@router.get("/{job_id}/logs", right=rights.read, response_model=models.Log)
def get_job_logs(db: ReadDb, me: Me, job_id: JobId) -> Any:
    """The tail of the job's output, also while it runs."""
    return search.log(db, job_id, me.vo)


@router.get("/{job_id}/why", right=rights.read, response_model=models.Why)
def get_job_why(db: ReadDb, me: Me, job_id: JobId) -> Any:
    """Why the job is where it is, in words."""
    job = search.get(db, job_id, me.vo)
    reasons = explain(db, job_id) or [f"{job['MinorStatus']}: {job['ApplicationStatus']}"]
    return {"job_id": job_id, "status": job["Status"], "reasons": reasons}


@router.post("/{job_id}/kill", right=rights.manage, response_model=models.JobState)
def kill_job(db: Db, me: Me, job_id: JobId) -> Any:
    """Kill a job that has not ended yet."""
    outcome = control.kill(db, job_id, by=me)
    return {"job_id": job_id, "status": search.get(db, job_id, me.vo)["Status"], "outcome": outcome}


def _owner(user: User) -> metadata.Owner:
    return metadata.Owner(user.name, user.group, user.vo)


def _report(sent: models.StatusUpdate) -> heartbeat.Report:
    if sent.Status not in REPORTED:
        raise BadRequest(f"a pilot does not report {sent.Status!r}: it reports {', '.join(sorted(REPORTED))}")
    change = Change(
        Status(sent.Status),
        minor=sent.MinorStatus,
        application=sent.ApplicationStatus,
        source=sent.Source,
        outputs=sent.Outputs,
    )
    return heartbeat.Report(sent.Attempt, change, sent.StandardOutput)


def _moment(stamp: str) -> Any:
    try:
        return moment_of(stamp)
    except ValueError as error:
        raise BadRequest(str(error)) from error
