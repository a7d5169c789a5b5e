"""Several callers in one transaction: everybody gets his own answer, and nothing is carried out twice."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, reading, session
from diracx_tasks.core.gather import Gathered
from diracx_tasks.jobs.tables import JobEvent
from tests.builders import Installation, installation, template

__all__ = ["installation", "template"]

NUMBERS = itertools.count(1)
GOOD, REFUSED, LOST = "good", "refused", "lost at the commit"
CALLS = st.lists(st.sampled_from([GOOD, GOOD, REFUSED, LOST]), min_size=1, max_size=24)
MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Asked = tuple[int, str]


class NotToday(Exception):
    """What one of the callers is told."""


def store(db: Session, asked: Sequence[Asked]) -> list[str]:
    """A row for each; one that is refused spoils the call, one that is lost spoils the commit."""
    for number, kind in asked:
        row = {"job_id": number, "number": next(NUMBERS), "at": now()}
        db.execute(insert(JobEvent).values(**row))
        if kind == REFUSED:
            raise NotToday(number)
        if kind == LOST:
            db.execute(text("PRAGMA defer_foreign_keys = ON"))
            db.execute(text(f"INSERT INTO sb_EntityMapping VALUES (4711, 'Job:{number}', 'Input')"))
    return [f"{kind} {number}" for number, kind in asked]


def stored() -> Counter[int]:
    with reading() as db:
        return Counter(db.scalars(select(JobEvent.job_id)))


def outcome(call: Callable[[Asked], str], asked: Asked) -> Any:
    try:
        return call(asked)
    except (NotToday, IntegrityError) as error:
        return error


@MANY
@given(kinds=CALLS, most=st.integers(1, 12))
def test_everybody_gets_his_own_answer_or_error_and_is_stored_once_or_not_at_all(
    installation: Installation, kinds: list[str], most: int
) -> None:
    with session() as db:
        db.execute(delete(JobEvent))
    gathered = Gathered(store, most)
    calls = list(enumerate(kinds))
    with ThreadPoolExecutor(len(calls)) as threads:
        found = list(threads.map(lambda asked: outcome(gathered, asked), calls))
    for (number, kind), answer in zip(calls, found, strict=True):
        if kind == REFUSED:
            assert isinstance(answer, NotToday) and answer.args == (number,)
        else:
            # Who was together with one whose commit fails does not know either what became of it.
            is_lost = isinstance(answer, IntegrityError) and LOST in kinds
            assert is_lost if kind == LOST else is_lost or answer == f"good {number}"
    done = [number for (number, _), answer in zip(calls, found, strict=True) if isinstance(answer, str)]
    assert stored() == Counter(done)


@pytest.mark.parametrize("most", [1, 3, 100])
def test_who_comes_while_another_is_busy_waits_and_goes_with_the_others(
    installation: Installation, most: int
) -> None:
    first, may_end = threading.Event(), threading.Event()
    together: list[int] = []

    def watched(db: Session, asked: Sequence[Asked]) -> list[str]:
        together.append(len(asked))
        first.set()
        assert may_end.wait(30)
        return store(db, asked)

    gathered: Gathered[Asked, str] = Gathered(watched, most)
    with ThreadPoolExecutor(7) as threads:
        answers = [threads.submit(gathered, (0, GOOD))]
        assert first.wait(30)
        answers += [threads.submit(gathered, (number, GOOD)) for number in range(1, 7)]
        while len(gathered._waiting) < 6:
            threading.Event().wait(0.01)
        may_end.set()
        assert [one.result(30) for one in answers] == [f"good {number}" for number in range(7)]
    assert together[0] == 1 and max(together) == min(most, 6) and sum(together) == 7
    assert stored() == Counter(range(7))


def test_nobody_waits_for_ever_after_a_failure(installation: Installation) -> None:
    gathered = Gathered(store)
    for number in range(3):
        assert isinstance(outcome(gathered, (number, REFUSED)), NotToday)
        assert outcome(gathered, (10 + number, GOOD)) == f"good {10 + number}"
    assert stored() == Counter([10, 11, 12])
