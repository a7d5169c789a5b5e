"""Pilots that somebody ends: what they held waits again at once, their elements hear of it in the end."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.core.database import reading, session
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job
from diracx_tasks.pilots import sync, tasks
from diracx_tasks.pilots.tables import Pilot, Submission
from tests.api.caller import Api
from tests.api.stores import installation, migrated
from tests.builders import VO, a_user, claim
from tests.unit.matching.ends import waiting
from tests.unit.pilots.spool import Grid, age, grid, planned, reasons, statuses, submitted, synced

__all__ = ["grid", "installation", "migrated"]
CAROL = a_user("carol", properties=(SERVICE,))


@pytest.fixture(autouse=True)
def sites(grid: Grid) -> Iterator[Grid]:
    yield grid


def sent(count: int = 1) -> list[str]:
    """Pilots that wait in ce1."""
    waiting(count)
    planned()
    submitted("ce1")
    synced("ce1")
    return stamps()


def stamps() -> list[str]:
    with reading() as db:
        return list(db.scalars(select(Pilot.stamp).order_by(Pilot.pilot_id)))


def killed(api: Api, *stamps: str, by: Any = CAROL) -> Any:
    answer = api.post("/api/pilots/kill", {"stamps": list(stamps)}, by=by)
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(ce: str = "ce1") -> str:
    return str(tasks.kill_pilots.run(vo=VO, ce=ce))


def status_of(job_id: int) -> str:
    with reading() as db:
        return str(db.get_one(Job, job_id).status)


def test_what_a_killed_pilot_held_waits_at_once_and_its_element_ends_it(api: Api, grid: Grid) -> None:
    first, second = sent(2)
    with reading() as db:
        job_id = db.scalars(select(Job.job_id)).first()
    assert job_id
    with session() as db:
        claim(db, job_id, pilot=first)
    grid.tell("ce1", "Running")
    synced("ce1")
    assert killed(api, first) == [
        {"stamp": first, "was": "Running", "has_ended": False, "words": "ce1 is told"}
    ]
    assert status_of(job_id) in (Status.RECEIVED, Status.WAITING)
    assert statuses() == {"Running": 1, "Deleted": 1}
    assert "killed by carol" in reasons()
    assert sorted(grid.jobs("ce1")) == sorted([first, second])
    assert told() == "1 ended"
    assert list(grid.jobs("ce1")) == [second]


def test_a_planned_pilot_that_is_killed_is_never_submitted(api: Api, grid: Grid) -> None:
    waiting(2)
    planned()
    first, second = stamps()
    (found,) = killed(api, first)
    assert found["words"] == "it was not submitted yet, and will not be"
    submitted("ce1")
    assert list(grid.jobs("ce1")) == [second]
    assert told() == "0 ended"


def test_a_pilot_that_is_killed_while_it_is_submitted_is_found_and_ended(api: Api, grid: Grid) -> None:
    waiting(1)
    planned()
    (stamp,) = stamps()
    grid.rule("ce1", "falls silent", "connection reset")
    submitted("ce1")
    assert killed(api, stamp)[0]["was"] == "Planned"
    assert list(grid.jobs("ce1")) == [stamp]
    assert told() == "1 ended"
    assert grid.jobs("ce1") == {}


def test_a_pilot_whose_submission_was_lost_is_looked_for_until_it_cannot_come_any_more(
    api: Api, grid: Grid
) -> None:
    waiting(1)
    planned()
    grid.rule("ce1", "away", "no route to host")
    submitted("ce1")
    killed(api, *stamps())
    assert told() == "0 ended"
    age(700)
    assert told() == "1 ended"


def test_an_element_that_is_away_is_told_again_after_a_restart(api: Api, grid: Grid) -> None:
    (stamp,) = sent()
    killed(api, stamp)
    # The message is lost, with all that was in the broker.
    with session() as db:
        for row in db.scalars(select(Outbox).where(Outbox.key == "ce-lhcb/ce1.kill")):
            db.delete(row)
    tasks.follow_pilots.run(vo=VO)
    with reading() as db:
        assert db.scalars(select(Outbox.task).where(Outbox.key == "ce-lhcb/ce1.kill")).all() == [
            "pilots.kill_pilots"
        ]
    assert told() == "1 ended"
    assert grid.jobs("ce1") == {}


def test_killing_twice_says_that_it_has_ended(api: Api) -> None:
    (stamp,) = sent()
    killed(api, stamp)
    assert killed(api, stamp) == [
        {"stamp": stamp, "was": "Deleted", "has_ended": True, "words": "it is Deleted already"}
    ]


def test_when_one_is_not_there_none_is_killed(api: Api) -> None:
    (stamp,) = sent()
    answer = api.post("/api/pilots/kill", {"stamps": [stamp, "nobody"]}, by=CAROL)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "there is no pilot nobody in lhcb: nothing was killed"
    assert statuses() == {"Waiting": 1}


def test_a_pilot_that_others_have_submitted_ends_in_the_books(api: Api) -> None:
    with session() as db:
        db.add(Pilot(stamp="theirs", vo=VO, destination="ce9", status="Running"))
    (found,) = killed(api, "theirs")
    assert found["words"] == "ce9 is not told: it was not submitted from here"
    assert statuses() == {"Deleted": 1}


def test_only_a_service_administrator_of_the_vo_kills(api: Api) -> None:
    (stamp,) = sent()
    body = {"stamps": [stamp]}
    assert api.post("/api/pilots/kill", body).status_code == 403
    assert api.post("/api/pilots/kill", body, by=a_user(vo="belle", properties=(SERVICE,))).status_code == 404
    assert statuses() == {"Waiting": 1}


def test_a_history_tells_a_pilots_way_and_its_jobs(api: Api, grid: Grid) -> None:
    (stamp,) = sent()
    with reading() as db:
        (job_id,) = db.scalars(select(Job.job_id))
    with session() as db:
        claim(db, job_id, pilot=stamp)
    grid.tell("ce1", "Running")
    synced("ce1")
    planned()
    answer = api.get(f"/api/pilots/{stamp}/history")
    assert answer.status_code == 200, answer.text
    row = answer.json()
    assert (row["site"], row["ce"], row["queue"], row["status"]) == ("LCG.CERN.ch", "ce1", "short", "Running")
    assert [one["words"] for one in row["events"]] == [
        "planned for short of ce1",
        f"submitted as ce1/{stamp}",
        "seen running",
    ]
    (job,) = row["jobs"]
    assert (job["job_id"], job["attempt"], job["status"], job["is_held"]) == (job_id, 1, "Matched", True)
    assert row["job_ids"] == [job_id]
    killed(api, stamp)
    row = api.get(f"/api/pilots/{stamp}/history").json()
    assert row["events"][-1]["words"] == "Deleted: killed by carol"
    assert row["is_to_be_killed"] and not row["jobs"][0]["is_held"]
    assert api.get("/api/pilots/nobody/history").status_code == 404
    assert api.get(f"/api/pilots/{stamp}/history", by=a_user(vo="belle")).status_code == 404


def test_a_killed_pilot_stays_killed_whatever_its_batch_system_says(api: Api, grid: Grid) -> None:
    (stamp,) = sent()
    killed(api, stamp)
    grid.tell("ce1", "Running")
    sync.sync_pilots(VO, "ce1")
    assert statuses() == {"Deleted": 1}
    with reading() as db:
        assert db.scalars(select(Submission.to_kill)).all() == [1]
