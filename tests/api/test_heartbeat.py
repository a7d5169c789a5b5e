"""Heartbeats of payloads: of one's own jobs as DiracX's clients send them, and of a pilot's."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.jobs import control
from diracx_tasks.jobs.remove import remove
from diracx_tasks.jobs.states import Status
from tests.api.caller import ALICE, Api
from tests.api.changes import a_stored_job, events, status_of, the
from tests.api.stores import installation, migrated
from tests.builders import a_pilot, a_user, an_administrator

__all__ = ["installation", "migrated"]
PATH = "/api/jobs/heartbeat"
NUMBERS = {
    "LoadAverage": 1.5,
    "MemoryUsed": 512,
    "Vsize": 900.25,
    "AvailableDiskSpace": 1e6,
    "CPUConsumed": 0,
    "WallClockTime": 13,
}


def beat(api: Api, *job_ids: int, by: Any = ALICE, **sent: Any) -> Any:
    return api.patch(PATH, {str(job_id): sent for job_id in job_ids}, by=by)


def kill(job_id: int) -> dict[str, Any]:
    return {"job_id": job_id, "command": "Kill", "arguments": ""}


def test_what_a_payload_uses_is_kept_heartbeat_by_heartbeat(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    for number in range(3):
        answer = beat(api, job_id, **{**NUMBERS, "CPUConsumed": number})
        assert (answer.status_code, answer.json()) == (200, [])
    found = api.get(f"/api/jobs/{job_id}/heartbeats").json()
    assert [one["CPUConsumed"] for one in found] == [0, 1, 2]
    assert {**found[0], "HeartBeatTime": ""} == {**NUMBERS, "HeartBeatTime": ""}
    assert sorted({one["HeartBeatTime"] for one in found}) == [one["HeartBeatTime"] for one in found]
    assert the(api, job_id)["HeartBeatTime"]


def test_a_heartbeat_without_numbers_is_a_sign_of_life(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    assert the(api, job_id)["HeartBeatTime"] is None
    assert beat(api, job_id).json() == []
    assert the(api, job_id)["HeartBeatTime"]
    assert api.get(f"/api/jobs/{job_id}/heartbeats").json() == []


@pytest.mark.parametrize("who", [ALICE, a_pilot()], ids=["owner", "pilot"])
@pytest.mark.parametrize("status", [Status.MATCHED, Status.STALLED])
def test_a_heartbeat_shows_that_a_job_runs(api: Api, db: Session, status: Status, who: Any) -> None:
    job_id = a_stored_job(db, status)
    assert beat(api, job_id, by=who).json() == []
    job = the(api, job_id)
    assert (job["Status"], bool(job["StartExecTime"]), bool(job["HeartBeatTime"])) == ("Running", True, True)
    assert events(job_id)[-1][0::3] == ("Running", "Heartbeat")
    before = events(job_id)
    assert beat(api, job_id, by=who).json() == []
    assert events(job_id) == before


@pytest.mark.parametrize("status", [Status.WAITING, Status.RECEIVED, Status.COMPLETING, Status.COMPLETED])
def test_a_heartbeat_changes_no_other_status(api: Api, db: Session, status: Status) -> None:
    job_id = a_stored_job(db, status)
    before = events(job_id)
    assert beat(api, job_id, CPUConsumed=1).json() == []
    assert (status_of(api, job_id), events(job_id)) == (status, before)


@pytest.mark.parametrize("status", [Status.KILLED, Status.DELETED, Status.DONE, Status.FAILED])
def test_the_payload_of_a_job_that_is_over_is_to_stop_and_is_told_until_it_does(
    api: Api, db: Session, status: Status
) -> None:
    job_id = a_stored_job(db, status)
    for _ in range(3):
        assert beat(api, job_id).json() == [kill(job_id)]
    assert status_of(api, job_id) == status


def test_of_many_jobs_those_that_are_over_are_named(api: Api, db: Session) -> None:
    alive = [a_stored_job(db, status) for status in (Status.RUNNING, Status.STALLED, Status.COMPLETING)]
    over = [a_stored_job(db, status) for status in (Status.KILLED, Status.DONE)]
    found = beat(api, *over, *alive, **NUMBERS).json()
    assert sorted(found, key=str) == [kill(job_id) for job_id in over]
    assert [status_of(api, job_id) for job_id in alive] == ["Running", "Running", "Completing"]
    assert [len(api.get(f"/api/jobs/{one}/heartbeats").json()) for one in (*alive, *over)] == [1, 1, 1, 0, 0]


def test_an_unknown_job_spoils_the_whole_call(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.STALLED)
    answer = beat(api, job_id, 9999)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job 9999 not found"})
    assert status_of(api, job_id) == "Stalled"
    assert the(api, job_id)["HeartBeatTime"] is None


def test_a_pilot_is_to_stop_what_was_removed_and_its_other_jobs_live(api: Api, db: Session) -> None:
    gone, job_id = a_stored_job(db, Status.KILLED), a_stored_job(db, Status.STALLED)
    remove(db, [gone])
    db.commit()
    for _ in range(2):
        assert beat(api, job_id, gone, by=a_pilot()).json() == [kill(gone)]
    assert status_of(api, job_id) == "Running"


def test_only_the_owner_an_administrator_and_the_pilot_speak_for_a_job(api: Api, db: Session) -> None:
    job_id, mine = a_stored_job(db), a_stored_job(db, owner="bob")
    for stranger in (a_user("bob"), a_pilot("stamp-2")):
        assert beat(api, job_id, by=stranger).status_code == 403
    assert beat(api, job_id, mine, by=a_user("bob")).status_code == 403
    assert the(api, mine)["HeartBeatTime"] is None
    for foreign in (a_user(vo="belle"), an_administrator(vo="belle"), a_pilot(vo="belle")):
        assert beat(api, job_id, by=foreign).status_code == 404
    for friend in (ALICE, an_administrator(), a_pilot()):
        assert beat(api, job_id, by=friend).status_code == 200


def test_no_heartbeats_are_no_news(api: Api) -> None:
    assert api.patch(PATH, {}).json() == []


def test_a_pilot_of_an_old_attempt_is_to_stop_whether_it_states_the_attempt_or_not(
    api: Api, db: Session
) -> None:
    job_id = a_stored_job(db)
    control.reschedule(db, job_id, attempt=1, reason="lost", source="Test")
    db.commit()
    for stated in ({"Attempt": 1}, {}):
        assert beat(api, job_id, by=a_pilot(), **stated).json() == [kill(job_id)]
    assert status_of(api, job_id) == "Received"


def test_the_output_of_a_payload_without_a_pilot_is_a_parameter(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    assert beat(api, job_id, StandardOutput="event 1000").status_code == 200
    found = api.get(f"/api/jobs/{job_id}/parameters").json()
    assert found == {"parameters": {"StandardOutput": "event 1000"}, "is_complete": True}


@pytest.mark.parametrize(
    "sent",
    [
        {"LoadAverage": "much"},
        {"LoadAverage": float("nan")},
        {"LoadAverage": float("-inf")},
        {"LoadAverage": 1.0, "Unknown": 1},
        {"StandardOutput": 7},
        {"StandardOutput": "x" * 131073},
    ],
    ids=range(6),
)
def test_a_heartbeat_that_cannot_be_is_422_and_changes_nothing(
    api: Api, db: Session, sent: dict[str, Any]
) -> None:
    job_id = a_stored_job(db, Status.STALLED)
    assert beat(api, job_id, **sent).status_code == 422
    assert status_of(api, job_id) == "Stalled"


def test_numbers_beyond_all_bounds_come_back_as_they_were(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    sent = {"LoadAverage": 1.7e308, "MemoryUsed": -5e-324, "Vsize": 2**53 + 0.0}
    assert beat(api, job_id, **sent).status_code == 200
    (found,) = api.get(f"/api/jobs/{job_id}/heartbeats").json()
    assert {name: found[name] for name in sent} == sent
