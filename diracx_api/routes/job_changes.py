"""What happens to jobs: submission, reports, facts, killing, deleting, running again."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import Header, Query, Response
from sqlalchemy.orm import Session

from diracx_api import together
from diracx_api.deps import LARGE, Db, Me, Router
from diracx_api.models import jobs as models
from diracx_api.models.fields import JobId
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import PILOT, User
from diracx_tasks.core.database import session
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.core.errors import BadRequest, Forbidden
from diracx_tasks.jobs import control, facts, finish, heartbeat, listening, progress, read, submissions
from diracx_tasks.jobs.reschedule import reschedule_jobs as run_again
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.updates import Update

router = Router("jobs", "/api/jobs")
# What a pilot may say of a job that it holds, and of a stated attempt.
TOLD = frozenset(
    {Status.MATCHED, Status.RUNNING, Status.COMPLETING, Status.COMPLETED, Status.DONE, Status.FAILED}
)
REPORTED = frozenset({Status.RUNNING, Status.COMPLETING, Status.DONE, Status.FAILED})
NUMBERS = ("LoadAverage", "MemoryUsed", "Vsize", "AvailableDiskSpace", "CPUConsumed", "WallClockTime")
# A heartbeat that comes so soon after the beginning of an attempt is its first.
NEW_SECONDS = 5.0
Key = Annotated[
    str | None,
    Header(
        max_length=128,
        description="The same key twice is one submission.",
        examples=["0190f3c2-7c1e-7000-8000-0123456789ab"],
    ),
]


@router.post(
    "/jdl", max_body_size=LARGE, right=rights.submit, status_code=201, response_model=list[models.InsertedJob]
)
def submit_jdl_jobs(
    me: Me, body: models.Jdls, idempotency_key: Key = None, x_ms_client_request_id: Key = None
) -> Response:
    """Submit jobs described in JDL: several, or one that may be parametric.

    A request that comes again with the same `Idempotency-Key` (or the official client's
    `x-ms-client-request-id`) is answered as the first time and makes no second job.
    """
    request = submissions.understand(body, by=me, key=idempotency_key or x_ms_client_request_id)
    return _json(together.submit(request), 201)


@router.patch(
    "/status",
    max_body_size=LARGE,
    right=rights.report,
    response_model=models.StatusAnswer,
    responses={404: {"description": "None of the jobs exists."}},
)
def set_job_statuses(
    me: Me,
    body: models.JobUpdates,
    force: Annotated[
        bool, Query(description="Skip DIRAC's state machine: for administrators.", examples=[False])
    ] = False,
) -> Response:
    """Apply what has happened to jobs, in the order of its times; what is late or refused is only recorded.

    A pilot that states its attempt is answered 409 when the attempt is over.
    """
    if force and rights.ADMIN not in me.properties:
        raise Forbidden("Forbidden: only an administrator may force a status")
    if PILOT in me.properties:
        sent = [one for updates in body.values() for one in updates.values()]
        _must_be_a_pilots(sent)
        if any(one.Attempt for one in sent):
            return _json(_reported(body, me))
    asked = {
        job_id: [_update(job_id, moment, one) for moment, one in updates.items()]
        for job_id, updates in body.items()
    }
    done = together.update(asked, me, force=force)
    answer = {
        "success": done.success,
        "failed": {job_id: {"detail": "Not found"} for job_id in done.missing},
    }
    return _json(answer) if done.success or not asked else _json({"detail": answer}, 404)


@router.patch("/heartbeat", max_body_size=LARGE, right=rights.report, response_model=list[models.Command])
def add_heartbeat(me: Me, body: models.Heartbeats) -> Response:
    """Note that payloads live; answers what their pilot is to do, again and again until it is done."""
    asked = {
        job_id: heartbeat.Beat(
            sent.Attempt,
            {name: value for name in NUMBERS if (value := getattr(sent, name)) is not None},
            sent.StandardOutput,
        )
        for job_id, sent in body.items()
    }
    orders = [(job_id, "Kill") for job_id in (together.beat(asked, me) if asked else [])]
    # Only our own pilots state an attempt: DIRAC's clients know no order but Kill.
    ours = [job_id for job_id, sent in body.items() if sent.Attempt is not None]
    new = [job_id for job_id in ours if (body[job_id].WallClockTime or NEW_SECONDS) < NEW_SECONDS]
    orders += [(job_id, "Follow") for job_id in listening.listened(ours, new)]
    return _json([{"job_id": job_id, "command": order, "arguments": ""} for job_id, order in orders])


@router.patch("/metadata", right=rights.report, status_code=204)
def patch_metadata(db: Db, me: Me, body: models.Facts) -> None:
    """Note the site of jobs, and parameters of any name."""
    facts.note(db, body, by=me)


@router.post("/reschedule", right=rights.report, response_model=models.Rescheduled)
def reschedule_jobs(
    db: Db,
    me: Me,
    body: models.JobIds,
    reset_jobs: Annotated[
        bool, Query(description="Begin to count reschedulings anew.", examples=[False])
    ] = False,
) -> Response:
    """Run jobs again from what was submitted; what still runs of them is stopped."""
    found = run_again(db, body.job_ids, by=me, reset=reset_jobs)
    # What has failed for good is stored although the answer is a refusal.
    return _json(found) if found["success"] else _json({"detail": found}, 400)


@router.post("/{job_id}/kill", right=rights.manage, response_model=models.JobState)
def kill_job(db: Db, me: Me, job_id: JobId) -> Any:
    """Kill a job that has not ended yet."""
    outcome = control.kill(db, job_id, by=me)
    return {"job_id": job_id, "status": read.get(db, job_id, by=me)["Status"], "outcome": outcome}


@router.post("/{job_id}/delete", right=rights.manage, response_model=models.JobState)
def delete_job(db: Db, me: Me, job_id: JobId) -> Any:
    """Delete a job, killing it first if it has not ended."""
    outcome = control.remove(db, job_id, by=me)
    return {"job_id": job_id, "status": read.get(db, job_id, by=me)["Status"], "outcome": outcome}


def _json(answer: Any, status: int = 200) -> Response:
    return Response(
        orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS), status, media_type="application/json"
    )


def _in_utc(job_id: int, moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise BadRequest(f"Timestamp {moment.isoformat()} is not timezone aware for job {job_id}")
    if (offset := moment.utcoffset()) != timedelta(0):
        words = f"Datetime must be in UTC, got offset {offset}"
        raise BadRequest(f"Timestamp {moment.isoformat()} of job {job_id}: {words}")
    return moment.replace(tzinfo=None)


def _update(job_id: int, moment: datetime, sent: models.StatusUpdate) -> Update:
    return Update(
        _in_utc(job_id, moment),
        Status(sent.Status.value) if sent.Status else None,
        sent.MinorStatus or "",
        sent.ApplicationStatus or "",
        sent.Source,
    )


def _reported(body: Mapping[int, Mapping[Any, models.StatusUpdate]], me: User) -> dict[str, Any]:
    """What a pilot says of its own attempts; one job alone is answered 409 when its attempt is over."""
    reports = {}
    for job_id, updates in body.items():
        timely = {_in_utc(job_id, moment): one for moment, one in updates.items()}
        reports[job_id] = [_report(one) for _, one in sorted(timely.items())]
    with session() as db:
        return patiently(db, lambda: _told(db, reports, me))


def _told(db: Session, reports: Mapping[int, list[heartbeat.Report]], me: User) -> dict[str, Any]:
    if len(reports) == 1:
        # One job alone: the pilot learns from the HTTP status that its attempt is over.
        ((job_id, news),) = reports.items()
        return {"success": {job_id: {"Status": heartbeat.report(db, job_id, news, by=me)}}, "failed": {}}
    ends = {job_id: news[-1] for job_id, news in reports.items() if news[-1].change.to in finish.ENDS}
    going_on = {job_id: news for job_id, news in reports.items() if job_id not in ends}
    done, refused = finish.finish(db, ends, by=me) if ends else ({}, {})
    if going_on:
        others, also_refused = progress.progress(db, going_on, by=me)
        done, refused = done | others, refused | also_refused
    return {
        "success": {job_id: {"Status": status} for job_id, status in done.items()},
        "failed": {job_id: {"detail": words} for job_id, words in refused.items()},
    }


def _must_be_a_pilots(sent: list[models.StatusUpdate]) -> None:
    for one in sent:
        if one.Status and one.Status.value not in TOLD:
            words = f"it reports {', '.join(sorted(TOLD))}"
            raise BadRequest(f"a pilot does not report {one.Status.value!r}: {words}")


def _report(sent: models.StatusUpdate) -> heartbeat.Report:
    status = sent.Status.value if sent.Status else None
    if status not in REPORTED or sent.Attempt is None:
        raise BadRequest(f"an attempt is {', '.join(sorted(REPORTED))}: {status!r} is none of these")
    change = Change(
        Status(status),
        minor=sent.MinorStatus or "",
        application=sent.ApplicationStatus or "",
        source=sent.Source,
        outputs=sent.Outputs,
        is_temporary=sent.Temporary,
    )
    use = sent.Use.model_dump() if sent.Use else None
    return heartbeat.Report(sent.Attempt, change, sent.StandardOutput, use)
