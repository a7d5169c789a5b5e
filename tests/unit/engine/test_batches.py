"""Batches: many calls taken at once, each at least once, the bad ones sorted out."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel
from sqlalchemy import select, update

from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.engine import batches, dead_letters
from diracx_tasks.engine.declared import InvalidArguments
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.tables import Call, DeadLetter, Outbox
from tests.builders import Installation
from tests.unit.engine.work import declared, drain

pytestmark = pytest.mark.usefixtures("noting")


class Change(BaseModel):
    """One call."""

    job: int
    status: str = "Done"


class Ledger:
    """What was taken, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.poison: set[int] = set()
        self.is_away = False

    @property
    def jobs(self) -> list[int]:
        return sorted(job for batch in self.batches for job in batch)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def noting(installation: Installation, ledger: Ledger) -> Iterator[None]:
    def note(calls: list[Change]) -> str:
        if ledger.is_away:
            raise ConnectionError("the database is away")
        if bad := ledger.poison & {call.job for call in calls}:
            raise ValueError(f"cannot note {sorted(bad)}")
        ledger.batches.append([call.job for call in calls])
        return f"{len(calls)} noted"

    with declared(note, batch=100, retry=Backoff(first=0.01, times=2, cap=0.02)):
        yield


def call(*jobs: int) -> None:
    with database.session() as db:
        batches.call_many(db, "subject.note", ({"job": job} for job in jobs))


def waiting() -> int:
    with database.reading() as db:
        return batches.waiting(db, "subject.note")


def test_what_waits_is_taken_in_batches(ledger: Ledger) -> None:
    for job in range(5):
        call(job)
    call(*range(5, 250))
    assert redis().llen("normal.small") == 1
    drain()
    assert [len(batch) for batch in ledger.batches] == [100, 100, 50]
    assert [job for batch in ledger.batches for job in batch] == list(range(250))
    assert waiting() == 0


def test_a_call_of_a_transaction_that_failed_is_not_taken(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), database.session() as db:
        batches.call(db, "subject.note", job=1)
        raise RuntimeError
    drain()
    assert ledger.batches == [] and waiting() == 0


def test_a_wrong_call_is_refused_where_it_is_made() -> None:
    with pytest.raises(InvalidArguments, match=r"calls\.1\.job"), database.session() as db:
        batches.call_many(db, "subject.note", [{"job": 1}, {"job": "x"}])
    assert waiting() == 0


def test_one_bad_call_does_not_stop_the_others_and_becomes_a_dead_letter(ledger: Ledger) -> None:
    ledger.poison = {17}
    call(*range(50))
    drain()
    assert ledger.jobs == [job for job in range(50) if job != 17]
    with database.reading() as db:
        letter = db.scalars(select(DeadLetter)).one()
    assert letter.arguments == {"calls": [{"job": 17}]} and letter.tries == 3
    assert "cannot note [17]" in letter.errors[-1]["error"]
    assert waiting() == 0


def test_when_everything_fails_it_is_not_the_calls_fault(ledger: Ledger) -> None:
    ledger.is_away = True
    call(*range(50))
    drain(1)
    assert waiting() == 50
    with database.reading() as db:
        # Those that were tried alone make room for others; they have tries left.
        assert sorted(db.scalars(select(Call.tries))) == [0] * 47 + [1] * 3
        # The batch itself rests a while and uses up no try.
        assert db.scalars(select(Outbox.tries)).one() == 0
    ledger.is_away = False
    drain()
    assert ledger.jobs == list(range(50))


def test_a_call_that_waits_for_its_next_try_does_not_hold_up_new_ones(ledger: Ledger) -> None:
    ledger.poison = {1}
    call(1)
    drain(1)
    with database.session() as db:
        db.execute(update(Call).values(due_at=database.utc_now(1000)))
    call(2)
    drain(1)
    assert ledger.jobs == [2] and waiting() == 1


def test_bad_calls_at_the_head_do_not_keep_good_ones_waiting(ledger: Ledger) -> None:
    ledger.poison = {0, 1, 2, 3}
    call(*range(50))
    for _ in range(40):
        drain(1)
    assert ledger.jobs == list(range(4, 50)) and waiting() == 0
    with database.reading() as db:
        letters = db.scalars(select(DeadLetter)).all()
    assert sorted(letter.arguments["calls"][0]["job"] for letter in letters) == [0, 1, 2, 3]


def test_a_dead_call_that_is_retried_is_taken(ledger: Ledger) -> None:
    ledger.poison = {1}
    call(1)
    drain()
    ledger.poison = set()
    with database.session() as db:
        dead_letters.retry(db, db.scalars(select(DeadLetter.letter_id)).one(), by="carol")
    drain()
    assert ledger.jobs == [1]
