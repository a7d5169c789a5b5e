"""A pilot with many jobs reports on all of them in one call: each is treated as if it came alone."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading
from diracx_tasks.jobs import control
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Attempt, Job
from tests.api.caller import Api
from tests.api.stores import installation, migrated  # noqa: F401 (fixtures)
from tests.api.test_reports import T1, T2, T3, history, one, the
from tests.builders import a_job, a_pilot

PILOT = a_pilot()


def report(api: Api, told: dict[int, dict[str, Any]], *, by: Any = PILOT) -> Any:
    return api.patch("/api/jobs/status", {str(job_id): updates for job_id, updates in told.items()}, by=by)


def jobs(db: Session, *statuses: Status) -> list[int]:
    found = [a_job(db, status) for status in statuses]
    db.commit()
    return found


def statuses(api: Api, job_ids: Sequence[int]) -> list[str]:
    return [the(api, job_id)["Status"] for job_id in job_ids]


def test_many_jobs_begin_to_run_each_with_a_start_and_a_deadline(api: Api, db: Session) -> None:
    ids = jobs(db, Status.MATCHED, Status.MATCHED, Status.MATCHED)
    answer = report(api, {job_id: {T1: one("Running", MinorStatus="Application")} for job_id in ids})
    assert answer.json() == {"success": {str(one): {"Status": "Running"} for one in ids}, "failed": {}}
    for job_id in ids:
        found = the(api, job_id)
        assert (found["Status"], found["MinorStatus"]) == ("Running", "Application")
        assert found["StartExecTime"] and found["HeartBeatTime"]
        assert history(api, job_id)[-2:] == ["Matched", "Running"]
    with reading() as now:
        assert all(now.scalars(select(Job.next_check_at).where(Job.job_id.in_(ids))))


def test_the_same_reports_again_change_nothing(api: Api, db: Session) -> None:
    ids = jobs(db, Status.MATCHED, Status.MATCHED)
    told = {job_id: {T1: one("Running")} for job_id in ids}
    before = [report(api, told).json(), [history(api, job_id) for job_id in ids]]
    assert [report(api, told).json(), [history(api, job_id) for job_id in ids]] == before


def test_states_of_each_job_are_taken_in_the_order_of_their_times(api: Api, db: Session) -> None:
    ids = jobs(db, Status.MATCHED, Status.RUNNING)
    states = {
        T2: one("Completing", MinorStatus="Uploading Output Data"),
        T1: one("Running", ApplicationStatus="event 1"),
    }
    assert report(api, dict.fromkeys(ids, states)).status_code == 200
    assert statuses(api, ids) == ["Completing", "Completing"]
    assert history(api, ids[0])[-2:] == ["Running", "Completing"]
    assert the(api, ids[0])["ApplicationStatus"] == "event 1"
    # The second one was known to run.
    assert history(api, ids[1])[-2:] == ["Running", "Completing"]


def test_ends_and_beginnings_go_in_one_call(api: Api, db: Session) -> None:
    begun, done, failed = jobs(db, Status.MATCHED, Status.RUNNING, Status.RUNNING)
    told = {begun: {T1: one("Running")}, done: {T1: one("Done", Outputs={})}, failed: {T1: one("Failed")}}
    assert report(api, told).json()["failed"] == {}
    assert statuses(api, [begun, done, failed]) == ["Running", "Done", "Failed"]


def test_what_is_over_or_unknown_is_named_and_the_others_hold(api: Api, db: Session) -> None:
    good, killed, fenced = jobs(db, Status.MATCHED, Status.RUNNING, Status.RUNNING)
    control.kill_all(db, [killed], "for a test")
    control.reschedule(db, fenced, attempt=1, reason="test", source="Test")
    db.commit()
    told: dict[int, dict[str, Any]] = {one_job: {T1: one("Running")} for one_job in (good, killed, fenced)}
    answer = report(api, told | {10**6: {T1: one("Running")}}).json()
    assert answer["success"] == {str(good): {"Status": "Running"}}
    words = {int(job_id): found["detail"] for job_id, found in answer["failed"].items()}
    assert words[killed] == f"job {killed} is Killed (attempt 1): it cannot become Running"
    assert words[fenced] == f"job {fenced} is Received (attempt 2): it cannot become Running"
    assert "there is no attempt 1 of a job 1000000" in words[10**6]
    assert statuses(api, [good, killed, fenced]) == ["Running", "Killed", "Received"]


def test_nothing_comes_after_an_end_in_one_call(api: Api, db: Session) -> None:
    ids = jobs(db, Status.RUNNING, Status.RUNNING)
    told = {job_id: {T1: one("Done", Outputs={}), T2: one("Running")} for job_id in ids}
    assert set(report(api, told).json()["failed"]) == set(map(str, ids))
    assert statuses(api, ids) == ["Running", "Running"]


def test_another_s_attempt_spoils_the_call(api: Api, db: Session) -> None:
    ids = jobs(db, Status.MATCHED, Status.MATCHED)
    answer = report(api, {job_id: {T1: one("Running")} for job_id in ids}, by=a_pilot("stamp-2"))
    assert answer.status_code == 403 and "belongs to the pilot" in answer.json()["detail"]
    assert statuses(api, ids) == ["Matched", "Matched"]


def test_jobs_that_were_taken_to_be_lost_go_on(api: Api, db: Session) -> None:
    ids = jobs(db, Status.STALLED, Status.MATCHED)
    assert report(api, {job_id: {T3: one("Running")} for job_id in ids}).json()["failed"] == {}
    assert statuses(api, ids) == ["Running", "Running"]


def test_each_heartbeat_of_many_keeps_what_it_says_and_no_more(api: Api, db: Session) -> None:
    both, number, output, nothing = ids = jobs(db, *[Status.RUNNING] * 4)
    beats = {
        both: {"Attempt": 1, "CPUConsumed": 1.5, "StandardOutput": "both \\ 'é'"},
        number: {"Attempt": 1, "CPUConsumed": 2.5},
        output: {"StandardOutput": "output"},
        nothing: {"Attempt": 1},
    }
    for _ in range(2):
        assert api.patch("/api/jobs/heartbeat", beats, by=PILOT).json() == []
    with reading() as now:
        rows = now.execute(select(Attempt.job_id, Attempt.usage, Attempt.log, Attempt.log_at.is_not(None)))
        found = {row[0]: tuple(row[1:]) for row in rows if row[0] in ids}
    assert found[both] == ({"CPUConsumed": 1.5}, "both \\ 'é'", True)
    assert found[number] == ({"CPUConsumed": 2.5}, None, False)
    assert found[output] == (None, "output", True)
    assert found[nothing] == (None, None, False)
