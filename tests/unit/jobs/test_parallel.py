"""Many at once at one job, on a real MariaDB: one wins, nobody gets an error."""

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from diracx_tasks.core import database, schema
from diracx_tasks.jobs import control, heartbeat, status
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change, Outcome
from diracx_tasks.jobs.tables import Ended, Job, JobEvent
from tests.builders import a_job, a_pilot, claim, environment
from tests.servers import MariaDB, Redis

pytestmark = pytest.mark.integration
MANY = 16


@pytest.fixture(scope="module")
def real_database(
    mariadb: MariaDB, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Our tables on MariaDB, in databases of their own."""
    mark, folder = secrets.token_hex(3), tmp_path_factory.mktemp("parallel")
    with (
        environment(DIRACX_DATA=str(folder), DIRACX_DATABASE_URL=mariadb.url),
        database.engine().connect() as connection,
    ):
        connection.execute(text(f"CREATE DATABASE jobs_{mark} CHARACTER SET utf8mb4"))
    names = ", ".join(f'"{name}": "{name}_{mark}"' for name in database.DIRAC_SCHEMAS)
    stated = {
        "DIRACX_DATA": str(folder),
        "DIRACX_DATABASE_URL": mariadb.url_of(f"jobs_{mark}"),
        "DIRACX_DATABASE_SCHEMAS": "{" + names + "}",
        "DIRACX_REDIS_URL": redis_server.url,
    }
    with environment(**stated):
        schema.migrate()
        yield


def a_stored_job(wanted: Status) -> int:
    with database.session() as db:
        return a_job(db, wanted, owner_task="workflows.advance", owner_id=secrets.randbelow(10**9))


def events(job_id: int) -> list[tuple[int, str]]:
    with database.reading() as db:
        query = select(JobEvent.number, JobEvent.status).where(JobEvent.job_id == job_id)
        return [(row.number, row.status) for row in db.execute(query.order_by(JobEvent.number))]


def test_of_many_pilots_one_gets_the_job(real_database: None) -> None:
    job_id = a_stored_job(Status.WAITING)

    def match(number: int) -> int | None:
        with database.session() as db:
            return claim(db, job_id, pilot=f"stamp-{number}")

    with ThreadPoolExecutor(MANY) as threads:
        claims = list(threads.map(match, range(MANY)))
    assert sorted(claims, key=str) == [1] + [None] * (MANY - 1)


def test_of_many_ends_one_counts(real_database: None) -> None:
    job_id = a_stored_job(Status.RUNNING)
    ends = [Status.DONE, Status.FAILED, Status.KILLED, Status.COMPLETING] * (MANY // 4)

    def end(to: Status) -> Outcome:
        with database.session() as db:
            return status.move(db, job_id, Change(to, outputs={}), attempt=1)

    with ThreadPoolExecutor(MANY) as threads:
        outcomes = list(threads.map(end, ends))
    with database.reading() as db:
        last = db.execute(select(Job.status).where(Job.job_id == job_id)).scalar_one()
        told = db.execute(select(func.count()).where(Ended.job_id == job_id)).scalar_one()
    assert last in (Status.DONE, Status.FAILED, Status.KILLED) and told == 1
    assert events(job_id)[-1][1] == last
    assert [number for number, _ in events(job_id)] == list(range(1, len(events(job_id)) + 1))
    assert 1 <= outcomes.count(Outcome.APPLIED) <= 2


def test_many_identical_reports_are_one_event(real_database: None) -> None:
    job_id = a_stored_job(Status.RUNNING)

    def report(_: int) -> str:
        with database.session() as db:
            news = heartbeat.Report(1, Change(Status.DONE, outputs={}))
            return heartbeat.report(db, job_id, [news], by=a_pilot())

    with ThreadPoolExecutor(MANY) as threads:
        assert set(threads.map(report, range(MANY))) == {"Done"}
    assert [name for _, name in events(job_id)].count("Done") == 1


def test_many_reschedules_are_one(real_database: None) -> None:
    job_id = a_stored_job(Status.RUNNING)

    def reschedule(_: int) -> Outcome:
        with database.session() as db:
            return control.reschedule(db, job_id, attempt=1, reason="r", source="Test")

    with ThreadPoolExecutor(MANY) as threads:
        outcomes = list(threads.map(reschedule, range(MANY)))
    assert (outcomes.count(Outcome.APPLIED), outcomes.count(Outcome.LATE)) == (1, MANY - 1)


def test_a_job_that_is_rescheduled_while_it_is_killed_is_killed(real_database: None) -> None:
    job_id = a_stored_job(Status.RUNNING)
    with Session(database.engine()) as first, ThreadPoolExecutor(1) as thread:
        control.reschedule(first, job_id, attempt=1, reason="r", source="Test")

        def kill() -> int:
            with database.session() as db:
                return control.kill_all(db, [job_id], "because of a test")

        killing = thread.submit(kill)
        _wait_for_a_waiting_lock()
        first.commit()
        assert killing.result(30) == 1
    assert events(job_id)[-1][1] == "Killed"


def _wait_for_a_waiting_lock() -> None:
    """Return when somebody waits for a row that another holds."""
    query = text("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
    for _ in range(50):
        time.sleep(0.2)  # the server renews this table every 0.1 s, and only when it is left alone
        with database.reading() as db:
            if db.execute(query).scalar_one():
                return
    raise AssertionError("nobody waits")


def test_keys_that_differ_in_case_are_different_keys(real_database: None, tmp_path: Path) -> None:
    from diracx_tasks.cwl.bundle import Bundle
    from diracx_tasks.workflows import submit
    from tests.builders import TOOL, a_user

    numbers = set()
    for key in ("once", "ONCE"):
        bundle = Bundle.of({"workflow.cwl": f"{TOOL}doc: '{key}'\n".encode()}, "workflow.cwl")
        checked = submit.check(bundle, {"words": "x"}, by=a_user())
        request = submit.Request(bundle, {"words": "x"}, key=key)
        with database.session() as db:
            numbers.add(submit.submit(db, request, checked, by=a_user()).workflow_id)
    assert len(numbers) == 2
