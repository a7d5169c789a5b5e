"""Pilots ask for work; and an answer never says more than what was committed."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from diracx_tasks.core import database
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Attempt
from diracx_tasks.matching.tasks import rebuild
from tests.api.caller import Api
from tests.api.stores import installation, migrated
from tests.builders import Installation, a_job, a_pilot

__all__ = ["installation", "migrated"]
ON_SQLITE = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)

PATH = "/api/pilots/match"
SLOT = {"stamp": "stamp-1", "site": "LCG.CERN.ch", "ce": "ce", "cores": 8, "ram_mb": 16000}


def ask(api: Api, stamp: str = "stamp-1", **slot: Any) -> Any:
    return api.post(PATH, {**SLOT, "stamp": stamp, **slot}, by=a_pilot(stamp))


def waiting(db: Session, count: int, **stated: Any) -> list[int]:
    """Jobs that have reached the queue."""
    made = [a_job(db, **stated) for _ in range(count)]
    database.commit(db)
    return made


def test_a_pilot_gets_a_job_with_all_it_needs(api: Api, db: Session) -> None:
    (job_id,) = waiting(db, 1)
    (job,) = ask(api).json()["jobs"]
    assert (job["job_id"], job["attempt"], job["owner"], job["vo"]) == (job_id, 1, "alice", "lhcb")
    assert job["payload"]["kind"] == "cwl" and job["heartbeat_seconds"] == 30
    assert ask(api).json() == {"jobs": [], "retry_after": 1.0}
    found = api.get(f"/api/jobs/{job_id}").json()
    assert (found["Status"], found["Site"]) == ("Matched", "LCG.CERN.ch")
    assert found["Attempts"][0]["pilot"] == "stamp-1"


def test_a_pilot_asks_for_itself_only(api: Api, db: Session) -> None:
    waiting(db, 1)
    assert api.post(PATH, SLOT, by=a_pilot("stamp-2")).status_code == 403


def test_jobs_come_by_priority_then_by_age(api: Api, db: Session) -> None:
    low, high = waiting(db, 2, requirements={"priority": 1}), waiting(db, 2, requirements={"priority": 9})
    found = ask(api, count=10).json()["jobs"]
    assert [job["job_id"] for job in found] == high + low


def test_several_jobs_share_the_slot(api: Api, db: Session) -> None:
    wide, *narrow = [
        waiting(db, 1, requirements={"cores": cores, "max_cores": most, "ram_mb": 2000})[0]
        for cores, most in ((4, 6), (1, 1), (2, 2), (1, 4))
    ]
    found = ask(api, count=10).json()["jobs"]
    assert [(job["job_id"], job["cores"], job["ram_mb"]) for job in found] == [
        (wide, 6, 2000),
        (narrow[0], 1, 2000),
        (narrow[2], 1, 2000),
    ]
    assert [job["job_id"] for job in ask(api, "stamp-2", count=10).json()["jobs"]] == [narrow[1]]


def test_a_pilot_hears_what_each_job_takes_of_it(api: Api, db: Session) -> None:
    gpu = {"gpu": {"count": {"min": 2}}, "io": {"scratch_mb": 3000}, "cores": 2}
    waiting(db, 1, requirements=gpu)
    waiting(db, 1)
    found = ask(api, count=2, gpus=3, scratch_mb=10_000).json()["jobs"]
    assert [(job["gpus"], job["scratch_mb"]) for job in found] == [(2, 3000), (0, 0)]


def test_owners_take_turns(api: Api, db: Session) -> None:
    many, few = waiting(db, 4), waiting(db, 2, owner="bob")
    found = [job["job_id"] for job in ask(api, count=10).json()["jobs"]]
    assert found == [many[0], few[0], many[1], few[1], many[2], many[3]]


def test_an_attempt_says_where_it_runs(api: Api, db: Session) -> None:
    waiting(db, 1)
    ask(api, name="wn17", ce="ce01.cern.ch")
    attempt = db.scalars(select(Attempt)).one()
    where = (attempt.pilot, attempt.site, attempt.ce, attempt.node)
    assert where == ("stamp-1", "LCG.CERN.ch", "ce01.cern.ch", "wn17")


def test_a_job_that_was_killed_while_it_waited_is_not_given(api: Api, db: Session) -> None:
    first, second = waiting(db, 2)
    api.post(f"/api/jobs/{first}/kill")
    assert [job["job_id"] for job in ask(api).json()["jobs"]] == [second]


def test_eight_pilots_at_once_never_get_the_same_job(api: Api, db: Session) -> None:
    made = waiting(db, 40)

    def work(number: int) -> list[int]:
        found: list[int] = []
        while jobs := ask(api, f"stamp-{number}", count=2).json()["jobs"]:
            found += [job["job_id"] for job in jobs]
        return found

    with ThreadPoolExecutor(8) as threads:
        given = [job_id for found in threads.map(work, range(8)) for job_id in found]
    assert sorted(given) == made


@pytest.mark.parametrize(
    "changed",
    [
        {"cores": 0},
        {"ram_mb": 0},
        {"count": 0},
        {"count": 101},
        {"site": "x" * 101},
        {"tags": "x"},
        {"tags": ["x"] * 1001},
        {"cores": 2**80},
    ],
    ids=str,
)
def test_a_malformed_slot_is_422(api: Api, changed: dict[str, Any]) -> None:
    assert ask(api, **changed).status_code == 422


def test_without_redis_pilots_are_told_to_come_again(
    api: Api, db: Session, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job_id,) = waiting(db, 1)
    monkeypatch.setenv("DIRACX_REDIS_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    answer = ask(api)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert api.get(f"/api/jobs/{job_id}").json()["Status"] == "Waiting"


def test_after_a_flush_of_redis_the_queue_is_asked_for_again(
    api: Api, db: Session, installation: Installation
) -> None:
    waiting(db, 1)
    installation.redis.flush()
    assert ask(api).json()["jobs"] == []
    rebuild.apply(kwargs={"vo": "lhcb"})
    assert len(ask(api).json()["jobs"]) == 1


@pytest.fixture
def broken_commits() -> Any:
    """The database refuses every commit, as it does when a constraint that is checked last is broken."""

    def refuse(connection: Any) -> None:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        connection.exec_driver_sql("INSERT INTO sb_EntityMapping VALUES (4711, 'Job:1', 'Input')")

    event.listen(database.engine(), "commit", refuse)
    yield
    event.remove(database.engine(), "commit", refuse)


@ON_SQLITE
def test_a_commit_that_fails_is_never_a_success(
    api: Api, db: Session, request: pytest.FixtureRequest
) -> None:
    waiting(db, 1)
    request.getfixturevalue("broken_commits")
    answers = [
        api.submit(),
        ask(api),
        api.post("/api/jobs/sandbox", {"checksum": "0" * 64, "size": 3, "format": "file"}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1"), answer.text


@ON_SQLITE
def test_a_kill_that_was_not_committed_is_an_error_and_did_not_happen(
    api: Api, db: Session, request: pytest.FixtureRequest
) -> None:
    job_id = a_job(db, Status.RUNNING)
    db.commit()
    request.getfixturevalue("broken_commits")
    assert api.post(f"/api/jobs/{job_id}/kill").status_code == 503
    assert api.get(f"/api/jobs/{job_id}").json()["Status"] == "Running"
