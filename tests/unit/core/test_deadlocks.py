"""A transaction that the database has ended because of another one is carried out again."""

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from diracx_tasks.core import deadlocks
from diracx_tasks.core.database import commit, new_session, reading
from diracx_tasks.core.deadlocks import TRIES, patiently
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.engine.tables import Outbox
from tests.builders import Installation, installation, template

__all__ = ["installation", "template"]
DEADLOCK, AWAY = 1213, 2003


class Work:
    """Asks for a task under another key each time, and fails so often."""

    def __init__(self, db: Session, failures: int, code: int = DEADLOCK) -> None:
        self.db, self.failures, self.code = db, failures, code
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        enqueue(self.db, "jobs.optimize", f"try-{self.tries}")
        if self.tries <= self.failures:
            raise OperationalError("UPDATE", {}, Exception(self.code, "no luck"))
        commit(self.db)
        return "done"


def asked() -> list[str]:
    with reading() as db:
        return list(db.scalars(select(Outbox.key)))


@pytest.mark.parametrize("failures", [0, 1, TRIES - 1])
def test_after_a_deadlock_only_the_last_try_counts(installation: Installation, failures: int) -> None:
    with new_session() as db:
        work = Work(db, failures)
        assert patiently(db, work) == "done"
    assert work.tries == failures + 1
    assert asked() == [f"try-{failures + 1}"]


def test_a_deadlock_that_comes_again_and_again_is_an_error(installation: Installation) -> None:
    with new_session() as db, pytest.raises(OperationalError) as caught:
        patiently(db, Work(db, TRIES))
    assert deadlocks.is_deadlock(caught.value)
    assert asked() == []


def test_other_errors_are_not_tried_again(installation: Installation) -> None:
    with new_session() as db:
        work = Work(db, 1, AWAY)
        with pytest.raises(OperationalError):
            patiently(db, work)
    assert work.tries == 1
