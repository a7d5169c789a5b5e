"""Workflows and jobs as the runs and tasks of GA4GH WES 1.1."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from sqlalchemy.orm import Session

from diracx_api.models.wes import WesState
from diracx_api.wes.asked import REQUEST
from diracx_api.wes.prefix import PREFIX
from diracx_tasks.auth.tokens import User
from diracx_tasks.core import search as core
from diracx_tasks.core.database import utc
from diracx_tasks.core.errors import NotFound, TooLarge
from diracx_tasks.core.packed import unpacked
from diracx_tasks.core.settings import settings
from diracx_tasks.cwl.values import FILES
from diracx_tasks.jobs import read
from diracx_tasks.jobs import search as jobs
from diracx_tasks.sandboxes import metadata
from diracx_tasks.workflows import access, collections, events, runs, search
from diracx_tasks.workflows.states import Status

STATES = {
    Status.RECEIVED: WesState.QUEUED,
    Status.RUNNING: WesState.RUNNING,
    Status.KILLING: WesState.CANCELING,
    Status.DONE: WesState.COMPLETE,
    Status.FAILED: WesState.EXECUTOR_ERROR,
    Status.KILLED: WesState.CANCELED,
}
ENDED = (WesState.COMPLETE, WesState.EXECUTOR_ERROR, WesState.SYSTEM_ERROR, WesState.CANCELED)
# So many tasks are told with their run, for clients of WES 1.0.
FEW = 100
COLUMNS = [
    "JobID",
    "JobName",
    "Status",
    "MinorStatus",
    "ApplicationStatus",
    "Site",
    "StartExecTime",
    "EndExecTime",
]
EXITED = re.compile(r"exit code (\d+)")
ENDED_BY = re.compile(r"ended by signal (\d+)")
EVENTS = 1000


def state(db: Session, workflow: Any, *, by: User) -> WesState:
    """A workflow's state; one whose jobs all wait for pilots is initializing."""
    found = STATES[Status(workflow.status)]
    if found is WesState.RUNNING and not runs.has_begun(db, workflow, by=by):
        return WesState.INITIALIZING
    if found is WesState.EXECUTOR_ERROR and runs.is_of_the_system(workflow):
        return WesState.SYSTEM_ERROR
    return found


def summary(db: Session, workflow: Any, *, by: User) -> dict[str, Any]:
    """A run in a list."""
    return {
        "run_id": str(workflow.workflow_id),
        "state": state(db, workflow, by=by),
        "start_time": moment(utc(workflow.submitted_at)),
        "end_time": moment(utc(workflow.ended_at)),
        "tags": tags(workflow),
    }


def run_log(db: Session, workflow: Any, *, by: User) -> dict[str, Any]:
    """Everything about a run."""
    found, here = state(db, workflow, by=by), address(workflow.workflow_id)
    few, more = tasks(db, workflow, by=by, size=FEW, token="")
    return {
        "run_id": str(workflow.workflow_id),
        "state": found,
        "request": _request(db, workflow),
        "run_log": {
            "name": workflow.name,
            "start_time": moment(utc(workflow.submitted_at)),
            "end_time": moment(utc(workflow.ended_at)),
            "stdout": f"{here}/stdout",
            "stderr": f"{here}/stderr",
            "exit_code": {WesState.COMPLETE: 0}.get(found, 1) if found in ENDED else None,
            "system_logs": [told] if (told := access.reason(workflow, by)) else [],
        },
        "task_logs_url": f"{here}/tasks",
        "task_logs": None if more else few,
        "outputs": _told_outputs(db, workflow),
    }


def outputs(db: Session, workflow: Any) -> dict[str, Any]:
    """The output object, empty until there is one; a stored file has a `url` beside its `location`.

    Raises TooLarge for arrays of more than collections.MOST elements together.
    """
    stored = unpacked(workflow.outputs) if workflow.outputs else {}
    whole = collections.whole(db, workflow.workflow_id, stored)
    found: dict[str, Any] = _with_urls(whole, workflow.workflow_id)
    return found


def _told_outputs(db: Session, workflow: Any) -> dict[str, Any]:
    """The same, but with what stands for an array where an output is too long to be told."""

    def told(value: Any) -> Any:
        try:
            return collections.whole(db, workflow.workflow_id, value, search.SHOWN)
        except TooLarge:
            return value

    stored = unpacked(workflow.outputs) if workflow.outputs else {}
    return {name: _with_urls(told(value), workflow.workflow_id) for name, value in stored.items()}


def tasks(db: Session, workflow: Any, *, by: User, size: int, token: str) -> tuple[list[dict[str, Any]], str]:
    """A page of a workflow's jobs, and the token of the next one; BadRequest for a token of another kind."""
    cursor = token or runs.BEGINNING
    query = core.Query(COLUMNS, [runs.in_group(workflow)], per_page=size, cursor=cursor)
    page = jobs.search(db, query, by=by)
    rows = (orjson.loads(row) for row in page.rows)
    return [_task(row, workflow.workflow_id) for row in rows], page.next_cursor or ""


def task(db: Session, workflow: Any, task_id: int, *, by: User) -> dict[str, Any]:
    """One job of a workflow, with its attempts; NotFound for a job of another one."""
    row = read.get(db, task_id, by=by)
    if row["JobGroup"] != f"{workflow.workflow_id:08d}":
        raise NotFound(f"job {task_id} is not of workflow {workflow.workflow_id}")
    found = _task(row, workflow.workflow_id)
    attempts = [_attempt(one) for one in row["Attempts"]]
    return {**found, "system_logs": [*attempts, *found["system_logs"]]}


def story(db: Session, workflow: Any, *, by: User) -> str:
    """What happened to a workflow, a line for each event; only the first EVENTS of a wide one."""
    workflow_id: int = workflow.workflow_id
    found = events.since(db, workflow_id, 0, EVENTS + 1, sees_jobs=access.sees_jobs(workflow, by))
    lines = [_line(one) for one in found[:EVENTS]]
    more = [f"... and more: GET /api/workflows/{workflow_id}/events\n"] if found[EVENTS:] else []
    return "".join([*lines, *more])


def tags(workflow: Any) -> dict[str, str]:
    """The user's own."""
    return {name: value for name, value in runs.tags_of(workflow).items() if isinstance(value, str)}


def moment(text: str | None) -> str | None:
    """A time as WES has it: `2026-11-23T10:00:00Z`."""
    return f"{datetime.fromisoformat(text):%Y-%m-%dT%H:%M:%SZ}" if text else None


def address(workflow_id: int) -> str:
    """Where a run is, as clients reach it."""
    return f"{settings().url.rstrip('/')}{PREFIX}/runs/{workflow_id}"


def _request(db: Session, workflow: Any) -> dict[str, Any]:
    """As it was sent; of a workflow that came another way, what there would have been to send."""
    plain = {
        "workflow_type": "CWL",
        "workflow_type_version": runs.version_of(db, workflow),
        "workflow_url": workflow.entrypoint,
        "tags": tags(workflow),
    }
    return runs.tags_of(workflow).get(REQUEST) or plain


def _task(row: dict[str, Any], workflow_id: int) -> dict[str, Any]:
    here = f"{address(workflow_id)}/tasks/{row['JobID']}/log"
    told = [row[name] for name in ("Status", "MinorStatus", "ApplicationStatus")]
    words = ": ".join(one for one in told if one not in ("", "Unknown"))
    return {
        "id": str(row["JobID"]),
        "name": row["JobName"],
        "start_time": moment(row["StartExecTime"]),
        "end_time": moment(row["EndExecTime"]),
        # A pilot keeps one text: what a tool prints and what its runner says of it.
        "stdout": here,
        "stderr": here,
        "exit_code": _exit_code(row),
        "system_logs": [words if row["Site"] == "ANY" else f"{words} ({row['Site']})"],
    }


def _attempt(one: dict[str, Any]) -> str:
    words = f"attempt {one['attempt']} at {one['site']}, pilot {one['pilot']}: {one['status']}"
    return f"{words}: {one['reason']}" if one["reason"] else words


def _exit_code(row: dict[str, Any]) -> int | None:
    """As the pilot has reported it; a signal's as shells have it."""
    if row["Status"] == "Done":
        return 0
    words = row["ApplicationStatus"]
    if row["Status"] != "Failed":
        return None
    if by := ENDED_BY.search(words):
        return 128 + int(by[1])
    exited = EXITED.search(words)
    return int(exited[1]) if exited else None


def _line(event: Any) -> str:
    where = (event.path or "workflow") + (f"[{event.slot}]" if event.slot is not None else "")
    job = f" (job {event.job_id})" if event.job_id else ""
    words = f": {event.message}" if event.message else ""
    return f"{moment(utc(event.at))} {where} {event.status}{job}{words}\n"


def _with_urls(value: Any, workflow_id: int) -> Any:
    if isinstance(value, list):
        return [_with_urls(one, workflow_id) for one in value]
    if not isinstance(value, dict):
        return value
    found = {name: _with_urls(one, workflow_id) for name, one in value.items()}
    location = value.get("location")
    if value.get("class") in FILES and isinstance(location, str) and metadata.is_stored(location):
        name = quote(str(value.get("basename", "file")), safe="")
        found["url"] = f"{address(workflow_id)}/files/{name}?{urlencode({'pfn': location})}"
    return found
