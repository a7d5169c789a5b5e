"""Many at once at the same jobs on a real MariaDB: no 5xx, every event once, and a plain model's state."""

import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from diracx_tasks.core import database
from diracx_tasks.jobs.states import TRANSITIONS, Status
from tests.api.caller import Api
from tests.api.changes import STATUS, a_stored_job, at, events, status_of, tell, the
from tests.api.stores import ON_MARIADB, installation, migrated
from tests.api.test_job_sandboxes import a_sandbox, of
from tests.builders import HEX, a_pilot, an_administrator

__all__ = ["installation", "migrated"]
pytestmark = [pytest.mark.integration, ON_MARIADB]
SIMPLE = 'Executable = "echo";'
BEAT, AGAIN, FACTS = (f"/api/jobs/{one}" for one in ("heartbeat", "reschedule", "metadata"))
T = TypeVar("T")


def at_once(work: Callable[[T], Any], things: Iterable[T], threads: int = 32) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, things))


def codes(answers: list[Any]) -> set[int]:
    return {answer.status_code for answer in answers}


def jobs(db: Session, number: int, **stated: Any) -> list[int]:
    return [a_stored_job(db, **stated) for _ in range(number)]


def said(job_id: int) -> list[str]:
    """The application's words in the events that this test made."""
    return [one[2] for one in events(job_id) if one[3] == "Hammer"]


def test_thirty_two_writers_to_one_job(api: Api, db: Session) -> None:
    (job_id,) = jobs(db, 1)
    numbers = random.Random(1).sample(range(160), 160)

    def write(number: int) -> Any:
        return tell(api, job_id, {at(number): {"ApplicationStatus": f"event {number}", "Source": "Hammer"}})

    assert codes(at_once(write, numbers)) == {200}
    assert sorted(said(job_id)) == sorted(f"event {number}" for number in numbers)
    assert the(api, job_id)["ApplicationStatus"] == "event 159"
    history = [one["ApplicationStatus"] for one in api.get(f"/api/jobs/{job_id}/history").json()]
    assert history[-160:] == [f"event {number}" for number in range(160)]


def test_twenty_four_overlapping_bulks_small_and_large(api: Api, db: Session) -> None:
    there = jobs(db, 60)
    chance = random.Random(2)
    bulks = {n: chance.sample(there, chance.choice([3, 15, 20, 21, 45, 60])) for n in range(48)}

    def write(number: int) -> Any:
        update = {at(number): {"ApplicationStatus": f"bulk {number}", "Source": "Hammer"}}
        return api.patch(STATUS, {str(job_id): update for job_id in bulks[number]})

    answers = at_once(write, bulks, 24)
    assert codes(answers) == {200}
    for number, answer in enumerate(answers):
        assert sorted(map(int, answer.json()["success"])) == sorted(bulks[number])
    for job_id in there:
        wrote = [number for number, chosen in bulks.items() if job_id in chosen]
        assert sorted(said(job_id)) == sorted(f"bulk {number}" for number in wrote)
        assert the(api, job_id)["ApplicationStatus"] == f"bulk {max(wrote)}"


def test_many_heartbeats_in_one_second(api: Api, db: Session) -> None:
    there = jobs(db, 30)
    chance = random.Random(3)
    sets = [chance.sample(there, chance.choice([1, 5, 25])) for _ in range(48)]

    def beat(chosen: list[int]) -> Any:
        return api.patch(BEAT, {str(job_id): {"CPUConsumed": 1.5} for job_id in chosen})

    answers = at_once(beat, sets, 24)
    assert codes(answers) == {200}
    for job_id in there:
        kept = api.get(f"/api/jobs/{job_id}/heartbeats").json()
        assert len(kept) == sum(job_id in chosen for chosen in sets)


def test_kills_against_reports(api: Api, db: Session) -> None:
    there = jobs(db, 12)
    pilot = a_pilot()
    ways: list[Callable[[int], Any]] = [
        lambda job_id: api.post(f"/api/jobs/{job_id}/kill"),
        lambda job_id: tell(api, job_id, {at(-86000): {"Status": "Killed"}}),
        lambda job_id: tell(api, job_id, {at(1): {"Status": "Done", "Attempt": 1}}, by=pilot),
        lambda job_id: tell(api, job_id, {at(2): {"Status": "Failed", "Attempt": 1}}, by=pilot),
        lambda job_id: api.patch(BEAT, {str(job_id): {"Attempt": 1, "CPUConsumed": 1}}, by=pilot),
        lambda job_id: tell(api, job_id, {at(3): {"Status": "Completing"}}, by=an_administrator()),
        lambda job_id: api.post(f"/api/jobs/{job_id}/delete"),
    ]
    calls = [(way, job_id) for job_id in there for way in ways]
    random.Random(4).shuffle(calls)
    assert codes(at_once(lambda call: call[0](call[1]), calls)) <= {200, 409}
    for job_id in there:
        job, current = the(api, job_id), Status.RUNNING
        told = events(job_id)
        for status, _, _, source in told[4:]:
            # The plain model: what is recorded follows from what was before, or was refused.
            assert status == current or Status(status) in TRANSITIONS[current], told
            assert not source.endswith("(SM)") or status == current
            current = Status(status)
        assert job["Status"] == current
        assert current in (Status.KILLED, Status.DONE, Status.FAILED, Status.DELETED)
        (attempt,) = job["Attempts"]
        assert attempt["ended_at"] and attempt["status"] in ("Killed", "Done", "Failed")


def test_overlapping_reschedulings_submissions_and_facts(api: Api, db: Session) -> None:
    there = jobs(db, 20)
    chance = random.Random(5)

    def work(number: int) -> Any:
        chosen = chance.sample(there, 8)
        if number % 4 == 0:
            return api.post(AGAIN, {"job_ids": chosen}, params={"reset_jobs": "true"})
        if number % 4 == 1:
            return api.patch(FACTS, {str(one): {"Site": f"S{number}", "HostName": "x"} for one in chosen})
        if number % 4 == 2:
            return api.post("/api/jobs/jdl", [SIMPLE] * chance.choice([1, 2, 30]))
        return api.patch(STATUS, {str(one): {at(number): {"MinorStatus": "x"}} for one in chosen})

    assert codes(at_once(work, range(48), 24)) <= {200, 201, 204}
    for job_id in there:
        numbers = [one["attempt"] for one in the(api, job_id)["Attempts"]]
        assert numbers == [1]


def test_sixteen_identical_sandboxes_and_assignments(api: Api, db: Session) -> None:
    (job_id,) = jobs(db, 1)
    body = {"checksum": HEX, "size": 3, "format": "tar.zst"}
    answers = at_once(lambda _: api.post("/api/jobs/sandbox", body), range(16))
    assert codes(answers) == {200}
    assert len({answer.json()["pfn"] for answer in answers}) == 1
    pfn = a_sandbox(api)
    given = at_once(lambda _: api.patch(f"/api/jobs/{job_id}/sandbox/output", pfn), range(16))
    assert codes(given) <= {200, 400} and 200 in codes(given)
    assert of(api, job_id)["Output"] == [pfn]


def fail(connection: Any) -> None:
    """What MariaDB does when it cannot commit."""
    connection.exec_driver_sql("ROLLBACK")
    raise OperationalError("COMMIT", {}, Exception(1180, "Got error 28 during COMMIT"))


@pytest.fixture
def poisoned_commits(api: Api) -> Iterator[None]:
    """A commit fails when something that is said by Poison is in it, or while everything is poisoned."""
    engine = database.engine()

    def refuse(connection: Any) -> None:
        found = text("SELECT COUNT(*) FROM JobLoggingDB.LoggingInfo WHERE StatusSource = 'Poison'")
        schema = engine.get_execution_options()["schema_translate_map"]["JobLoggingDB"]
        words = str(found).replace("JobLoggingDB", schema)
        if connection.exec_driver_sql(words).scalar_one():
            fail(connection)

    event.listen(engine, "commit", refuse)
    yield
    event.remove(engine, "commit", refuse)


def test_who_is_gathered_with_one_whose_commit_fails_is_told_so_and_succeeds_later(
    api: Api, db: Session, poisoned_commits: None
) -> None:
    there = jobs(db, 48)

    def write(place: int) -> Any:
        source = "Poison" if place % 8 == 3 else "Hammer"
        update = {at(1): {"Status": "Completing", "ApplicationStatus": "x", "Source": source}}
        return tell(api, there[place], update)

    answers = at_once(write, range(48))
    for place, answer in enumerate(answers):
        job_id = there[place]
        if place % 8 == 3 or answer.status_code != 200:
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert (status_of(api, job_id), len(events(job_id))) == ("Running", 4)
        if place % 8 != 3:
            assert answer.status_code == 200 or write(place).status_code == 200
            assert (status_of(api, job_id), said(job_id)) == ("Completing", ["x"])


@pytest.fixture
def broken_commits(api: Api) -> Iterator[Callable[[], None]]:
    """From its call on every commit fails."""
    engine = database.engine()
    broken: list[bool] = []

    def refuse(connection: Any) -> None:
        if broken:
            fail(connection)

    event.listen(engine, "commit", refuse)
    yield lambda: broken.append(True)
    event.remove(engine, "commit", refuse)


def test_a_commit_that_fails_is_never_answered_with_success(
    api: Api, db: Session, broken_commits: Callable[[], None]
) -> None:
    there = jobs(db, 30)
    job_id, pfn, key = there[0], a_sandbox(api), {"Idempotency-Key": "again"}
    before = [the(api, one) for one in there]
    broken_commits()
    answers = [
        api.post("/api/jobs/jdl", [SIMPLE], headers=key),
        api.post("/api/jobs/jdl", [SIMPLE] * 30),
        tell(api, job_id, {at(1): {"Status": "Done"}}),
        tell(api, job_id, {at(1): {"Status": "Done", "Attempt": 1}}, by=a_pilot()),
        api.patch(STATUS, {str(one): {at(1): {"Status": "Done"}} for one in there}),
        api.patch(BEAT, {str(job_id): {"CPUConsumed": 1}}),
        api.patch(BEAT, {str(one): {"CPUConsumed": 1} for one in there}),
        api.patch(FACTS, {str(job_id): {"Site": "LCG.RAL.uk", "HostName": "x"}}),
        api.post(AGAIN, {"job_ids": there}),
        api.post(f"/api/jobs/{job_id}/kill"),
        api.post(f"/api/jobs/{job_id}/delete"),
        api.patch(f"/api/jobs/{job_id}/sandbox/output", pfn),
        api.ask("DELETE", f"/api/jobs/{job_id}/sandbox"),
        api.post("/api/jobs/sandbox/unassign", {"job_ids": there}),
        api.post("/api/jobs/sandbox", {"checksum": HEX, "size": 3, "format": "tar.zst"}),
    ]
    assert [(one.status_code, one.headers.get("Retry-After")) for one in answers] == [(503, "1")] * 15
    assert [the(api, one) for one in there] == before
    assert [len(events(one)) for one in there] == [4] * 30
    assert len(api.post("/api/jobs/search", {}).json()) == len(there)
