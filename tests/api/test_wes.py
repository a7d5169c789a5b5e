"""GA4GH WES 1.1: the answers, against the standard's own schemas."""

import base64
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from diracx_api.wes.prefix import PREFIX
from diracx_tasks.core.database import now, session
from diracx_tasks.core.packed import packed
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import heartbeat
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.jobs.tables import Job
from diracx_tasks.sandboxes import metadata
from diracx_tasks.sandboxes.store import store
from diracx_tasks.workflows import collections
from diracx_tasks.workflows.states import Status
from tests.api.caller import Api
from tests.api.conftest import application
from tests.api.wes import STANDARD, Wes
from tests.builders import HEX, TOOL, a_job, a_pilot, a_user, a_workflow, bearer

LOCATION = f"sandbox:/S3/local/lhcb/user/alice/sha256:{HEX}.file"
SYSTEM = "simulate: Uploading Output Data: result.txt: the store answered: 500 (job 17)"


@pytest.fixture
def wes(api: Api) -> Wes:
    """The service."""
    return Wes(api)


def a_run(db: Session, status: Status = Status.RUNNING, reason: str = "", **stated: Any) -> int:
    """A workflow in a status."""
    found = a_workflow(db, **stated)
    found.status, found.reason = status, reason
    found.ended_at = now() if status in (Status.DONE, Status.FAILED, Status.KILLED) else None
    db.commit()
    return found.workflow_id


def a_task(db: Session, run: int, status: JobStatus = JobStatus.WAITING, **stated: Any) -> int:
    """A job of a workflow."""
    job_id = a_job(db, status, job_group=f"{run:08d}", **stated)
    db.commit()
    return job_id


@pytest.mark.parametrize("name", STANDARD["operations"])
def test_every_operation_of_the_standard_is_described(name: str) -> None:
    wanted = STANDARD["operations"][name]
    found = application().openapi()["paths"][f"{PREFIX}{wanted['path']}"][wanted["method"]]
    query = {one["name"] for one in found.get("parameters", []) if one["in"] == "query"}
    assert query == set(wanted["query"])
    if wanted["fields"]:
        (content,) = found["requestBody"]["content"].values()
        assert set(content["schema"]["properties"]) == set(wanted["fields"])


def test_anybody_may_ask_what_the_service_is(wes: Wes, db: Session) -> None:
    for status, reason in ((Status.RECEIVED, ""), (Status.FAILED, "exit code 1"), (Status.FAILED, SYSTEM)):
        a_run(db, status, reason, by=a_user(vo="belle"))
    answer = wes.ask("GET", "/service-info", by=None)
    info = answer.json()
    assert info == wes.get("GetServiceInfo", "/service-info")
    assert info["system_state_counts"] == {"QUEUED": 1, "EXECUTOR_ERROR": 1, "SYSTEM_ERROR": 1}
    assert (info["type"]["artifact"], info["supported_wes_versions"]) == ("wes", ["1.1.0"])
    told = {one["name"]: one["default_value"] for one in info["default_workflow_engine_parameters"]}
    assert told == {"name": "", "on_error": "stop", "reuse": "true", "retries": "2"}
    instructions = wes.ask("GET", info["auth_instructions_url"].partition(PREFIX)[2], by=None)
    assert "dirac login" in instructions.text
    assert instructions.headers["Content-Type"].startswith("text/plain")


def test_pages_of_runs_lead_from_the_newest_to_the_oldest(wes: Wes, db: Session) -> None:
    made = [str(a_run(db)) for _ in range(5)]
    a_run(db, by=a_user(vo="belle"))
    seen, token = list[str](), ""
    while token or not seen:
        page = wes.get("ListRuns", "/runs", page_size=2, page_token=token)
        seen += [one["run_id"] for one in page["runs"]]
        token = page["next_page_token"]
        assert len(page["runs"]) <= 2 and len(seen) <= 5
    assert seen == made[::-1]
    assert len(wes.get("ListRuns", "/runs", page_size=10**6)["runs"]) == 5


def test_a_token_of_another_list_is_refused(wes: Wes, db: Session) -> None:
    run = a_run(db)
    tasks = [a_task(db, run) for _ in range(2)]
    of_runs = wes.get("ListRuns", "/runs", page_size=1)["next_page_token"]
    of_tasks = wes.get("ListTasks", f"/runs/{run}/tasks", page_size=1)["next_page_token"]
    assert tasks and of_runs and of_tasks
    for path, token in (
        ("/runs", of_tasks),
        (f"/runs/{run}/tasks", of_runs),
        ("/runs", "ÿ"),
        ("/runs", "eA=="),
    ):
        answer = wes.ask("GET", path, params={"page_token": token})
        assert answer.status_code == 400, (path, token)
    assert wes.ask("GET", "/runs", params={"page_size": 0}).status_code == 422


def test_tags_and_times_are_in_the_list(wes: Wes, db: Session) -> None:
    run = wes.run(tags={"sample": "17"})
    (one,) = wes.get("ListRuns", "/runs")["runs"]
    assert (one["run_id"], one["state"], one["tags"]) == (run, "QUEUED", {"sample": "17"})
    datetime.strptime(one["start_time"], "%Y-%m-%dT%H:%M:%SZ")
    assert "end_time" not in one


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        ((Status.RECEIVED, ""), "QUEUED", None),
        ((Status.RUNNING, ""), "INITIALIZING", None),
        ((Status.KILLING, "killed by alice"), "CANCELING", None),
        ((Status.DONE, ""), "COMPLETE", 0),
        ((Status.FAILED, "simulate: exit code 3 (job 17)"), "EXECUTOR_ERROR", 1),
        ((Status.FAILED, SYSTEM), "SYSTEM_ERROR", 1),
        ((Status.KILLED, "killed by alice"), "CANCELED", 1),
    ],
)
def test_a_status_is_one_of_the_standards_states(
    wes: Wes, db: Session, status: tuple[Status, str], state: str, code: int | None
) -> None:
    run, reason = a_run(db, *status), status[1]
    assert wes.get("GetRunStatus", f"/runs/{run}/status") == {"run_id": str(run), "state": state}
    log = wes.get("GetRunLog", f"/runs/{run}")
    assert (log["state"], log["run_log"].get("exit_code")) == (state, code)
    assert log["run_log"]["system_logs"] == ([reason] if reason else [])
    assert ("end_time" in log["run_log"]) == (code is not None)
    assert wes.get("ListRuns", "/runs")["runs"][0]["state"] == state


@pytest.mark.parametrize("status", [JobStatus.MATCHED, JobStatus.RUNNING, JobStatus.DONE])
def test_a_run_is_running_once_a_pilot_has_taken_a_job(wes: Wes, db: Session, status: JobStatus) -> None:
    run = a_run(db)
    a_task(db, run)
    assert wes.get("GetRunStatus", f"/runs/{run}/status")["state"] == "INITIALIZING"
    a_task(db, run, status)
    assert wes.get("GetRunStatus", f"/runs/{run}/status")["state"] == "RUNNING"


def test_a_workflow_that_came_another_way_is_a_run_as_well(wes: Wes) -> None:
    run = wes.api.submit(TOOL.replace("v1.2", "v1.0")).json()["workflow_id"]
    request = wes.get("GetRunLog", f"/runs/{run}")["request"]
    assert (request["workflow_type_version"], request["workflow_url"]) == ("v1.0", "workflow.cwl")


def test_jobs_are_the_tasks_of_a_run_page_by_page(wes: Wes, db: Session) -> None:
    run = a_run(db)
    made = [str(a_task(db, run, name="simulate")) for _ in range(5)]
    a_task(db, a_run(db))
    log = wes.get("GetRunLog", f"/runs/{run}")
    assert [one["id"] for one in log["task_logs"]] == made
    path, seen, token = log["task_logs_url"].partition(PREFIX)[2], list[str](), ""
    while token or not seen:
        page = wes.get("ListTasks", path, page_size=2, page_token=token)
        seen += [one["id"] for one in page["task_logs"]]
        token = page["next_page_token"]
        assert len(page["task_logs"]) <= 2 and len(seen) <= 5
    assert seen == made


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (JobStatus.WAITING, "", None),
        (JobStatus.RUNNING, "", None),
        (JobStatus.DONE, "", 0),
        (JobStatus.FAILED, "exit code 33", 33),
        (JobStatus.FAILED, "ended by signal 9", 137),
        (JobStatus.FAILED, "the output is not there", None),
    ],
)
def test_a_task_has_its_times_and_exit_code(
    wes: Wes, db: Session, status: JobStatus, words: str, code: int | None
) -> None:
    run = a_run(db)
    job_id = a_task(db, run, status, name="simulate")
    db.get_one(Job, job_id).application_status = words
    db.commit()
    task = wes.get("GetTask", f"/runs/{run}/tasks/{job_id}")
    (listed,) = wes.get("ListTasks", f"/runs/{run}/tasks")["task_logs"]
    assert {**task, "system_logs": []} == {**listed, "system_logs": []}
    assert (task["id"], task["name"], task.get("exit_code")) == (str(job_id), "simulate", code)
    assert ("start_time" in task) == (status is not JobStatus.WAITING)
    assert ("end_time" in task) == (status in (JobStatus.DONE, JobStatus.FAILED))
    assert words in listed["system_logs"][0] and status in listed["system_logs"][0]
    assert ("attempt 1 at LCG.CERN.ch" in task["system_logs"][0]) == (status is not JobStatus.WAITING)


def test_what_a_task_printed_is_read_with_the_same_token(wes: Wes, db: Session) -> None:
    run = a_run(db)
    job_id = a_task(db, run, JobStatus.RUNNING)
    heartbeat.keep(db, job_id, heartbeat.Beat(1, log="event 1000\n"))
    db.commit()
    task = wes.get("GetTask", f"/runs/{run}/tasks/{job_id}")
    for address in (task["stdout"], task["stderr"]):
        assert address.startswith(settings().url)
        answer = wes.ask("GET", address.partition(PREFIX)[2])
        assert answer.text == "event 1000\n"
        assert wes.ask("GET", address.partition(PREFIX)[2], by=a_user(vo="belle")).status_code == 404


def test_a_job_is_no_task_of_another_run(wes: Wes, db: Session) -> None:
    run, other = a_run(db), a_run(db)
    job_id = a_task(db, other)
    for path in (f"/runs/{run}/tasks/{job_id}", f"/runs/{run}/tasks/{job_id}/log", f"/runs/{run}/tasks/4711"):
        assert wes.ask("GET", path).status_code == 404
    assert wes.ask("GET", f"/runs/{run}/tasks/first").status_code == 422


def test_outputs_have_addresses_that_lead_to_their_files(wes: Wes, db: Session) -> None:
    owner = metadata.Owner("alice", "user", "lhcb")
    with session() as other:
        grant = metadata.initiate(other, owner, checksum=HEX, size=3)
    content = {"file": ("file", b"hey")}
    form = {"data": grant["fields"], "files": content}
    assert wes.api.ask("POST", "/api/sandboxes/files", by=None, **form).is_success
    found = a_workflow(db)
    file = {"class": "File", "basename": "hey you.txt", "location": LOCATION}
    tree = {"class": "Directory", "basename": "all", "listing": [file]}
    found.status, found.outputs = (
        Status.DONE,
        packed({"pi": 3.14, "files": [file], "tree": tree, "none": None}),
    )
    db.commit()
    outputs = wes.get("GetRunLog", f"/runs/{found.workflow_id}")["outputs"]
    assert (outputs["pi"], outputs["none"], outputs["files"][0]["location"]) == (3.14, None, LOCATION)
    assert outputs["tree"]["listing"] == outputs["files"]
    address = outputs["files"][0]["url"].partition(PREFIX)[2]
    assert address.partition("?")[0] == f"/runs/{found.workflow_id}/files/hey%20you.txt"
    assert wes.ask("GET", address).content == b"hey"
    assert wes.ask("GET", address, by=a_user("bob")).status_code == 403
    assert wes.ask("GET", address, by=a_user(vo="belle")).status_code == 404
    assert wes.ask("GET", f"/runs/{found.workflow_id}/stdout").json() == outputs
    assert store().has(metadata.key_of(metadata.plain(LOCATION)))


def test_long_arrays_of_the_outputs_are_told_as_a_whole_unless_they_are_too_long(
    wes: Wes, db: Session
) -> None:
    found = a_workflow(db)
    run, numbers = found.workflow_id, list(range(2 * collections.LONG))
    found.outputs = packed(collections.put_away(db, run, {"numbers": numbers}))
    db.commit()
    assert wes.get("GetRunLog", f"/runs/{run}")["outputs"] == {"numbers": numbers}
    reference = {"class": "diracx:Array", "of": "c1", "length": collections.MOST + 1}
    found.outputs = packed({"numbers": reference})
    db.commit()
    assert wes.get("GetRunLog", f"/runs/{run}")["outputs"] == {"numbers": reference}
    assert wes.ask("GET", f"/runs/{run}/stdout").status_code == 413


def test_the_runs_log_tells_what_happened_line_by_line(wes: Wes) -> None:
    run = wes.run()
    wes.ask("POST", f"/runs/{run}/cancel")
    address = wes.get("GetRunLog", f"/runs/{run}")["run_log"]["stderr"]
    lines = wes.ask("GET", address.partition(PREFIX)[2]).text.splitlines()
    assert [line.partition(" ")[2] for line in lines] == [
        "workflow Received: submitted by alice",
        "workflow Killing: killed by alice",
    ]


def test_a_run_is_cancelled_once_by_its_owner(wes: Wes, db: Session) -> None:
    run = wes.run()
    assert wes.ask("POST", f"/runs/{run}/cancel", by=a_user("bob")).status_code == 403
    assert wes.ask("POST", f"/runs/{run}/cancel", by=a_user(vo="belle")).status_code == 404
    for _ in range(2):
        assert wes.ask("POST", f"/runs/{run}/cancel").json() == {"run_id": run}
    assert wes.get("GetRunStatus", f"/runs/{run}/status")["state"] == "CANCELING"
    ended = wes.ask("POST", f"/runs/{a_run(db, Status.DONE)}/cancel")
    assert (ended.status_code, ended.json()["msg"]) == (409, "workflow 2 is Done: it cannot become Killed")


def test_errors_are_the_standards_below_the_prefix_and_ours_elsewhere(wes: Wes, db: Session) -> None:
    run = a_run(db, by=a_user(vo="belle"))
    for by, method, path, status, words in (
        (None, "GET", "/runs", 401, "Authorization header is missing"),
        (a_pilot(), "GET", "/runs", 403, "Forbidden: this needs a normal user or administrator of the VO"),
        (a_user(), "GET", f"/runs/{run}", 404, f"there is no workflow {run} in lhcb"),
        (a_user(), "GET", "/runs/x", 422, "path.run_id: Input should be a valid integer"),
        (a_user(), "GET", "/nothing", 404, "Not Found"),
        (a_user(), "DELETE", "/runs", 405, "Method Not Allowed"),
    ):
        answer = wes.ask(method, path, by=by)
        assert (answer.status_code, words in answer.json()["msg"]) == (status, True), answer.text
        assert answer.headers["Content-Length"] == str(len(answer.content))
    assert wes.ask("GET", "/runs", by=None).headers["WWW-Authenticate"] == "Bearer"
    assert wes.api.get(f"/api/workflows/{run}").json() == {"detail": f"there is no workflow {run} in lhcb"}


def test_a_body_that_is_too_large_is_refused_in_the_standards_words(wes: Wes) -> None:
    answer = wes.submit({"workflow.cwl": "#" * (33 << 20)})
    assert answer.status_code == 413


def test_a_token_may_come_as_a_password_here_and_only_here(wes: Wes) -> None:
    token = bearer(a_user())["Authorization"].partition(" ")[2]
    for words in (f"token:{token}", f"{token}:", f":{token}"):
        basic = {"Authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}
        assert wes.ask("GET", "/runs", by=None, headers=basic).status_code == 200
        assert wes.api.get("/api/workflows", by=None, headers=basic).status_code == 400
    for wrong, status in (("Basic x", 400), ("Basic eDp5", 401), ("Basic ", 400)):
        assert wes.ask("GET", "/runs", by=None, headers={"Authorization": wrong}).status_code == status
