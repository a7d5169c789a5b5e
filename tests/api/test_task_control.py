"""Calls, the schedule, locks, limits, queues: what a service administrator states and sees of them."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from celery import current_app

from diracx_tasks.core.database import reading, session
from diracx_tasks.engine import batches, schedules, task
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.engine.locks import admission, lease
from diracx_tasks.engine.policies import Want
from diracx_tasks.engine.queues import QUEUES
from diracx_tasks.engine.schedules import Entry
from diracx_tasks.engine.timing import Timing
from tests.api.olga import Tasks, tasks
from tests.builders import Installation, environment
from tests.work import KEY, NAME, Work, ask, run, work

__all__ = ["tasks", "work"]
AWAY = "redis://127.0.0.1:1/0"
ENTRY = "subject.verb@lhcb.example.org"


@pytest.fixture
def entry(work: Work, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An entry of the schedule."""
    found = Entry(ENTRY, NAME, Timing(every=3600), "code", arguments={"number": 7})
    monkeypatch.setitem(schedules.EXTRA, ENTRY, found)
    with session() as db:
        schedules.synchronize(db)
    yield ENTRY


def test_a_call_is_run_by_a_worker_in_the_callers_name(tasks: Tasks, work: Work) -> None:
    body = {"task": NAME, "arguments": {"number": 1, "se": "RAL"}}
    answer = tasks.ask("POST", "/call", json=body)
    assert (answer.status_code, answer.json()) == (202, {"key": "subject.verb.1.RAL"})
    assert tasks.get("/subject.verb.1.RAL")["enqueued_by"] == "olga@operations"


def test_the_arguments_of_a_call_are_checked_and_named(tasks: Tasks, work: Work) -> None:
    for arguments, name in (({"number": "many"}, "number"), ({}, "number"), ({"number": 1, "x": 2}, "x")):
        answer = tasks.ask("POST", "/call", json={"task": NAME, "arguments": arguments})
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(f"subject.verb: {name}: ")


def test_a_call_does_not_hide_behind_another_task_of_its_key(tasks: Tasks, work: Work) -> None:
    ask(1)
    same = {"task": NAME, "arguments": {"number": 1}, "key": KEY}
    assert tasks.ask("POST", "/call", json=same).status_code == 202
    answer = tasks.ask("POST", "/call", json={**same, "arguments": {"number": 2}})
    assert answer.status_code == 409 and 'subject.verb {"number": 1} waits' in answer.json()["detail"]


def test_calls_of_a_task_that_works_in_batches_wait_for_its_batch(
    tasks: Tasks, installation: Installation
) -> None:
    def gather(calls: list[dict[str, int]]) -> str:
        return f"{len(calls)} gathered"

    task.task(name="subject.gather", batch=10)(gather)
    try:
        for number in (1, 2):
            body = {"task": "subject.gather", "arguments": {"calls": [{"n": number}]}}
            answer = tasks.ask("POST", "/call", json=body)
            assert answer.json() == {"key": "subject.gather.batch"}
        with reading() as db:
            assert batches.waiting(db, "subject.gather") == 2
        wrong = {"task": "subject.gather", "arguments": {"calls": [1]}}
        assert tasks.ask("POST", "/call", json=wrong).status_code == 422
    finally:
        REGISTRY.pop("subject.gather")
        current_app.tasks.pop("subject.gather", None)


def test_calls_with_long_arguments_keep_apart(tasks: Tasks, work: Work) -> None:
    keys = set()
    for end in "ab":
        body = {"task": NAME, "arguments": {"number": 1, "se": "x" * 200 + end}}
        keys.add(tasks.ask("POST", "/call", json=body).json()["key"])
    assert len(keys) == 2 and {len(key) for key in keys} == {len(NAME) + 33}


def test_an_entry_of_the_schedule_pauses_resumes_and_is_set(tasks: Tasks, entry: str) -> None:
    place = f"/schedule/{quote(entry, safe='')}"
    assert [row["state"] for row in tasks.get("/schedule") if row["name"] == entry] == ["On"]
    for state in ("Paused", "DryRun", "On"):
        answer = tasks.ask("PATCH", place, json={"state": state})
        assert answer.json()["state"] == tasks.get(place)["state"] == state
    stated = (({"every": 60}, "every 60 s"), ({"cron": "0 3 * * *"}, "cron 0 3 * * *"))
    for body, words in (*stated, ({"rrule": "FREQ=HOURLY"}, "rrule FREQ=HOURLY")):
        answer = tasks.ask("PATCH", f"{place}/timing", json=body).json()
        assert (answer["timing"], answer["origin"]) == (words, "operator")
    found = tasks.get(place)
    assert found["coming"] == sorted(found["coming"]) and len(found["coming"]) == 5
    answer = tasks.ask("PATCH", f"{place}/timing", json={"default": True}).json()
    assert (answer["timing"], answer["origin"]) == ("every 3600 s", "code")


@pytest.mark.parametrize("body", [{"cron": "0 3 * *"}, {"cron": "61 * * * *"}, {"rrule": "FREQ=NEVER"}])
def test_a_time_that_cannot_be_read_or_never_comes_is_refused(tasks: Tasks, entry: str, body: Any) -> None:
    answer = tasks.ask("PATCH", f"/schedule/{entry}/timing", json=body)
    assert answer.status_code == 400 and next(iter(body.values())) in answer.json()["detail"]
    assert tasks.get(f"/schedule/{entry}")["timing"] == "every 3600 s"


def test_an_entry_runs_now_and_keeps_its_next_time(tasks: Tasks, entry: str) -> None:
    before = tasks.get(f"/schedule/{entry}")["next"]
    assert tasks.ask("POST", f"/schedule/{entry}/run").json() == {"key": entry}
    assert tasks.get(f"/{entry}")["arguments"] == {"number": 7}
    assert tasks.get(f"/schedule/{entry}")["next"] == before


def test_locks_are_listed_and_taken_from_their_holders(tasks: Tasks, work: Work) -> None:
    with lease("job:1"):
        (row,) = tasks.get("/locks")
        assert (row["name"], row["way"], row["holders"]) == ("job:1", "write", 1)
        answer = tasks.ask("POST", "/locks/release", json={"name": "job:1"})
        assert answer.json() == {"name": "job:1", "holders": 1}
        with lease("job:1") as is_ours:
            assert is_ours
    assert tasks.get("/locks") == []


def test_limits_are_listed_with_what_is_used_of_each_object(tasks: Tasks, work: Work) -> None:
    ours = ("notices.send", "notices.send_code")
    rows = [row for row in tasks.get("/limits") if row["object"] not in ours]
    unused = [(row["limit"], row["object"], row["used"]) for row in rows]
    assert unused == [("50 in 3600 s", NAME, 0), ("60 in 3600 s per se:{se}", "se:{se}", 0)]
    others = [Want("rate", f"limit:rate:3600:{name}", 9, 3600) for name in (f"{NAME}.2", "se")]
    with admission([Want("rate", "limit:rate:3600:se:RAL", 9, 3600)]), admission(others):
        run(ask())
        used = [(row["object"], row["used"]) for row in tasks.get("/limits") if row["object"] not in ours]
    assert used == [(NAME, 1), ("se:CERN", 1), ("se:RAL", 1)]


def test_tasks_are_listed_with_what_they_declare(tasks: Tasks, work: Work) -> None:
    (row,) = [row for row in tasks.get("/registered") if row["task"] == NAME]
    assert (row["queue"], row["tries"], row["locks"]) == ("normal.small", 3, ["job:{number}"])
    assert (row["arguments"], row["about"]) == (["number", "se"], "Do what the test wants.")


def test_without_workers_the_queues_still_say_what_waits(tasks: Tasks, work: Work) -> None:
    ask()
    found = tasks.get("/queues")
    assert [row["queue"] for row in found["queues"]] == list(QUEUES)
    waiting = {row["queue"]: row["waiting"] for row in found["queues"] if row["waiting"]}
    assert waiting == {"normal.small": 1}
    assert {row["workers"] for row in found["queues"]} == {0}
    assert (found["pending"], found["dead"], found["leader"]) == (1, 0, None)
    assert tasks.get("/workers") == []


def test_a_broker_or_redis_that_is_away_is_503_in_words(tasks: Tasks, installation: Installation) -> None:
    with environment(
        DIRACX_DATA=str(installation.folder), DIRACX_REDIS_URL=AWAY, DIRACX_URL="http://testserver"
    ):
        for path in ("/queues", "/workers", "/locks", "/limits"):
            answer = tasks.ask("GET", path)
            assert answer.status_code == 503 and "does not answer" in answer.json()["detail"], path
        assert tasks.get() == []
