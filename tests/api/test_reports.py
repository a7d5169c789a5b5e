"""What pilots report: heartbeats and statuses, in order, late, twice, and by the wrong pilot."""

import json
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.jobs import control
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job
from tests.api.caller import Api
from tests.builders import a_job, a_pilot

T1, T2, T3 = (f"2026-11-23T10:00:0{second}.000000Z" for second in (1, 2, 3))
PILOT = a_pilot()


def beat(api: Api, job_id: int, *, by: Any = PILOT, **sent: Any) -> Any:
    return api.patch("/api/jobs/heartbeat", {str(job_id): {"Attempt": 1, **sent}}, by=by)


def report(api: Api, job_id: int, *, by: Any = PILOT, **updates: Any) -> Any:
    return api.patch("/api/jobs/status", {str(job_id): updates.pop("at", updates)}, by=by)


def one(status: str, **more: Any) -> dict[str, Any]:
    return {"Status": status, "Attempt": 1, "Source": "JobWrapper", **more}


def a_held_job(db: Session, status: Status = Status.RUNNING) -> int:
    job_id = a_job(db, status)
    db.commit()
    return job_id


def a_fenced_job(db: Session) -> int:
    """A job on its second attempt, which waits."""
    job_id = a_job(db, Status.RUNNING)
    control.reschedule(db, job_id, attempt=1, reason="test", source="Test")
    db.commit()
    return job_id


def the(api: Api, job_id: int) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/api/jobs/{job_id}").json()
    return found


def history(api: Api, job_id: int) -> list[str]:
    return [event["Status"] for event in api.get(f"/api/jobs/{job_id}/history").json()]


def test_two_heartbeats_in_one_second_are_two_heartbeats(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    answers = [
        beat(api, job_id, CPUConsumed=seconds, StandardOutput=f"event {seconds}") for seconds in (1, 2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert the(api, job_id)["Attempts"][0]["usage"] == {"CPUConsumed": 2}
    assert api.get(f"/api/jobs/{job_id}/logs").json()["text"] == "event 2"


def test_only_the_tail_of_a_long_output_is_kept(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    assert beat(api, job_id, StandardOutput="a" * 65536 + "é" * 65536).status_code == 200
    assert api.get(f"/api/jobs/{job_id}/logs").json()["text"] == "é" * 65536
    assert beat(api, job_id, StandardOutput="a" * 131073).status_code == 422


def test_an_old_attempt_is_told_to_stop_and_changes_nothing(api: Api, db: Session) -> None:
    job_id = a_fenced_job(db)
    assert beat(api, job_id).json()[0]["command"] == "Kill"
    answer = report(api, job_id, at={T1: one("Done", Outputs={})})
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"job {job_id} is Received (attempt 2): it cannot become Done"
    assert the(api, job_id)["Attempt"] == 2


def test_an_attempt_that_does_not_exist_is_404(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    assert beat(api, job_id, Attempt=2).status_code == 404
    assert report(api, job_id, at={T1: one("Done", Attempt=2)}).status_code == 404
    # A job that is not there may have been removed: the pilot is to stop it.
    assert beat(api, 4711).json() == [{"job_id": 4711, "command": "Kill", "arguments": ""}]


def test_another_pilot_is_refused(api: Api, db: Session) -> None:
    job_id, other = a_held_job(db), a_pilot("stamp-2")
    assert beat(api, job_id, by=other).status_code == 403
    assert report(api, job_id, at={T1: one("Done")}, by=other).status_code == 403
    assert history(api, job_id)[-1] == "Running"


def test_a_report_without_updates_tells_nothing_to_strangers(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    for stranger in (a_pilot("stamp-2"), a_pilot(vo="belle")):
        assert "Running" not in report(api, job_id, by=stranger).text
    assert report(api, 4711, by=PILOT).status_code < 500


def test_updates_are_applied_in_the_order_of_their_times(api: Api, db: Session) -> None:
    job_id = a_held_job(db, Status.MATCHED)
    updates = {T3: one("Done", Outputs={"x": 1}), T1: one("Running"), T2: one("Completing")}
    assert report(api, job_id, at=updates).json() == {
        "success": {str(job_id): {"Status": "Done"}},
        "failed": {},
    }
    assert history(api, job_id)[-3:] == ["Running", "Completing", "Done"]
    assert the(api, job_id)["Outputs"] == {"x": 1}


def test_the_same_report_three_times_is_one_event(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    updates = {T1: one("Completing"), T2: one("Done", Outputs={"x": 1})}
    answers = [report(api, job_id, at=updates) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert history(api, job_id)[-3:] == ["Running", "Completing", "Done"]


def minors(api: Api, job_id: int) -> list[str]:
    return [event["MinorStatus"] for event in api.get(f"/api/jobs/{job_id}/history").json()]


def test_how_far_a_running_job_is_can_be_told_and_told_again(api: Api, db: Session) -> None:
    job_id = a_held_job(db, Status.MATCHED)
    first = {T1: one("Running", MinorStatus="Downloading InputSandbox")}
    later = {T2: one("Running", MinorStatus="Application")}
    assert [report(api, job_id, at=at).status_code for at in (first, later, later)] == [200] * 3
    assert minors(api, job_id)[-2:] == ["Downloading InputSandbox", "Application"]
    assert the(api, job_id)["MinorStatus"] == "Application"
    again = {**first, **later, T3: one("Completing", MinorStatus="Uploading Output Sandbox")}
    assert [report(api, job_id, at=again).status_code for _ in range(2)] == [200] * 2
    assert minors(api, job_id)[-3:] == [
        "Downloading InputSandbox",
        "Application",
        "Uploading Output Sandbox",
    ]


def test_what_is_reported_after_the_end_changes_nothing(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    report(api, job_id, at={T1: one("Failed", MinorStatus="x", ApplicationStatus="exit code 3")})
    assert report(api, job_id, at={T2: one("Done", Outputs={})}).status_code == 409
    assert report(api, job_id, at={T2: one("Running")}).status_code == 200
    found = the(api, job_id)
    assert (found["Status"], found["ApplicationStatus"], found["Outputs"]) == ("Failed", "exit code 3", None)


def test_a_report_on_a_killed_job_is_a_conflict(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    api.post(f"/api/jobs/{job_id}/kill")
    for status in ("Running", "Completing", "Done", "Failed"):
        assert report(api, job_id, at={T1: one(status)}).status_code == 409
    assert the(api, job_id)["Status"] == "Killed"


def test_one_late_job_does_not_undo_what_is_said_of_another(api: Api, db: Session) -> None:
    late, good = a_fenced_job(db), a_held_job(db)
    body = {str(good): {T1: one("Done", Outputs={})}, str(late): {T1: one("Done", Outputs={})}}
    answer = api.patch("/api/jobs/status", body, by=PILOT)
    assert str(late) in answer.json()["failed"]
    assert the(api, good)["Status"] == "Done"


def test_an_unknown_job_among_known_ones_has_failed(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    body = {str(job_id): {T1: one("Done", Outputs={})}, "4711": {T1: one("Done")}}
    answer = api.patch("/api/jobs/status", body, by=PILOT)
    assert (answer.status_code, list(answer.json()["failed"])) == (200, ["4711"])
    assert report(api, 4711, at={T1: one("Done")}).status_code == 404


@pytest.mark.parametrize(
    "stamp",
    ["2026-11-23T10:00:00", "2026-11-23T10:00:00+01:00", "2026-11-23", "now", "", "9999-99-99T00:00:00Z"],
)
def test_a_time_that_is_not_utc_is_400(api: Api, db: Session, stamp: str) -> None:
    assert report(api, a_held_job(db), at={stamp: one("Done")}).status_code in (400, 422)


@pytest.mark.parametrize(
    "stamp", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00", "9999-12-31T23:59:59Z"]
)
def test_a_time_at_which_there_were_no_jobs_is_422(api: Api, db: Session, stamp: str) -> None:
    assert report(api, a_held_job(db), at={stamp: one("Running")}).status_code == 422


@pytest.mark.parametrize(
    "status", ["Killed", "Deleted", "Received", "Waiting", "Matched", "Stalled", "done", "", "x" * 999]
)
def test_a_pilot_does_not_report_what_is_not_its_business(api: Api, db: Session, status: str) -> None:
    job_id = a_held_job(db)
    assert report(api, job_id, at={T1: one(status)}).status_code in (400, 422)
    assert the(api, job_id)["Status"] == "Running"


def test_words_longer_than_their_columns_are_cut(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    words = one("Failed", MinorStatus="é" * 128, ApplicationStatus="é" * 2000, Source="é" * 64)
    assert report(api, job_id, at={T1: words}).status_code == 200
    assert the(api, job_id)["ApplicationStatus"] == "é" * 255
    assert report(api, job_id, at={T1: one("Failed", ApplicationStatus="x" * 65537)}).status_code == 422


BAD_BEATS: list[Any] = [
    {"1": {"Attempt": 0}},
    {"1": {"Attempt": 2**80}},
    {"1": {"Attempt": 1, "LoadAverage": float("nan")}},
    {"1": {"Attempt": 1, "CPUConsumed": float("inf")}},
    {"1": {"Attempt": 1, "Unknown": 1}},
    {"1": {"Attempt": 1, "StandardOutput": "\ud800"}},
    {"x": {"Attempt": 1}},
    {str(2**80): {"Attempt": 1}},
    {"1": None},
    [],
    7,
]


@pytest.mark.parametrize("body", BAD_BEATS, ids=range(len(BAD_BEATS)))
def test_a_malformed_heartbeat_is_the_pilots_fault(api: Api, db: Session, body: Any) -> None:
    a_held_job(db)
    assert api.patch("/api/jobs/heartbeat", body, by=PILOT).status_code in (404, 422)


BAD_OUTPUTS: list[Any] = [2**70, "\ud800", float("nan"), float("inf")]


@pytest.mark.parametrize("value", BAD_OUTPUTS, ids=range(len(BAD_OUTPUTS)))
def test_outputs_that_cannot_be_stored_are_the_pilots_fault(api: Api, db: Session, value: Any) -> None:
    job_id = a_held_job(db)
    assert report(api, job_id, at={T1: one("Done", Outputs={"x": value})}).status_code in (200, 400, 422)


def test_deeply_nested_outputs_are_the_pilots_fault(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    for depth in (200, 500, 5000, 500_000):
        text = json.dumps({str(job_id): {T1: one("Done", Outputs={"x": "HERE"})}})
        content = text.replace('"HERE"', "[" * depth + "]" * depth)
        headers = {"Content-Type": "application/json"}
        answer = api.ask("PATCH", "/api/jobs/status", by=PILOT, content=content, headers=headers)
        assert answer.status_code in (200, 400, 422), depth


def test_a_pilot_gives_its_job_back_and_is_done_with_it(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    path, body = f"/api/pilots/jobs/{job_id}/release", {"attempt": 1, "reason": "the node is shut down"}
    assert api.post(path, body, by=a_pilot("stamp-2")).status_code == 403
    assert api.post(path, body, by=PILOT).json()["status"] == "Received"
    assert api.post(path, body, by=PILOT).status_code == 409
    assert the(api, job_id)["Attempts"][0]["reason"] == "the node is shut down"


def test_a_job_that_is_lost_too_often_fails(api: Api, db: Session) -> None:
    job_id = a_held_job(db)
    db.execute(update(Job).where(Job.job_id == job_id).values(reschedules=3))
    db.commit()
    path = f"/api/pilots/jobs/{job_id}/release"
    body = {"attempt": 1, "reason": "again"}
    # What has never begun has not failed.
    unbegun = {**body, "has_begun": False}
    assert api.post(path, unbegun, by=PILOT).json()["status"] == "Received"
    assert db.scalar(select(Job.reschedules).where(Job.job_id == job_id)) == 3
    job_id = a_held_job(db)
    db.execute(update(Job).where(Job.job_id == job_id).values(reschedules=3))
    db.commit()
    assert api.post(f"/api/pilots/jobs/{job_id}/release", body, by=PILOT).json()["status"] == "Failed"
    assert the(api, job_id)["MinorStatus"] == "Maximum of reschedulings reached"
