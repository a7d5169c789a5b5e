"""What happens around a run beyond the outbox: history, what it knows of itself, waiting, lost locks."""

import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from sqlalchemy import select

from diracx_tasks.app import app
from diracx_tasks.core import config, database
from diracx_tasks.core.redis import redis
from diracx_tasks.engine import execute, history, locks
from diracx_tasks.engine.by_hand import by_hand
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.engine.execute import Again
from diracx_tasks.engine.locks import lease, release
from diracx_tasks.engine.policies import Concurrent
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.run import Later, Run, this_run
from diracx_tasks.engine.tables import Outbox, TaskRun
from tests.builders import Installation, environment
from tests.unit.engine.work import KEY, Work, ask, declared, drain, make_due, queued, row, run, sweep


def kept(**wanted: Any) -> list[TaskRun]:
    """What the history has, written out first."""
    history.flush()
    with database.reading() as db:
        return list(db.scalars(select(TaskRun).filter_by(**wanted).order_by(TaskRun.run_id)))


def test_every_try_is_in_the_history_with_its_words_parent_and_subject(work: Work) -> None:
    def once() -> None:
        if work.runs == 1:
            raise ValueError("no luck")

    ask()
    work.during = once
    run()
    run()
    first, second = kept(key=KEY)
    assert (first.outcome, first.tries, second.outcome, second.tries) == ("Failed", 1, "Done", 2)
    assert "ValueError: no luck" in first.words and second.words == "done"
    assert first.arguments == {"number": 1} and first.seconds >= 0


def test_of_many_small_runs_a_tenth_is_kept_and_all_are_counted(work: Work) -> None:
    for number in range(history.FULL + 100):
        history.note(a_row(number), is_small=True)
    found = kept(task="subject.verb")
    assert len(found) < history.FULL * 2 + 20
    assert {one.weight for one in found} == {1, history.ONE_IN}
    assert history.counters()["runs", "subject.verb", "Done"] == history.FULL + 100
    assert history.counters()["bucket", "subject.verb", "3.0"] == history.FULL + 100


def test_larger_runs_are_all_kept(work: Work) -> None:
    for number in range(100):
        history.note(a_row(number), is_small=False)
    assert len(kept()) == 100


def test_old_runs_are_forgotten(work: Work) -> None:
    history.note(a_row(1), is_small=False)
    history.flush()
    with database.session() as db:
        assert history.clean(db, 1) == 0
        assert history.clean(db, -1) == 1
    assert kept() == []


def a_row(number: int) -> dict[str, Any]:
    found = Run(REGISTRY["subject.verb"], f"subject-{number}.verb", {"number": number}).row("Done", "done")
    return {**found, "seconds": 1.5}


def test_a_task_with_more_to_do_comes_again_and_uses_up_no_try(work: Work) -> None:
    def not_yet() -> None:
        if work.runs < 4:
            raise Later(100, "half done")

    ask()
    work.during = not_yet
    for _ in range(3):
        assert "again in 100.0 s: half done" in run()
        found = row()
        assert found and (found.tries, found.published) == (0, 0)
    assert run() == "done" and row() is None


def test_a_run_knows_itself(work: Work) -> None:
    seen: list[Run | None] = []
    ask()
    work.during = lambda: seen.append(this_run())
    run()
    (found,) = seen
    assert found and (found.key, found.tries) == (KEY, 0) and found.fence
    assert this_run() is None


def test_losing_a_lock_while_it_runs_is_told_and_kept(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEWAL", 0.05)
    monkeypatch.setattr(locks, "_RENEWAL", locks._Renewal())

    def lose() -> None:
        release("job:1")
        found, pause = this_run(), threading.Event()
        while found and not found.admission.lost:
            assert not pause.wait(0.02)
        assert found
        with pytest.raises(locks.LockLost):
            found.check()

    ask()
    work.during = lose
    assert run() == "done (lost lock:job:1 while it ran)"


@pytest.fixture
def limited(installation: Installation) -> Iterator[str]:
    redis().set("diracx:engine:since", 0)

    def verb(number: int) -> str:
        return "done"

    with declared(verb, limit=Concurrent(1), lock="job:{number}", retry=Backoff(first=0.01)) as name:
        yield name


def test_a_run_by_hand_keeps_locks_and_skips_limits(limited: str) -> None:
    task = REGISTRY[limited]
    with locks.admission(task.wants({"number": 2})):
        assert by_hand(task, {"number": 1}, by="carol") == "done"
        with pytest.raises(Again, match="lock:job:2 is held"):
            by_hand(task, {"number": 2}, by="carol")
    (found,) = kept()
    assert (found.key, found.enqueued_by) == ("subject.verb.by-hand", "carol")


def test_who_waits_long_for_a_place_waits_in_the_database_longer_each_time(limited: str) -> None:
    ask()
    with locks.admission(REGISTRY[limited].wants({"number": 7})):
        assert "again in 60.0 s: waits for limit:concurrent:subject.verb" in run(waits=10)
        for waits in (11, 12, 13):
            found = row()
            assert found and (found.tries, found.published, found.waits) == (0, 0, waits)
            make_due()
            sweep()
            run()
    redis().flushall()
    redis().set("diracx:engine:since", 0)
    assert drain() == 1


def test_a_task_that_the_configuration_disables_waits(
    work: Work, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CHECK_SECONDS", 0.0)
    file = tmp_path / "default.yml"
    file.write_text("Operations: {Defaults: {Tasks: {subject.verb: {enabled: false}}}}")
    stated = {
        "DIRACX_DATA": str(installation.folder),
        "DIRACX_REDIS_URL": installation.redis.url,
        "DIRACX_CONFIG_BACKEND_URL": str(file),
    }
    with environment(**stated):
        ask()
        assert "disabled by the configuration" in run() and work.runs == 0
        file.write_text("Operations: {}\n")
        assert run() == "done"


def test_a_key_that_is_waited_for_by_a_lock_does_not_come_twice(work: Work) -> None:
    ask()
    with lease("job:1"):
        assert "again in 0.1 s" in run() and "again in 3.2 s" in run(waits=5)
        assert "again in 10.0 s: waits for lock:job:1" in run(waits=8)
        found = row()
        assert found and found.waits == 9 and not found.published
    assert drain() == 1 and work.runs == 1


def test_the_origin_of_a_message_without_a_row_is_kept_over_its_tries(work: Work) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    work.during = fail
    current_app.tasks["subject.verb"].apply(
        kwargs={"number": 1}, task_id="alone", headers={"by": "alice@lhcb", "parent": "workflow-1.advance"}
    )
    (found,) = kept(key="alone")
    assert (found.enqueued_by, found.parent) == ("alice@lhcb", "workflow-1.advance")
    assert queued() == 1
    with database.reading() as db:
        assert db.scalars(select(Outbox)).all() == []


def test_a_worker_without_children_is_not_kept_to_the_memory_of_a_task(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute._Children, "limited", False)
    before, seen = resource.getrlimit(resource.RLIMIT_DATA), []
    app.WorkController(pool_cls="solo")
    work.during = lambda: seen.append(resource.getrlimit(resource.RLIMIT_DATA))
    ask()
    run()
    assert seen == [before]
