"""Tasks whose tries are used up: kept, retried, dropped."""

import pytest
from celery import current_app
from sqlalchemy import select, update

from diracx_tasks.core import database
from diracx_tasks.core.errors import Conflict
from diracx_tasks.core.origin import Origin, originating
from diracx_tasks.core.redis import redis
from diracx_tasks.engine import dead_letters, outbox
from diracx_tasks.engine.declared import InvalidArguments
from diracx_tasks.engine.tables import DeadLetter, Outbox
from tests.unit.engine.work import KEY, Work, ask, row, run, sweep


def test_a_task_that_fails_is_tried_again_and_then_kept_as_a_dead_letter(work: Work) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    ask()
    work.during = fail
    assert "again in" in run()
    assert "again in" in run()
    assert "no luck" in run()
    assert row() is None
    letter = the_dead_letter()
    assert (letter.key, letter.task, letter.arguments, letter.tries) == (
        KEY,
        "subject.verb",
        {"number": 1},
        3,
    )
    assert [error["try"] for error in letter.errors] == [1, 2, 3]
    assert all("ValueError: no luck" in error["error"] for error in letter.errors)


def test_a_dead_letter_is_not_swept_and_runs_again_when_it_is_retried_or_asked_for(work: Work) -> None:
    ask()
    die(work)
    redis().flushall()
    assert sweep() == 0
    with database.session() as db:
        dead_letters.retry(db, the_dead_letter().letter_id, by="carol")
    assert run() == "done" and row() is None
    assert (the_dead_letter().state, the_dead_letter().resolved_by) == ("Retried", "carol")
    ask()
    assert run() == "done"


def test_only_one_of_two_administrators_retries_a_dead_letter(work: Work) -> None:
    ask()
    die(work)
    with database.session() as db:
        dead_letters.drop(db, the_dead_letter().letter_id, by="carol")
    with pytest.raises(Conflict, match="Dropped already"), database.session() as db:
        dead_letters.retry(db, the_dead_letter().letter_id, by="dave")


def test_who_asked_and_from_which_task_is_kept(work: Work) -> None:
    with originating(Origin("alice@lhcb", "workflow-1.advance", "00-aa-bb-01")):
        ask()
    die(work)
    letter = the_dead_letter()
    assert (letter.enqueued_by, letter.parent) == ("alice@lhcb", "workflow-1.advance")


def test_what_is_asked_for_during_the_last_try_gets_tries_of_its_own(work: Work) -> None:
    def fail_while_somebody_asks() -> None:
        ask()
        raise ValueError("no luck")

    ask()
    run_into_failure(work, 2)
    work.during = fail_while_somebody_asks
    run()
    found = row()
    assert found and found.tries == 0
    assert the_dead_letter().tries == 3


def test_wrong_arguments_are_refused_where_they_are_asked_for(work: Work) -> None:
    with pytest.raises(InvalidArguments, match=r"subject.verb: number: .*integer"), database.session() as db:
        outbox.enqueue(db, "subject.verb", KEY, number="many")
    with pytest.raises(InvalidArguments, match="more"), database.session() as db:
        outbox.enqueue(db, "subject.verb", KEY, number=1, more=2)
    assert row() is None


def test_a_message_with_wrong_arguments_is_dead_at_once(work: Work) -> None:
    ask()
    with database.session() as db:
        db.execute(update(Outbox).values(arguments={"number": "many"}))
    current_app.tasks["subject.verb"].apply(kwargs={"number": "many"}, task_id=KEY, headers={"outbox": KEY})
    assert work.runs == 0 and the_dead_letter().tries == 1


def the_dead_letter() -> DeadLetter:
    with database.reading() as db:
        return db.scalars(select(DeadLetter)).one()


def run_into_failure(work: Work, times: int) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    work.during = fail
    for _ in range(times):
        run()


def die(work: Work) -> None:
    run_into_failure(work, 3)
    work.during = lambda: None
