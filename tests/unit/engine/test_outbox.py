"""The outbox: what was asked for happens, whatever the broker does."""

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.engine import outbox
from diracx_tasks.engine.tables import Outbox
from tests.builders import Installation, use_broker
from tests.unit.engine.work import KEY, Work, ask, make_due, queued, row, run, sweep


def test_a_task_is_published_after_the_commit_and_not_before(work: Work) -> None:
    with Session(database.engine()) as db:
        outbox.enqueue(db, "subject.verb", KEY, number=1)
        assert queued() == 0
        database.commit(db)
    assert queued() == 1


def test_a_task_of_a_transaction_that_failed_is_neither_stored_nor_published(work: Work) -> None:
    with pytest.raises(RuntimeError), database.session() as db:
        outbox.enqueue(db, "subject.verb", KEY, number=1)
        raise RuntimeError
    assert queued() == 0 and row() is None


def test_the_row_goes_when_the_task_has_ended_well(work: Work) -> None:
    ask()
    assert run() == "done"
    assert row() is None
    assert run() == "already done"
    assert work.runs == 1


def test_several_requests_become_one_run(work: Work) -> None:
    for _ in range(3):
        ask()
    found = row()
    assert found and found.asked == 3
    assert run() == "done"
    assert run() == "already done"


def test_a_request_that_arrives_while_the_task_runs_is_not_lost(work: Work) -> None:
    ask()
    work.during = lambda: ask() if work.runs == 1 else None
    before = queued()
    run()
    assert row() is not None
    assert queued() > before
    run()
    assert row() is None and work.runs == 2


def test_the_sweep_publishes_what_is_due_and_waits_longer_each_time(work: Work) -> None:
    sweep()
    ask()
    for published in (2, 3):
        redis().delete("normal.small")
        make_due()
        assert sweep() == 1
        found = row()
        assert found and found.published == published
    assert sweep() == 0


def test_a_message_that_its_queue_still_holds_is_given_more_time_and_not_sent_again(work: Work) -> None:
    sweep()
    ask()
    make_due()
    assert sweep() == 1 and queued() == 1
    found = row()
    assert found and found.published == 1
    assert sweep() == 0


def test_a_flush_of_the_broker_loses_nothing(work: Work) -> None:
    ask()
    sweep()
    redis().flushall()
    assert queued() == 0
    assert sweep() == 1
    assert queued() == 1
    assert sweep() == 0


def test_a_row_that_was_published_a_thousand_times_is_still_swept(work: Work) -> None:
    sweep()
    ask()
    redis().delete("normal.small")
    with database.session() as db:
        db.execute(update(Outbox).values(published=2000))
    make_due()
    assert sweep() == 1


def test_without_a_broker_the_request_is_stored_and_swept_later(
    work: Work, installation: Installation
) -> None:
    use_broker("redis://127.0.0.1:1/0")
    ask()
    assert row() is not None
    use_broker(installation.redis.url)
    make_due()
    assert sweep() == 1
    assert queued() == 1


def test_a_delayed_task_waits_in_the_database(work: Work) -> None:
    sweep()
    ask(delay=1000)
    assert queued() == 0 and sweep() == 0
    make_due()
    assert sweep() == 1 and queued() == 1


def test_an_immediate_request_wakes_a_delayed_one(work: Work) -> None:
    ask(delay=1000)
    ask()
    assert queued() == 1
    run()
    assert row() is None


def test_while_a_lock_is_held_the_task_waits_and_uses_up_no_try(work: Work) -> None:
    ask()
    from diracx_tasks.engine.locks import lease

    with lease("job:1"):
        assert "again in" in run(tries=1)
    assert work.runs == 0 and row() is not None
    assert run(tries=1) == "done"


def test_the_oldest_rows_of_a_task_are_listed(work: Work) -> None:
    ask()
    with database.reading() as db:
        assert [found.key for found in outbox.of_task(db, "subject.verb")] == [KEY]
        assert db.scalars(select(Outbox.task)).all() == ["subject.verb"]


def test_a_copy_that_ends_late_does_not_take_the_next_request_with_it(work: Work) -> None:
    def end_elsewhere_and_ask_again() -> None:
        with database.session() as db:
            outbox.remove(db, KEY)
        ask()

    ask()
    work.during = lambda: end_elsewhere_and_ask_again() if work.runs == 1 else None
    run()
    assert row() is not None
    assert run() == "done" and work.runs == 2


def test_a_task_that_asks_for_itself_later_sleeps_until_then(work: Work) -> None:
    ask()
    work.during = lambda: ask(delay=1000)
    before = queued()
    assert run() == "done"
    found = row()
    assert found and not found.published and queued() == before
    assert sweep() == 0
    make_due()
    assert sweep() == 1 and queued() == before + 1


def put_off_a_copy() -> None:
    """As when a second message of a run that goes on finds its lock taken."""
    with database.session() as db:
        seen = outbox.ticket(db, KEY)
        assert seen
        outbox.put_off(db, seen, 7, tries=0, waits=7)


def test_a_copy_that_was_put_off_does_not_lose_what_the_run_asks_for_later(work: Work) -> None:
    def be_copied_and_ask_for_more() -> None:
        put_off_a_copy()
        ask(delay=1000)

    ask()
    work.during = be_copied_and_ask_for_more
    assert run() == "done"
    assert row() is not None and sweep() == 0
    make_due()
    assert sweep() == 1


def test_a_run_that_is_sent_again_may_ask_for_itself_later_too(work: Work) -> None:
    def be_copied_and_asked_for_once_more() -> None:
        put_off_a_copy()
        with database.session() as db:
            outbox.enqueue(db, "subject.verb", KEY, number=1)
        put_off_a_copy()

    ask()
    work.during = lambda: be_copied_and_asked_for_once_more() if work.runs == 1 else ask(delay=1000)
    run()
    run()
    assert work.runs == 2 and row() is not None


def test_many_requests_of_one_transaction_are_one(work: Work) -> None:
    with database.session() as db:
        for _ in range(5):
            outbox.enqueue(db, "subject.verb", KEY, number=1)
    found = row()
    assert found and found.asked == 1 and queued() == 1


def test_what_was_sent_in_vain_for_hours_is_a_dead_letter(work: Work) -> None:
    ask()
    with database.session() as db:
        db.execute(update(Outbox).values(published=100))
    assert "never ended" in run()
    assert work.runs == 0 and row() is None


def test_an_error_with_bytes_that_are_no_characters_is_kept(work: Work) -> None:
    def fail() -> None:
        raise OSError("/data/\udcff.root is missing")

    ask()
    work.during = fail
    run()
    found = row()
    assert found and found.tries == 1
