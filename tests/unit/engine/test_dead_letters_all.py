"""All dead letters of a task are retried at once, on both databases."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from diracx_tasks.core.database import now, reading, session
from diracx_tasks.engine import dead_letters, outbox
from diracx_tasks.engine.tables import Outbox
from tests.api.stores import installation, migrated
from tests.builders import Installation
from tests.unit.engine.work import declared

__all__ = ["installation", "migrated"]


@pytest.fixture(autouse=True)
def tasks(installation: Installation) -> Iterator[None]:
    """`subject.verb` and `subject.other`."""

    def verb(number: int) -> str:
        return f"did {number}"

    def other(number: int) -> str:
        return f"did {number}"

    with declared(verb), declared(other):
        yield


def bury(task: str, **arguments: object) -> int:
    about = {"key": f"{task}.{arguments}", "task": task, "arguments": arguments, "tries": 3}
    with session() as db:
        return dead_letters.bury(
            db, {**about, "enqueued_by": "", "parent": None}, since=now(), error="no luck"
        )


def retried(newest: int) -> int:
    with session() as db:
        return dead_letters.retry_all(db, "subject.verb", newest=newest, by="olga")


def waiting() -> list[str]:
    with reading() as db:
        return list(db.scalars(select(Outbox.key).order_by(Outbox.key)))


def test_those_of_the_task_that_were_seen_run_again_and_no_others() -> None:
    keys = [bury("subject.verb", number=number) for number in (1, 2)]
    bury("subject.other", number=1)
    bury("subject.verb", number=3)
    assert retried(keys[-1]) == 2
    assert waiting() == ["subject.verb.{'number': 1}", "subject.verb.{'number': 2}"]
    with reading() as db:
        assert dead_letters.total(db) == {"subject.other": 1, "subject.verb": 1}
        assert dead_letters.newest(db) == keys[-1] + 2
        assert dead_letters.find(db, keys[0]).resolved_by == "olga"
    assert retried(keys[-1]) == 0


def test_one_whose_arguments_are_not_taken_any_more_stays_and_stops_no_other() -> None:
    bury("subject.verb", number="many")
    last = bury("subject.verb", number=2)
    assert retried(last) == 1
    assert waiting() == ["subject.verb.{'number': 2}"]
    with reading() as db:
        assert dead_letters.total(db) == {"subject.verb": 1}


def test_a_press_retries_a_bounded_number_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "MOST_AT_ONCE", 2)
    last = [bury("subject.verb", number=number) for number in (1, 2, 3)][-1]
    assert retried(last) == 2
    assert waiting() == ["subject.verb.{'number': 1}", "subject.verb.{'number': 2}"]
    with session() as db:
        outbox.remove(db, "subject.verb.{'number': 1}")
    assert retried(last) == 1
