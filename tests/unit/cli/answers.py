"""What the server says of workflows and jobs, for tests to change, and files to submit."""

from pathlib import Path
from typing import Any

TIME = "2026-11-23T10:00:00.123456Z"
LATER = "2026-11-23T10:01:30.123456Z"
Row = dict[str, Any]
GRAPH: Row = {
    "nodes": [
        {"path": "simulate", "name": "simulate", "kind": "tool", "parent": "", "scatter": True}
        | {"state": "Running", "done": 7, "total": 8, "reused": 2},
        {"path": "end", "name": "end", "kind": "workflow", "parent": "", "scatter": False}
        | {"state": "Waiting", "done": 0, "total": 0, "reused": 0},
        {"path": "end/plot", "name": 'plot "x"', "kind": "tool", "parent": "end", "scatter": False}
        | {"state": "Waiting", "done": 0, "total": 0, "reused": 0},
    ],
    "edges": [{"from": "simulate", "to": "end"}],
}


def a_workflow(number: int = 12, status: str = "Running", **more: Any) -> Row:
    """A workflow in a list."""
    return {
        "workflow_id": number,
        "name": "pi",
        "status": status,
        "owner": "alice",
        "group": "user",
        "vo": "lhcb",
        "submitted_at": TIME,
        "ended_at": LATER if status in ("Done", "Failed", "Killed") else None,
        "jobs": {"total": 9, "waiting": 1, "running": 1, "done": 5, "skipped": 1, "failed": 1, "killed": 0}
        | {"reused": 2},
        **more,
    }


def a_step(path: str = "simulate", total: int = 8, *, state: str = "", **counts: int) -> Row:
    """A step of a workflow with its instances by state; its own is that of the first."""
    name = path.rpartition("/")[2]
    return {
        "path": path,
        "name": name,
        "kind": "tool",
        "scatter": total > 1,
        "state": state or next(iter(counts), "Waiting"),
        "total": total,
        "counts": counts,
        "reused": 0,
    }


def a_detail(status: str = "Running", *steps: Row, **more: Any) -> Row:
    """A workflow with its steps."""
    found = a_workflow(status=status)
    del found["jobs"]
    return {**found, "reason": "", "bundle": "0" * 64, "steps": list(steps), "outputs": None, **more}


def an_event(number: int, status: str, path: str = "", **more: Any) -> Row:
    """Something that happened."""
    return {
        "event_id": number,
        "at": TIME,
        "path": path,
        "slot": None,
        "status": status,
        "message": "",
        "job_id": None,
        **more,
    }


def a_job(number: int = 7, status: str = "Running", **more: Any) -> Row:
    """A job with DIRAC's columns."""
    return {
        "JobID": number,
        "Status": status,
        "MinorStatus": "Application",
        "ApplicationStatus": "Unknown",
        "JobName": "simulate",
        "JobGroup": "00000012",
        "Owner": "alice",
        "OwnerGroup": "user",
        "VO": "lhcb",
        "Site": "here",
        "SubmissionTime": TIME,
        "StartExecTime": TIME,
        "EndExecTime": None,
        "HeartBeatTime": TIME,
        "RescheduleCounter": 0,
        **more,
    }


def a_diagnostic(file: str, line: int, column: int, message: str, **more: Any) -> Row:
    """A complaint about a document."""
    place = {"file": file, "line": line, "column": column}
    return {"severity": "error", **place, "message": message, "advice": "Correct it.", **more}


def written(**files: str) -> None:
    """Files below the working folder; `__` in a name is a slash, `_cwl` its end `.cwl`."""
    for name, text in files.items():
        path = Path(name.replace("__", "/").replace("_cwl", ".cwl"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
