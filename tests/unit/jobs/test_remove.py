"""A job is removed with everything that any table holds of it, or not at all."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, select, text

from diracx_tasks.core.database import engine, reading, session
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import tasks
from diracx_tasks.jobs.expand import expand
from diracx_tasks.jobs.remove import DIRACS, remove
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import JobJDL
from diracx_tasks.sandboxes.clean import clean
from diracx_tasks.sandboxes.tables import Mapping, Sandbox
from tests.api.stores import ON_MARIADB, installation, migrated
from tests.builders import HEX, VO, Installation, a_job
from tests.integration import dirac9
from tests.stored import counts, fill, tables_with
from tests.unit.jobs.old import a_sandbox, an_old_job, left, the_newest

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")
KNOWN = {"Jobs", "JobJDLs", "JobPayloads", "JobAttempts", "LoggingInfo", "MatchQueue", "JobToPilotMapping"}


class PowerCut(Exception):
    """What a test has happen in the middle of a transaction."""


def a_done_job() -> int:
    with session() as db:
        return a_job(db, Status.DONE)


def removed(*job_ids: int) -> None:
    with session() as db:
        remove(db, job_ids)


def test_a_removed_job_leaves_no_row_in_any_table_that_knows_jobs() -> None:
    gone, stays = a_done_job(), a_done_job()
    names = fill("JobID", gone)
    fill("JobID", stays)
    assert names > KNOWN and len(names) >= 15
    before = counts("JobID", stays)
    assert counts("JobID", gone).keys() == names
    removed(gone)
    assert counts("JobID", gone) == {}
    assert counts("JobID", stays) == before


@pytest.fixture
def diracs(installation: Installation) -> Iterator[None]:
    """The tables of DIRAC 9 that we do not have, whose keys forbid the removal of a job with rows there."""
    schema = settings().database_schemas["JobDB"]
    wanted = [one for one in dirac9.TABLES if any(f".{name} (" in one for name in DIRACS)]
    assert len(wanted) == len(DIRACS)
    with engine().begin() as connection:
        for statement in wanted:
            # Our own jobs have signed numbers.
            made = statement.replace("{JobDB}", schema).replace("UNSIGNED", "")
            connection.execute(text(made.replace("REFERENCES Jobs", f"REFERENCES {schema}.Jobs")))
    yield
    with engine().begin() as connection:
        for name in DIRACS:
            connection.execute(text(f"DROP TABLE {schema}.{name}"))


@ON_MARIADB
def test_what_dirac_has_stored_of_a_job_goes_with_it(diracs: None) -> None:
    gone = a_done_job()
    assert fill("JobID", gone) > set(DIRACS)
    removed(gone)
    assert counts("JobID", gone) == {}


def test_sandboxes_of_a_removed_job_are_cleaned_unless_somebody_else_has_them() -> None:
    gone, stays = a_done_job(), a_done_job()
    with session() as db:
        own = a_sandbox(db, HEX, f"Job:{gone}")
        shared = a_sandbox(db, "a" * 64, f"Job:{gone}", f"Job:{stays}")
        assert clean(db) == 0
    removed(gone)
    with session() as db:
        assert clean(db) == 1
        assert set(db.scalars(select(Sandbox.sandbox_id))) == {shared} != {own}
        assert list(db.scalars(select(Mapping.entity))) == [f"Job:{stays}"]


def test_a_crash_at_any_statement_leaves_all_and_the_next_try_removes_it() -> None:
    jobs = [a_done_job(), a_done_job()]
    for job_id in jobs:
        fill("JobID", job_id)
    tables = tables_with("JobID")
    before = [counts("JobID", job_id, tables) for job_id in jobs]
    crashes = 0
    while _crashes_at(crashes + 1, jobs):
        crashes += 1
        if crashes % 4 == 0:
            assert [counts("JobID", job_id, tables) for job_id in jobs] == before
    assert crashes >= 12
    assert [counts("JobID", job_id) for job_id in jobs] == [{}, {}]


def _crashes_at(number: int, jobs: list[int]) -> bool:
    """Whether the removal has so many statements; it is interrupted after the last of these then."""
    seen = 0

    def count(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise PowerCut

    event.listen(engine(), "after_cursor_execute", count)
    try:
        removed(*jobs)
    except PowerCut:
        return True
    finally:
        event.remove(engine(), "after_cursor_execute", count)
    return False


def test_removing_twice_or_nothing_is_harmless() -> None:
    gone = a_done_job()
    removed(gone)
    removed(gone)
    removed()
    assert counts("JobID", gone) == {}


def test_the_number_of_a_removed_job_is_not_given_again() -> None:
    old = [an_old_job(Status.DONE, 30) for _ in range(3)]
    assert tasks.purge.run(vo=VO) == "2 removed, heartbeats of 0 forgotten, 0 killed"
    assert left(*old) == [2] and the_newest() > old[2]


def test_an_expansion_of_a_parametric_job_that_is_gone_ends() -> None:
    gone = a_done_job()
    fill("JobID", gone)
    removed(gone)
    with session() as db:
        assert expand(db, gone) == (0, 0)
    with reading() as db:
        assert db.get(JobJDL, gone) is None
