"""When the database is away, who waited together is told together, and not one after the other."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pymysql
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from diracx_tasks.core.away import is_away
from diracx_tasks.core.gather import Gathered
from tests.builders import Installation, installation, template
from tests.servers import MariaDB, free_port

__all__ = ["installation", "template"]
LOST = pymysql.OperationalError(2013, "Lost connection to MySQL server during query (timed out)")
DEADLOCK = pymysql.OperationalError(1213, "Deadlock found when trying to get lock")


def test_a_lost_connection_is_away_and_a_wrong_statement_is_not() -> None:
    assert is_away(OperationalError("SELECT 1", {}, LOST, connection_invalidated=True))
    assert is_away(PoolTimeout("QueuePool limit reached"))
    assert not is_away(OperationalError("SELECT 1", {}, DEADLOCK))
    assert not is_away(ProgrammingError("SELEKT", {}, pymysql.ProgrammingError(1064, "syntax")))
    assert not is_away(ValueError("no error of a database"))


def test_a_server_that_nobody_reaches_is_away() -> None:
    engine = create_engine(
        f"mysql+pymysql://x:y@127.0.0.1:{free_port()}/z", connect_args={"connect_timeout": 1}
    )
    with pytest.raises(DBAPIError) as caught, engine.connect():
        pass
    assert is_away(caught.value)


@pytest.mark.integration
def test_a_statement_that_takes_too_long_is_away_and_one_that_is_wrong_is_not(mariadb: MariaDB) -> None:
    engine = create_engine(mariadb.url, connect_args={"read_timeout": 1})
    for statement, expected in (("SELECT SLEEP(3)", True), ("SELECT nothing FROM nowhere", False)):
        with pytest.raises(DBAPIError) as caught, engine.connect() as connection:
            connection.execute(text(statement))
        assert is_away(caught.value) is expected
    engine.dispose()


def test_all_who_waited_together_for_a_database_that_is_away_are_told_at_once(
    installation: Installation,
) -> None:
    first, may_end = threading.Event(), threading.Event()
    calls: list[int] = []

    def in_vain(db: Session, asked: Sequence[int]) -> list[int]:
        calls.append(len(asked))
        first.set()
        assert may_end.wait(30)
        raise OperationalError("SELECT 1", {}, LOST, connection_invalidated=True)

    gathered: Gathered[int, int] = Gathered(in_vain)
    with ThreadPoolExecutor(9) as threads:
        answers = [threads.submit(gathered, 0)]
        assert first.wait(30)
        answers += [threads.submit(gathered, number) for number in range(1, 9)]
        while len(gathered._waiting) < 8:
            threading.Event().wait(0.01)
        may_end.set()
        errors = [one.exception(30) for one in answers]
    assert all(isinstance(error, OperationalError) for error in errors)
    assert calls == [1, 8]
