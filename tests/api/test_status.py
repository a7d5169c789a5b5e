"""Status updates as DiracX's clients send them: in the order of their times, and by the state machine."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import Status
from tests.api.caller import Api
from tests.api.changes import a_stored_job, at, events, status_of, tell, the, told
from tests.api.stores import installation, migrated
from tests.builders import an_administrator

__all__ = ["installation", "migrated"]
NOTHING = dict.fromkeys(
    (
        "Status",
        "MinorStatus",
        "ApplicationStatus",
        "HeartBeatTime",
        "StartExecTime",
        "EndExecTime",
        "LastUpdateTime",
    )
)
RUNNING, DONE, FAILED = ({"Status": name} for name in ("Running", "Done", "Failed"))


def whole(seconds: float) -> str:
    """A time as it is stored: DIRAC's columns have whole seconds."""
    return at(seconds // 1)


def test_an_update_changes_what_it_states_and_answers_it(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    update = {
        "Status": "Completing",
        "MinorStatus": "Uploading",
        "ApplicationStatus": "5 of 9",
        "Source": "JobWrapper",
    }
    found = told(api, job_id, {at(1.5): update})
    assert {**found, "LastUpdateTime": None} == {
        **NOTHING,
        **{name: update[name] for name in ("Status", "MinorStatus", "ApplicationStatus")},
        "HeartBeatTime": whole(1.5),
    }
    job = the(api, job_id)
    assert {name: job[name] for name in found if found[name] and name != "LastUpdateTime"} == {
        name: value for name, value in found.items() if value and name != "LastUpdateTime"
    }
    assert events(job_id)[-1] == ("Completing", "Uploading", "5 of 9", "JobWrapper")


def test_what_an_update_leaves_out_stays_as_it_is(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    told(api, job_id, {at(1): {"MinorStatus": "Application", "ApplicationStatus": "event 1"}})
    found = told(api, job_id, {at(2): {"ApplicationStatus": "event 2"}})
    assert (found["Status"], found["MinorStatus"], found["ApplicationStatus"]) == ("Running", None, "event 2")
    job = the(api, job_id)
    assert (job["Status"], job["MinorStatus"], job["ApplicationStatus"]) == (
        "Running",
        "Application",
        "event 2",
    )
    assert events(job_id)[-2:] == [
        ("Running", "Application", "event 1", "Unknown"),
        ("Running", "idem", "event 2", "Unknown"),
    ]
    last = api.get(f"/api/jobs/{job_id}/history").json()[-1]
    assert (last["MinorStatus"], last["ApplicationStatus"]) == ("Application", "event 2")


def test_updates_are_applied_in_the_order_of_their_times_whatever_theirs_in_the_body(
    api: Api, db: Session
) -> None:
    job_id = a_stored_job(db, Status.MATCHED)
    updates = {at(3): {**DONE, "MinorStatus": "Complete"}, at(1): RUNNING, at(2): {"ApplicationStatus": "x"}}
    found = told(api, job_id, updates)
    assert (found["Status"], found["MinorStatus"], found["ApplicationStatus"]) == ("Done", "Complete", "x")
    assert (found["StartExecTime"], found["EndExecTime"]) == (whole(1), whole(3))
    assert [one[0] for one in events(job_id)[-3:]] == ["Running", "Running", "Done"]


def test_an_update_that_is_late_changes_nothing_and_stands_in_its_place_in_the_history(
    api: Api, db: Session
) -> None:
    job_id = a_stored_job(db)
    told(api, job_id, {at(10): {"Status": "Completing", "MinorStatus": "new"}})
    found = told(api, job_id, {at(5): {"Status": "Running", "MinorStatus": "old"}})
    assert found == NOTHING
    job = the(api, job_id)
    assert (job["Status"], job["MinorStatus"]) == ("Completing", "new")
    history = [(one["Status"], one["MinorStatus"]) for one in api.get(f"/api/jobs/{job_id}/history").json()]
    assert history[-2:] == [("Running", "old"), ("Completing", "new")]


def test_a_late_update_of_the_application_takes_the_status_of_its_time(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    told(api, job_id, {at(10): DONE})
    assert told(api, job_id, {at(5): {"ApplicationStatus": "event 9"}}) == NOTHING
    history = api.get(f"/api/jobs/{job_id}/history").json()
    assert [(one["Status"], one["ApplicationStatus"]) for one in history[-2:]] == [
        ("Running", "event 9"),
        ("Done", "event 9"),
    ]


def test_of_several_updates_the_late_ones_are_recorded_and_the_others_applied(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    told(api, job_id, {at(10): {"MinorStatus": "ten"}})
    found = told(api, job_id, {at(9): {"MinorStatus": "nine"}, at(11): {"Status": "Completing"}})
    assert (found["Status"], found["MinorStatus"]) == ("Completing", None)
    assert the(api, job_id)["MinorStatus"] == "ten"
    assert len(events(job_id)) == 4 + 3


def test_an_update_in_the_millisecond_of_the_last_one_counts(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    told(api, job_id, {at(1.0001): {"MinorStatus": "first"}})
    assert told(api, job_id, {at(1.0002): {"MinorStatus": "second"}})["MinorStatus"] == "second"
    assert the(api, job_id)["MinorStatus"] == "second"


@pytest.mark.parametrize(
    "updates",
    [
        {at(1): {**RUNNING, "MinorStatus": "x", "Source": "JobWrapper"}},
        {at(1): {"ApplicationStatus": "event 1"}, at(2): {**DONE, "Source": "JobWrapper" * 9}},
        {at(1): DONE, at(2): RUNNING, at(3): {"ApplicationStatus": "x" * 300}},
        {at(1): {"Status": "Killed"}},
        {at(-86400): {"MinorStatus": "yesterday"}},
        {at(-86400): {"Status": "Killed"}},
    ],
    ids=range(6),
)
def test_the_same_call_three_times_is_recorded_once(api: Api, db: Session, updates: dict[str, Any]) -> None:
    job_id = a_stored_job(db)
    before = len(events(job_id))
    states = []
    for _ in range(3):
        told(api, job_id, updates)
        states.append({**the(api, job_id), "LastUpdateTime": None})
    assert states[0] == states[1] == states[2]
    assert len(events(job_id)) == before + len(updates)


def test_a_call_that_comes_again_after_newer_ones_is_recorded_once(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    first = {at(1): {"ApplicationStatus": "event 1"}, at(2): {"Status": "Waiting", "Source": "Admin"}}
    told(api, job_id, first)
    told(api, job_id, {at(3): {"Status": "Completing"}})
    before = events(job_id)
    assert told(api, job_id, first) == NOTHING
    assert events(job_id) == before
    assert status_of(api, job_id) == "Completing"


@pytest.mark.parametrize(
    "before, wanted, after",
    [
        (Status.RUNNING, "Waiting", "Running"),
        (Status.WAITING, "Running", "Waiting"),
        (Status.DONE, "Running", "Done"),
        (Status.DONE, "Killed", "Done"),
        (Status.KILLED, "Done", "Killed"),
        (Status.DELETED, "Running", "Deleted"),
        (Status.DELETED, "Received", "Deleted"),
        (Status.FAILED, "Done", "Failed"),
        (Status.COMPLETED, "Running", "Completed"),
    ],
)
def test_what_the_state_machine_refuses_leaves_the_job_as_it_is_and_is_recorded(
    api: Api, db: Session, before: Status, wanted: str, after: str
) -> None:
    job_id = a_stored_job(db, before)
    old = the(api, job_id)
    found = told(api, job_id, {at(1): {"Status": wanted, "MinorStatus": "m", "Source": "Who"}})
    assert found["Status"] == after
    assert events(job_id)[-1] == (after, "m", "idem", "Who(SM)")
    new = the(api, job_id)
    same = ("Status", "StartExecTime", "EndExecTime", "Attempt", "MinorStatus")
    assert {name: new[name] for name in same} == {name: old[name] for name in same}


@pytest.mark.parametrize(
    "before, wanted",
    [
        (Status.SUBMITTING, "Received"),
        (Status.RECEIVED, "Checking"),
        (Status.CHECKING, "Staging"),
        (Status.STAGING, "Waiting"),
        (Status.WAITING, "Matched"),
        (Status.MATCHED, "Running"),
        (Status.RUNNING, "Stalled"),
        (Status.STALLED, "Done"),
        (Status.COMPLETING, "Completed"),
        (Status.COMPLETED, "Done"),
        (Status.FAILED, "Deleted"),
        (Status.KILLED, "Deleted"),
        (Status.RESCHEDULED, "Killed"),
    ],
)
def test_what_the_state_machine_allows_happens(api: Api, db: Session, before: Status, wanted: str) -> None:
    job_id = a_stored_job(db, before)
    assert told(api, job_id, {at(1): {"Status": wanted, "Source": "Who"}})["Status"] == wanted
    assert status_of(api, job_id) == wanted
    assert events(job_id)[-1] == (wanted, "idem", "idem", "Who")


def test_any_news_of_a_stalled_job_makes_it_run(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.STALLED)
    assert told(api, job_id, {at(1): {"ApplicationStatus": "event 1"}})["Status"] == "Running"
    assert status_of(api, job_id) == "Running"


def test_an_administrator_may_force_what_the_state_machine_refuses(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.DONE)
    admin = an_administrator()
    assert tell(api, job_id, {at(1): RUNNING}, force=True).status_code == 403
    assert status_of(api, job_id) == "Done"
    assert told(api, job_id, {at(1): RUNNING}, by=admin, force=True)["Status"] == "Running"
    assert events(job_id)[-1] == ("Running", "idem", "idem", "Unknown")
    # Forced to its end again and again: the outputs of each end are kept.
    for number, update in enumerate((DONE, FAILED, DONE), 2):
        found = told(api, job_id, {at(number): update}, by=admin, force=True)
        assert found["Status"] == update["Status"]


def test_the_first_start_and_the_first_end_are_kept(api: Api, db: Session) -> None:
    job_id = a_stored_job(db, Status.MATCHED)
    told(api, job_id, {at(1): RUNNING, at(2): {"Status": "Stalled"}, at(3): RUNNING, at(4): FAILED})
    job = the(api, job_id)
    assert (job["StartExecTime"], job["EndExecTime"]) == (whole(1), whole(4))
    assert told(api, job_id, {at(5): DONE})["EndExecTime"] is None
    told(api, job_id, {at(6): {"Status": "Deleted"}})
    assert the(api, job_id)["EndExecTime"] == whole(4)


def test_only_the_job_itself_and_heartbeats_are_signs_of_life(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    sources = {at(1): "JobWrapper", at(2): "Heartbeat", at(3): "StalledJobAgent", at(4): "Matcher"}
    updates = {moment: {"MinorStatus": source, "Source": source} for moment, source in sources.items()}
    assert told(api, job_id, updates)["HeartBeatTime"] == whole(2)
    assert told(api, job_id, {at(5): {"MinorStatus": "x"}})["HeartBeatTime"] is None
    assert the(api, job_id)["HeartBeatTime"] == whole(2)
