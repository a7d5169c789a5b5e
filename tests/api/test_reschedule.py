"""Running jobs again: from every status, so often, described anew, and the old attempt fenced."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, session
from diracx_tasks.jobs import optimize
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job, JobJDL
from tests.api.caller import Api
from tests.api.changes import STATUS, a_stored_job, at, events, matched, status_of, the, told
from tests.builders import HEX, Installation, a_pilot, a_user, an_administrator, environment

PATH = "/api/jobs/reschedule"
ALL = list(Status)
NEVER = (Status.SUBMITTING, Status.DELETED)
JDL = 'Executable = "echo"; Arguments = "%j"; JobName = "first"; InputData = {"/lhcb/a", "/lhcb/b"};'
CONFIGURATION = """\
Registry:
  lhcb:
    IdP: {{URL: "https://idp.example.org", ClientID: x}}
    DefaultGroup: user
    Users: {{}}
    Groups: {{user: {{Properties: [NormalUser], Users: []}}}}
Operations:
  Defaults:
    JobDescription: {{MaxPriority: {priority}, MaxInputData: {files}}}
    Services: {{JobScheduling: {{MaxRescheduling: {most}}}}}
"""


@contextmanager
def configured(
    installation: Installation, *, most: int = 3, priority: int = 10, files: int = 100
) -> Iterator[None]:
    """A configuration that says how often, how high a priority may be, and how many files may be read."""
    file = installation.folder / "configuration.yml"
    file.write_text(CONFIGURATION.format(most=most, priority=priority, files=files))
    stated = {
        "DIRACX_DATA": str(installation.folder),
        "DIRACX_REDIS_URL": installation.redis.url,
        "DIRACX_URL": "http://testserver",
        "DIRACX_CONFIG_BACKEND_URL": str(file),
    }
    with environment(**stated):
        yield


def again(api: Api, *job_ids: int, reset: bool = False, **options: Any) -> Any:
    query = {"reset_jobs": "true"} if reset else {}
    return api.post(PATH, {"job_ids": list(job_ids)}, params=query, **options)


def a_jdl_job(api: Api, text: str = JDL) -> int:
    answer = api.post("/api/jobs/jdl", [text])
    assert answer.status_code == 201, answer.text
    return int(answer.json()[0]["JobID"])


@pytest.mark.parametrize("status", [one for one in ALL if one not in NEVER])
def test_a_job_runs_again_from_any_status(api: Api, db: Session, status: Status) -> None:
    job_id = a_stored_job(db, status)
    answer = again(api, job_id)
    assert (answer.status_code, answer.json()["failed"]) == (200, {})
    found = answer.json()["success"][str(job_id)]
    assert (found["Status"], found["MinorStatus"]) == ("Received", "Job Rescheduled")
    assert (found["ApplicationStatus"], found["RescheduleCounter"]) == ("Unknown", 1)
    job = the(api, job_id)
    same = {name: job[name] for name in found if name in job}
    assert same == {name: found[name] for name in same} and len(same) >= 6
    assert (job["Attempt"], job["Outputs"]) == (2, None)
    assert [job[name] for name in ("StartExecTime", "EndExecTime", "HeartBeatTime")] == [None] * 3
    assert [one[:2] for one in events(job_id)[-2:]] == [
        ("Rescheduled", "Job Rescheduled"),
        ("Received", "Job Rescheduled"),
    ]
    with session() as other:
        optimize.optimize(other)
    assert matched(api) == [(job_id, 2)]


@pytest.mark.parametrize("status", NEVER)
def test_what_is_not_accepted_yet_or_deleted_does_not_run_again(
    api: Api, db: Session, status: Status
) -> None:
    job_id = a_stored_job(db, status)
    before = the(api, job_id)
    answer = again(api, job_id)
    words = f"job {job_id} is {status} (attempt 1): it cannot become Rescheduled"
    assert answer.status_code == 400
    assert answer.json() == {"detail": {"success": {}, "failed": {str(job_id): {"detail": words}}}}
    assert the(api, job_id) == before


def test_what_a_pilot_says_of_the_attempt_before_counts_no_more(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    assert again(api, job_id).status_code == 200
    beat = api.patch("/api/jobs/heartbeat", {str(job_id): {"Attempt": 1}}, by=a_pilot())
    assert beat.json() == [{"job_id": job_id, "command": "Kill", "arguments": ""}]
    report = {str(job_id): {at(1): {"Status": "Done", "Attempt": 1}}}
    assert api.patch(STATUS, report, by=a_pilot()).status_code == 409
    job = the(api, job_id)
    assert [(one["attempt"], one["status"]) for one in job["Attempts"]] == [(1, "Rescheduled")]
    assert job["Status"] == "Received"


def test_a_job_that_waits_leaves_the_queue_before_it_comes_back(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.WAITING)
    again(api, job_id)
    assert matched(api) == []
    with session() as other:
        optimize.optimize(other)
    assert matched(api) == [(job_id, 2)]


def test_a_job_runs_again_three_times_and_then_fails(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    counters = [again(api, job_id).json()["success"][str(job_id)]["RescheduleCounter"] for _ in range(3)]
    assert counters == [1, 2, 3]
    answer = again(api, job_id)
    words = {"detail": "Maximum number of reschedules exceeded (3)"}
    assert answer.status_code == 400
    assert answer.json() == {"detail": {"success": {}, "failed": {str(job_id): words}}}
    job = the(api, job_id)
    assert (job["Status"], job["MinorStatus"]) == ("Failed", "Maximum of reschedulings reached")
    before = events(job_id)
    assert again(api, job_id).status_code == 400
    assert events(job_id) == before
    reset = again(api, job_id, reset=True)
    assert reset.json()["success"][str(job_id)]["RescheduleCounter"] == 0
    assert again(api, job_id).json()["success"][str(job_id)]["RescheduleCounter"] == 1


def test_a_job_that_is_done_stays_done_when_it_ran_too_often(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.DONE)
    db.execute(update(Job).where(Job.job_id == job_id).values(reschedules=3))
    db.commit()
    before = the(api, job_id)
    assert again(api, job_id).status_code == 400
    assert the(api, job_id) == before


@pytest.mark.parametrize("most", [0, 1, 5])
def test_how_often_is_configured(api: Api, db: Session, installation: Installation, most: int) -> None:
    job_id = a_stored_job(db)
    with configured(installation, most=most):
        codes = [again(api, job_id).status_code for _ in range(most + 1)]
        assert codes == [200] * most + [400]
        assert status_of(api, job_id) == "Failed"
        assert again(api, job_id, reset=True).status_code == 200


def test_each_job_of_a_call_has_its_own_answer(api: Api, db: Session) -> None:
    good, deleted = a_stored_job(db), a_stored_job(db, Status.DELETED)
    foreign = a_stored_job(db, vo="belle")
    answer = again(api, good, deleted, foreign, 4711, good)
    assert answer.status_code == 200
    assert list(answer.json()["success"]) == [str(good)]
    assert answer.json()["success"][str(good)]["RescheduleCounter"] == 1
    failed = answer.json()["failed"]
    assert failed.keys() == {str(deleted), str(foreign), "4711"}
    assert failed[str(foreign)] == failed["4711"] == {"detail": "Not found"}


def test_the_description_is_made_anew_from_what_was_submitted(
    api: Api, db: Session, installation: Installation
) -> None:
    with configured(installation, priority=10):
        job_id = a_jdl_job(api, JDL + 'Priority = 9; Site = "LCG.CERN.ch"; Parameters = {"x"};')
        assert the(api, job_id)["UserPriority"] == 9
        told(api, job_id, {at(1): {"Status": "Failed"}})
        api.patch("/api/jobs/metadata", {job_id: {"Site": "LCG.RAL.uk"}})
    with configured(installation, priority=4):
        found = again(api, job_id).json()["success"][str(job_id)]
        assert (found["UserPriority"], found["Site"]) == (4, "LCG.CERN.ch")
        described = api.get(f"/api/jobs/{job_id}/jdl").json()
    assert found["InputData"] == described["jdl"]
    assert f'Arguments = "{job_id}";' in described["jdl"]
    assert f"JobID = {job_id};" in described["jdl"]
    assert "Priority = 4;" in described["jdl"]
    assert "Priority = 9;" in described["original"]


def test_a_description_that_the_rules_of_today_refuse_is_told_and_leaves_the_job(
    api: Api, db: Session, installation: Installation
) -> None:
    job_id = a_jdl_job(api)
    other = a_jdl_job(api)
    with configured(installation, files=1):
        answer = again(api, job_id, other)
    assert answer.status_code == 400
    assert "greater than current limit: 1" in answer.json()["detail"]["failed"][str(job_id)]["detail"]
    assert (status_of(api, job_id), the(api, job_id)["Attempt"]) == ("Received", 1)


def test_a_sandbox_of_another_bucket_is_told_and_leaves_the_other_jobs(api: Api, db: Session) -> None:
    job_id, other = a_jdl_job(api), a_jdl_job(api)
    sandbox = f"SB:SandboxSE|/S3/before/lhcb/user/alice/sha256:{HEX}.tar.zst"
    stated = JDL.replace("JobName", f'InputSandbox = "{sandbox}"; JobName')
    changed(db, update(JobJDL).where(JobJDL.job_id == other).values(original=stated))
    db.commit()
    answer = again(api, job_id, other)
    assert answer.status_code == 200
    assert answer.json()["success"].keys() == {str(job_id)}
    assert "PFN must start with" in answer.json()["failed"][str(other)]["detail"]


def test_a_step_of_a_workflow_runs_again_only_while_it_has_not_ended(api: Api, db: Session) -> None:
    steps = [
        a_stored_job(db, status, owner_task="workflows.advance", owner_id=7)
        for status in (Status.RUNNING, Status.WAITING, Status.DONE, Status.FAILED)
    ]
    answer = again(api, *steps).json()
    assert sorted(answer["success"]) == sorted(map(str, steps[:2]))
    for job_id in steps[2:]:
        words = f"job {job_id} has ended as a step of workflow 7: submit the workflow again"
        assert answer["failed"][str(job_id)] == {"detail": words}
    assert [status_of(api, one) for one in steps] == ["Received", "Received", "Done", "Failed"]


def test_only_the_owner_and_an_administrator_have_a_job_run_again(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    assert again(api, job_id, by=a_user("bob")).status_code == 403
    assert again(api, job_id, by=a_pilot("stamp-2")).status_code == 403
    for stranger in (a_user(vo="belle"), an_administrator(vo="belle")):
        answer = again(api, job_id, by=stranger)
        assert (answer.status_code, answer.json()["detail"]["success"]) == (400, {})
    assert status_of(api, job_id) == "Running"
    assert again(api, job_id, by=an_administrator()).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"job_ids": ["x"]}, {"job_ids": [-1]}, {"job_ids": [1] * 1001}, []], ids=range(5)
)
def test_a_malformed_list_is_422(api: Api, body: Any) -> None:
    assert api.post(PATH, body).status_code == 422
