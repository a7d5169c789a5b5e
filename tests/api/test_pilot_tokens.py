"""A pilot's token: renewed while the pilot runs, and good for nothing once it has ended."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import issue_pilot, verify
from diracx_tasks.core.database import changed, commit, new_session, reading, session, utc_now
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job
from diracx_tasks.matching.match import match
from diracx_tasks.pilots import register
from diracx_tasks.pilots.register import PilotEnded
from diracx_tasks.pilots.tables import Pilot, PilotJob, PilotSecret
from tests.api.caller import Api
from tests.api.locks import wait_until_it_waits
from tests.api.secret_pilots import CAROL, MATCH, RENEW, SLOT, ask, begun, end, new_stamp, registered
from tests.api.stores import ON_MARIADB, installation, migrated
from tests.builders import VO, a_job, a_pilot
from tests.unit.matching.ends import a_node, waiting

__all__ = ["installation", "migrated"]


def over(stamp: str, status: str = "") -> dict[str, str]:
    words = f" ({status})" if status else ""
    return {"detail": f"the pilot {stamp} has ended{words}: its token holds no more"}


def status_of(job_id: int) -> str:
    with reading() as db:
        return db.get_one(Job, job_id).status


def given(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [one["job_id"] for one in answer.json()["jobs"]]


def test_a_pilot_that_runs_renews_its_token(api: Api) -> None:
    stamp, token = begun(api)
    for _ in range(2):
        answer = ask(api, RENEW, token)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert answer.json()["expires_in"] == 43_200 and answer.json()["access_token"] != token
        token = answer.json()["access_token"]
        assert (verify(token).pilot_stamp, verify(token).vo) == (stamp, VO)


def test_a_token_does_not_outlive_what_the_queue_allows(api: Api) -> None:
    stamp, token = begun(api, wall_seconds=60)
    with session() as db:
        mine = update(PilotSecret).where(PilotSecret.stamp == stamp)
        changed(db, mine.values(expires_at=utc_now(100)))
    answer = ask(api, RENEW, token)
    assert 90 <= answer.json()["expires_in"] <= 100
    with session() as db:
        changed(db, mine.values(expires_at=utc_now(-1)))
    late = ask(api, RENEW, token)
    words = {"detail": f"the pilot {stamp} has run for as long as it may"}
    assert (late.status_code, late.json()) == (401, words)


@pytest.mark.parametrize("status", ["Done", "Deleted"])
def test_of_a_pilot_that_has_ended_nothing_is_renewed_and_nothing_matched(api: Api, status: str) -> None:
    stamp, token = begun(api)
    (job_id,) = waiting()
    end(stamp, status)
    renewed = ask(api, RENEW, token)
    assert (renewed.status_code, renewed.json()) == (401, over(stamp, status))
    # The second one is refused at the door.
    for _ in range(2):
        matched = ask(api, MATCH, token, {**SLOT, "stamp": stamp})
        assert (matched.status_code, matched.json()) == (401, over(stamp))
    assert status_of(job_id) == "Waiting"
    with reading() as db:
        assert db.scalars(select(PilotJob)).all() == []
        assert db.scalar(select(Pilot.status).where(Pilot.stamp == stamp)) == status


def test_one_that_has_ended_is_told_so_when_there_is_no_work_either(api: Api) -> None:
    stamp, token = begun(api)
    end(stamp)
    answer = ask(api, MATCH, token, {**SLOT, "stamp": stamp})
    assert (answer.status_code, answer.json()) == (401, over(stamp, "Deleted"))


def test_others_who_ask_together_with_one_that_has_ended_get_their_jobs(api: Api) -> None:
    pilots = dict(begun(api) for _ in range(6))
    gone, *rest = pilots
    jobs = waiting(6)
    end(gone)

    def asked(stamp: str) -> Any:
        return ask(api, MATCH, pilots[stamp], {**SLOT, "stamp": stamp})

    with ThreadPoolExecutor(6) as threads:
        answers = dict(zip(pilots, threads.map(asked, pilots), strict=True))
    assert answers[gone].status_code == 401
    found = [job_id for stamp in rest for job_id in given(answers[stamp])]
    assert len(set(found)) == 5 and set(found) < set(jobs)
    (left,) = set(jobs) - set(found)
    assert status_of(left) == "Waiting"


@pytest.mark.parametrize("is_registered", [True, False], ids=["registered", "not registered"])
def test_a_pilot_without_a_secret_gets_jobs_and_renews_nothing(api: Api, is_registered: bool) -> None:
    stamp = registered() if is_registered else new_stamp()
    (job_id,) = waiting()
    token = issue_pilot(VO, stamp, seconds=600)
    assert given(ask(api, MATCH, token, {**SLOT, "stamp": stamp})) == [job_id]
    answer = ask(api, RENEW, token)
    words = {"detail": f"the pilot {stamp} has not begun with a secret"}
    assert (answer.status_code, answer.json()) == (403, words)


@ON_MARIADB
def test_a_pilot_that_is_ended_while_it_is_matched_gets_nothing(api: Api) -> None:
    stamp, _ = begun(api)
    (job_id,) = waiting()
    with new_session() as killer, ThreadPoolExecutor(1) as threads:
        register.ended(killer, VO, [stamp], status="Deleted", reason="killed")
        asked = threads.submit(match, VO, a_node("LCG.CERN.ch"), stamp=stamp)
        wait_until_it_waits(asked)
        commit(killer)
        with pytest.raises(PilotEnded):
            asked.result(30)
    assert status_of(job_id) == "Waiting"


def test_its_token_does_nothing_with_what_is_another_pilots(api: Api, db: Session) -> None:
    _, token = begun(api)
    other, _ = begun(api)
    foreign, _ = begun(api, "belle")
    job_id = a_job(db, Status.RUNNING, pilot=other)
    db.commit()
    tried = {
        "match as another": ask(api, MATCH, token, {**SLOT, "stamp": other}),
        "report": ask(api, "/api/jobs/heartbeat", token, {str(job_id): {"Attempt": 1}}, "PATCH"),
        "release": ask(api, f"/api/pilots/jobs/{job_id}/release", token, {"attempt": 1, "reason": "x"}),
        "end another": ask(api, "/api/pilots/metadata", token, {other: {"Status": "Done"}}, "PATCH"),
        "of another VO": ask(api, "/api/pilots/metadata", token, {foreign: {"Status": "Done"}}, "PATCH"),
        "secrets": ask(api, "/api/pilots/secrets", token, {"pilot_stamps": [other]}),
        "search": ask(api, "/api/pilots/search", token, {}),
        "jobs": ask(api, "/api/jobs/search", token, {}),
    }
    assert {name: answer.status_code for name, answer in tried.items()} == dict.fromkeys(tried, 403)
    assert status_of(job_id) == "Running"
    with reading() as now:
        assert set(now.scalars(select(Pilot.status))) == {"Running"}


def test_a_pilot_of_another_vo_with_the_same_stamp_renews_nothing(api: Api) -> None:
    stamp, _ = begun(api)
    assert api.post(RENEW, by=a_pilot(stamp, vo="belle")).status_code == 403


def test_a_pilot_does_not_take_back_its_end(api: Api) -> None:
    stamp, token = begun(api)
    end(stamp)
    change = {"Status": "Running", "StatusReason": "I live", "BenchMark": 11.5}
    assert ask(api, "/api/pilots/metadata", token, {stamp: change}, "PATCH").status_code == 204
    with reading() as db:
        row = db.execute(select(Pilot.status, Pilot.reason, Pilot.benchmark)).one()
    assert tuple(row) == ("Deleted", "killed by carol", 11.5)
    assert ask(api, RENEW, token).status_code == 401


def test_an_administrator_may_take_it_back(api: Api) -> None:
    stamp, token = begun(api)
    end(stamp)
    running = {stamp: {"Status": "Running"}}
    assert api.patch("/api/pilots/metadata", running, by=CAROL).status_code == 204
    assert ask(api, RENEW, token).status_code == 200


def test_what_a_pilot_has_when_it_is_ended_goes_to_another(api: Api) -> None:
    stamp, token = begun(api)
    (job_id,) = waiting()
    assert given(ask(api, MATCH, token, {**SLOT, "stamp": stamp})) == [job_id]
    end(stamp)
    assert status_of(job_id) in ("Received", "Waiting")
    report = {str(job_id): {"Attempt": 1}}
    told = ask(api, "/api/jobs/heartbeat", token, report, "PATCH")
    assert told.json() == [{"job_id": job_id, "command": "Kill", "arguments": ""}]
