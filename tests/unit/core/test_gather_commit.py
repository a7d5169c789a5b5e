"""The commit of gathered callers: a deadlock there is tried again, another failure never is."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, reading
from diracx_tasks.core.gather import Gathered
from diracx_tasks.jobs.tables import JobEvent
from tests.builders import Installation, installation, template

__all__ = ["installation", "template"]
DEADLOCK, LOCK_WAIT, LOST = 1213, 1205, 2013


class Store:
    """A row for each caller; the first commit of those that are together fails with this code."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.calls: list[int] = []
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self, db: Session, asked: Sequence[int]) -> list[str]:
        self.calls.append(len(asked))
        if 0 in asked:
            self.has_begun.set()
            assert self.may_end.wait(30)
        elif len(self.calls) == 2:
            event.listen(db, "before_commit", self.fail, once=True)
        for number in asked:
            db.execute(insert(JobEvent).values(job_id=number, number=number, at=now()))
        return [f"stored {number}" for number in asked]

    def fail(self, db: Session) -> None:
        raise OperationalError("COMMIT", {}, Exception(self.code, "as the test wants it"))


def stored() -> Counter[int]:
    with reading() as db:
        return Counter(db.scalars(select(JobEvent.job_id)))


def told(store: Store, count: int) -> list[str | BaseException]:
    """What so many callers are told that wait together while another one is busy."""
    gathered: Gathered[int, str] = Gathered(store)
    with ThreadPoolExecutor(count + 1) as threads:
        first = threads.submit(gathered, 0)
        assert store.has_begun.wait(30)
        others = [threads.submit(gathered, number) for number in range(1, count + 1)]
        while len(gathered._waiting) < count:
            threading.Event().wait(0.01)
        store.may_end.set()
        assert first.result(30) == "stored 0"
        return [one.exception(30) or one.result() for one in others]


@pytest.mark.parametrize("count", [1, 5])
def test_after_a_deadlock_at_the_commit_everybody_is_stored_once(
    installation: Installation, count: int
) -> None:
    store = Store(DEADLOCK)
    assert told(store, count) == [f"stored {number}" for number in range(1, count + 1)]
    assert store.calls == [1, count, count]
    assert stored() == Counter(range(count + 1))


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("code", [LOCK_WAIT, LOST])
def test_after_another_failure_of_the_commit_nothing_is_tried_again(
    installation: Installation, code: int, count: int
) -> None:
    store = Store(code)
    answers = told(store, count)
    assert all(isinstance(one, OperationalError) for one in answers)
    assert store.calls == [1, count]
    assert stored() == Counter([0])
