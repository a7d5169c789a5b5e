"""GA4GH WES 1.1: what is answered about runs, against the standard's own schemas."""

from datetime import datetime

import pytest
from sqlalchemy.orm import Session

from diracx_api.wes.prefix import PREFIX
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.workflows.states import Status
from tests.api.conftest import application
from tests.api.wes import STANDARD, Wes, a_run, a_task, wes
from tests.builders import TOOL, a_user

__all__ = ["wes"]

NO_DATA = "InputData optimizer: Input Data Not Available: 1 of 1 files (/lhcb/x) is not there (job 17)"
SYSTEM = "simulate: Uploading Output Data: result.txt: the store answered: 500 (job 17)"


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
        ((Status.FAILED, NO_DATA), "SYSTEM_ERROR", 1),
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
