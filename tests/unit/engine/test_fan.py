"""Fan-out and fan-in: every child ends once, what comes then comes once, whatever happens in between."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from celery import current_app
from sqlalchemy import select, update

from diracx_tasks.core import database
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.redis import redis
from diracx_tasks.engine import fan
from diracx_tasks.engine.declared import InvalidArguments
from diracx_tasks.engine.execute import Result
from diracx_tasks.engine.policies import Concurrent
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.run import Run
from diracx_tasks.engine.tables import Child, DeadLetter, Outbox
from tests.builders import Installation
from tests.unit.engine.work import declared, drain, sweep

pytestmark = pytest.mark.usefixtures("tasks")


class Ledger:
    """What the tasks of a test did."""

    def __init__(self) -> None:
        self.squares: Counter[int] = Counter()
        self.gathered: list[int] = []
        self.failing: dict[int, int] = {}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def tasks(installation: Installation, ledger: Ledger) -> Iterator[None]:
    def square(number: int) -> str:
        ledger.squares[number] += 1
        if ledger.squares[number] <= ledger.failing.get(number, 0):
            raise ValueError(f"{number} is not ready")
        return str(number * number)

    def gather(purpose: int) -> str:
        ledger.gathered.append(purpose)
        return "gathered"

    redis().set("diracx:engine:since", 0)
    patient = Backoff(first=0.01, times=2)
    with declared(square, retry=patient, lock="job:{number}", limit=Concurrent(3)), declared(gather):
        yield


def start(total: int, **options: Any) -> int:
    with database.session() as db:
        children = ({"number": number} for number in range(total))
        then: dict[str, Any] = {"then": "subject.gather", "arguments": {"purpose": 7}}
        return fan.fan_out(db, "subject.square", children, **then, **options)


def status(fan_id: int) -> tuple[int, int, int]:
    with database.reading() as db:
        found = fan.status(db, fan_id)
    return found["total"], found["pending"], found["failed"]


def run_chunk(fan_id: int, first: int, count: int = 10) -> None:
    key = f"fan-{fan_id}.{first}"
    arguments = {"fan_id": fan_id, "first": first, "count": count, "task": "subject.square"}
    current_app.tasks["engine.run_children"].apply(kwargs=arguments, task_id=key, headers={"outbox": key})


def test_all_children_run_and_then_what_comes_then(ledger: Ledger) -> None:
    fan_id = start(25, chunk=10)
    assert redis().llen("normal.small") == 3
    drain()
    assert ledger.squares == Counter(range(25)) and ledger.gathered == [7]
    assert status(fan_id) == (25, 0, 0)
    with database.reading() as db:
        found = list(fan.results(db, fan_id))
    assert found == [(number, "Done", str(number * number)) for number in range(25)]


def test_without_children_what_comes_then_comes_at_once(ledger: Ledger) -> None:
    start(0)
    drain()
    assert ledger.gathered == [7]


def test_a_chunk_that_is_delivered_twice_changes_nothing(ledger: Ledger) -> None:
    fan_id = start(20, chunk=10)
    for _ in range(3):
        run_chunk(fan_id, 0)
    assert status(fan_id) == (20, 10, 0)
    drain()
    run_chunk(fan_id, 0)
    assert status(fan_id) == (20, 0, 0) and ledger.gathered == [7]


def test_chunks_that_end_at_once_count_down_to_zero_once(ledger: Ledger) -> None:
    fan_id = start(60, chunk=10)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda first: run_chunk(fan_id, first), range(0, 60, 10)))
    drain()
    assert status(fan_id) == (60, 0, 0) and ledger.gathered == [7]


def test_a_worker_that_dies_in_a_chunk_costs_its_children_one_more_run(ledger: Ledger) -> None:
    fan_id = start(10, chunk=10)
    # Killed before it could say how they ended: the row is still there, the sweep sends it again.
    ledger.squares.update(range(10))
    drain()
    assert status(fan_id) == (10, 0, 0) and ledger.gathered == [7]
    assert all(count == 2 for count in ledger.squares.values())


def test_a_child_that_fails_is_tried_again_alone(ledger: Ledger) -> None:
    ledger.failing = {3: 1, 4: 2}
    fan_id = start(10, chunk=10)
    drain()
    assert status(fan_id) == (10, 0, 0) and ledger.gathered == [7]
    assert {number: count for number, count in ledger.squares.items() if count > 1} == {3: 2, 4: 3}


def test_a_child_whose_tries_are_used_up_is_a_dead_letter_and_counts_as_failed(ledger: Ledger) -> None:
    ledger.failing = {3: 99}
    fan_id = start(10, chunk=10)
    drain()
    assert status(fan_id) == (10, 0, 1) and ledger.gathered == [7] and ledger.squares[3] == 3
    with database.reading() as db:
        letter = db.scalars(select(DeadLetter)).one()
        states = {number: state for number, state, _ in fan.results(db, fan_id)}
    assert (letter.task, letter.arguments, letter.tries) == ("subject.square", {"number": 3}, 3)
    assert [error["try"] for error in letter.errors] == [1, 2, 3]
    assert states[3] == "Failed" and set(states.values()) == {"Done", "Failed"}


def test_a_child_waits_for_its_lock_and_uses_up_no_try(ledger: Ledger) -> None:
    from diracx_tasks.engine.locks import lease

    fan_id = start(10, chunk=10)
    with lease("job:5"):
        run_chunk(fan_id, 0)
    assert status(fan_id) == (10, 1, 0)
    with database.session() as db:
        assert db.scalars(select(Child.tries).where(Child.number == 5)).one() == 0
        db.execute(update(Child).values(due_at=None))
    drain()
    assert status(fan_id) == (10, 0, 0) and ledger.squares[5] == 1


def test_a_wide_fan_out_is_published_page_by_page_and_survives_a_flush(ledger: Ledger) -> None:
    start(1500, chunk=1)
    assert redis().llen("normal.small") == 1000
    redis().flushall()
    published = 0
    while found := sweep():
        published += found
    assert published == 1500 == redis().llen("normal.small")


def test_one_wrong_child_and_nothing_of_the_fan_out_is_stored() -> None:
    with pytest.raises(InvalidArguments), database.session() as db:
        fan.fan_out(
            db,
            "subject.square",
            [{"number": 1}, {"number": "x"}],
            then="subject.gather",
            arguments={"purpose": 7},
        )
    with database.reading() as db:
        assert db.scalars(select(Outbox)).all() == [] and db.scalars(select(Child)).all() == []
        with pytest.raises(NotFound):
            fan.status(db, 1)


def test_old_fan_outs_are_forgotten() -> None:
    fan_id = start(10)
    drain()
    with database.session() as db:
        assert fan.clean(db, 1) == 0
        assert [fan.clean(db, -1) for _ in range(3)] == [10, 1, 0]
        with pytest.raises(NotFound):
            fan.status(db, fan_id)


def test_a_child_that_kills_its_process_is_found_out_and_the_others_run(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As a kill -9: nothing of ours runs afterwards."""

    def outcome(run: Run) -> Result:
        if run.arguments["number"] == 3 and run.tries <= run.task.retry.times:
            raise Killed
        return real(run)

    real = fan._outcome
    monkeypatch.setattr(fan, "_outcome", outcome)
    fan_id = start(10, chunk=10)
    for _ in range(4):
        # The process dies in the chunk; its lease runs out and the sweep sends the chunk again.
        with suppress(Killed):
            fan.work(fan_id, 0, 10, "subject.square")
    drain()
    assert status(fan_id) == (10, 0, 1) and ledger.gathered == [7]
    assert max(ledger.squares.values()) <= 2 and 3 not in ledger.squares
    with database.reading() as db:
        letter = db.scalars(select(DeadLetter)).one()
    assert letter.arguments == {"number": 3} and "died" in letter.errors[-1]["error"]


def test_what_comes_then_is_checked_at_once() -> None:
    with pytest.raises(InvalidArguments), database.session() as db:
        fan.fan_out(db, "subject.square", [{"number": 1}], then="subject.gather", arguments={"porpoise": 7})
