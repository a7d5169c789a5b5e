"""One job: where it is and why, what happened to it, what it prints and uses, and what to do with it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse

from diracx_api.deps import Db, ReadDb
from diracx_api.models.fields import JobId
from diracx_api.ui import render
from diracx_api.ui.curves import curves
from diracx_api.ui.router import Me, Pages
from diracx_api.ui.words import moment, span
from diracx_tasks.auth import rights
from diracx_tasks.core.errors import Conflict, NotFound
from diracx_tasks.jobs import access, control, listening, read
from diracx_tasks.jobs.reschedule import reschedule_jobs
from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.matching.explain import explain
from diracx_tasks.sandboxes import assigned, metadata

router = Pages("/jobs")
RUNNING_EVERY, WAITING_EVERY = 2, 10
# Above this a page would be slow to read, and to load.
MOST_LOG = 64 * 1024
FACTS = {
    "JobType": "Type",
    "Owner": "Owner",
    "OwnerGroup": "Group",
    "Site": "Site",
    "JobGroup": "Job group",
    "UserPriority": "Priority",
    "RescheduleCounter": "Rescheduled",
}
ASKS = {
    "ram_mb": "memory (MB)",
    "max_ram_mb": "memory at most (MB)",
    "cpu_time": "CPU time (s)",
    "job_type": "type",
}
# DIRAC's JobGroup of a job that is in none.
NOTHING = (None, "", 0, "00000000")
TIMES = {
    "SubmissionTime": "Submitted",
    "StartExecTime": "Started",
    "HeartBeatTime": "Last sign of life",
    "EndExecTime": "Ended",
}
PFN = "SB:SandboxSE|"


@router.get("/{job_id}", right=rights.read)
def show_job(db: ReadDb, request: Request, me: Me, job_id: JobId) -> Response:
    """The page of a job; it renews itself until the job has ended."""
    job = read.get(db, job_id, by=me)
    status = Status(job["Status"])
    log = read.log(db, job_id, by=me)
    if status not in FINAL:
        listening.listen([job_id])
    return render.page(
        request,
        "job.html",
        every=None if status in FINAL else WAITING_EVERY if log["attempt"] is None else RUNNING_EVERY,
        job=job,
        is_final=status in FINAL,
        may_change=access.may_change(job["Owner"], me),
        why=explain(db, job_id, by=me),
        changes=_changes(read.history(db, job_id, by=me)),
        facts=[(label, job[name]) for name, label in FACTS.items() if job.get(name) not in NOTHING],
        times=[(label, job[name]) for name, label in TIMES.items() if job.get(name)],
        log={**log, "text": log["text"][-MOST_LOG:]},
        curves=curves(db, job_id),
    )


@router.get("/{job_id}/details", right=rights.read)
def show_details(db: ReadDb, request: Request, me: Me, job_id: JobId) -> Response:
    """What a job was asked for and what it left: parameters, description, sandboxes, outputs."""
    job = read.get(db, job_id, by=me)
    try:
        description = read.description(db, job_id, by=me)
    except NotFound:
        description = {"jdl": "", "original": ""}
    found = read.parameters_of(db, job_id, by=me)
    return render.page(
        request,
        "job_details.html",
        job=job,
        is_final=Status(job["Status"]) in FINAL,
        parameters=found.parameters.get(job_id, {}),
        is_complete=found.is_complete,
        description=description["jdl"],
        sandboxes=assigned.of_job(db, job_id),
        asks=[
            (ASKS.get(name, name.replace("_", " ")), value)
            for name, value in job["Requirements"].items()
            if value not in (None, "", [])
        ],
    )


@router.get("/{job_id}/sandbox", right=rights.read)
def get_sandbox(db: Db, me: Me, job_id: JobId, pfn: Annotated[str, Query(max_length=512)]) -> Response:
    """On to the signed address of one of the job's sandboxes."""
    access.must_see(db, job_id, by=me)
    if pfn not in {one for kind in assigned.of_job(db, job_id).values() for one in kind}:
        raise NotFound(f"job {job_id} has no sandbox {pfn}")
    owner = metadata.Owner.of(me)
    url = metadata.download_url(db, PFN + pfn, owner, is_admin=rights.ADMIN in me.properties)
    return RedirectResponse(url, 303, render.NO_STORE)


@router.post("/{job_id}/kill", right=rights.manage)
def kill(db: Db, request: Request, me: Me, job_id: JobId) -> Response:
    """Kill a job."""
    control.kill(db, job_id, by=me)
    return _back(request, job_id, "is killed")


@router.post("/{job_id}/reschedule", right=rights.manage)
def reschedule(db: Db, request: Request, me: Me, job_id: JobId) -> Response:
    """Run a job again; Conflict when it may not."""
    refused = reschedule_jobs(db, [job_id], by=me)["failed"].get(job_id)
    if refused:
        raise Conflict(str(refused["detail"]))
    return _back(request, job_id, "runs again")


@router.post("/{job_id}/delete", right=rights.manage)
def delete(db: Db, request: Request, me: Me, job_id: JobId) -> Response:
    """Delete a job, killing it first if it has not ended."""
    control.remove(db, job_id, by=me)
    return _back(request, job_id, "is deleted")


def _back(request: Request, job_id: int, done: str) -> Response:
    return render.onwards(request, f"/ui/jobs/{job_id}", f"Job {job_id} {done}.")


def _changes(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The history, newest first, each change with how long it lasted."""
    times = [moment(change["StatusTime"]) for change in history]
    lasted: list[float | None] = [
        (after - before).total_seconds() if before and after else None for before, after in pairwise(times)
    ]
    rows = zip(history, [*lasted, None], strict=True)
    return [{**change, "lasted": span(seconds)} for change, seconds in rows][::-1]
