"""Tasks as a service administrator sees them: lists, keys, dead letters; and has them run again or not."""

from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.core.database import session
from diracx_tasks.core.origin import Origin
from diracx_tasks.engine.asking import row_of
from diracx_tasks.engine.tables import Outbox
from tests.api.olga import Tasks, tasks
from tests.work import KEY, NAME, Work, ask, die, run, work

__all__ = ["tasks", "work"]


def test_of_a_fresh_installation_every_list_is_empty(tasks: Tasks) -> None:
    for path in ("", "/dead", "/locks", "/schedule"):
        assert tasks.get(path) == [], path
    # What is declared is there, and nothing of it is used.
    assert {row["used"] for row in tasks.get("/limits")} == {0}


def test_the_list_has_what_waits_and_then_what_has_ended_newest_first(tasks: Tasks, work: Work) -> None:
    for number in (1, 2, 3):
        ask(number)
    for number in (1, 2):
        run(f"job-{number}.verb", number)
    rows = tasks.get()
    assert [(row["key"], row["state"]) for row in rows] == [
        ("job-3.verb", "Waiting"),
        ("job-2.verb", "Done"),
        ("job-1.verb", "Done"),
    ]
    assert (rows[1]["words"], rows[1]["subject"], rows[1]["try"]) == ("done with 2", "job-2", 1)
    assert rows[0]["run_id"] is None and rows[1]["run_id"] > rows[2]["run_id"]


def test_the_list_is_filtered_by_state_task_and_subject(tasks: Tasks, work: Work) -> None:
    ask(1)
    run()
    die(work, 2)
    ask(3)
    work.fail()
    ask(4)
    run("job-4.verb", 4)
    assert tasks.keys(state="Waiting") == ["job-3.verb", "job-4.verb"]
    assert tasks.keys(state="Backing off") == ["job-4.verb"]
    assert tasks.keys(state="Done") == ["job-1.verb"]
    assert tasks.keys(state="Failed") == ["job-4.verb", "job-2.verb", "job-2.verb"]
    assert tasks.keys(state="Dead") == tasks.keys(subject="job-2", limit=1) == ["job-2.verb"]
    assert tasks.keys(subject="job-3") == ["job-3.verb"]
    assert tasks.keys(task="workflows.advance") == tasks.keys(subject="job-5") == []
    assert len(tasks.keys(task=NAME)) == 7


def test_what_waits_about_a_subject_is_found_behind_others(tasks: Tasks, work: Work) -> None:
    for number in range(6):
        ask(number)
    assert tasks.keys(subject="job-5", limit=1) == ["job-5.verb"]


def test_the_list_is_paged_with_the_last_run_seen(tasks: Tasks, work: Work) -> None:
    for number in range(1, 6):
        run(ask(number), number)
    seen: list[str] = []
    before: dict[str, Any] = {}
    while rows := tasks.get(limit=2, **before):
        seen += [row["key"] for row in rows]
        before = {"before": rows[-1]["run_id"]}
    assert seen == [f"job-{number}.verb" for number in (5, 4, 3, 2, 1)]
    ask(6)
    assert "job-6.verb" not in tasks.keys(before=before["before"])


def test_a_key_tells_everything_about_its_task(tasks: Tasks, work: Work) -> None:
    ask(1, by="alice@lhcb", parent="workflow-42.advance")
    work.fail()
    run()
    work.during = lambda: ask(2, parent=KEY)
    found = tasks.get(f"/{KEY}")
    assert (found["task"], found["about"], found["arguments"]) == (
        NAME,
        "Do what the test wants.",
        {"number": 1},
    )
    assert (found["enqueued_by"], found["parent"], found["subject"]) == (
        "alice@lhcb",
        "workflow-42.advance",
        "job-1",
    )
    assert found["waiting"]["state"] == "Backing off" and found["waiting"]["try"] == 2
    (failed,) = found["runs"]
    assert failed["state"] == "Failed" and "Traceback" in failed["words"]
    assert failed["words"].rstrip().endswith("ValueError: no luck")
    run()
    found = tasks.get(f"/{KEY}")
    assert found["waiting"] is None and [one["state"] for one in found["runs"]] == ["Done", "Failed"]
    assert found["children"] == ["job-2.verb"]
    assert tasks.get("/job-2.verb")["parent"] == KEY


@pytest.mark.parametrize("key", ["jobs.check@lhcb", "a/b", "a b?c#d", "élan", "dead.letters"])
def test_a_key_may_have_any_character(tasks: Tasks, work: Work, key: str) -> None:
    place = f"/{quote(key, safe='')}"
    body = {"task": NAME, "arguments": {"number": 1}, "key": key}
    assert tasks.ask("POST", "/call", json=body).json() == {"key": key}
    assert tasks.get(place)["key"] == key
    assert tasks.ask("POST", f"{place}/retry").json() == {"key": key}
    assert tasks.ask("POST", f"{place}/revoke").json() == {"key": key}
    assert [run["state"] for run in tasks.get(place)["runs"]] == ["Revoked"]
    assert tasks.ask("POST", f"{place}/revoke").status_code == 404


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("GET", "/nothing.there", None),
        ("POST", "/nothing.there/retry", None),
        ("POST", "/nothing.there/revoke", None),
        ("POST", "/nothing.there/revoke?terminate=true", None),
        ("GET", "/dead/4711", None),
        ("POST", "/dead/4711/retry", None),
        ("POST", "/dead/4711/drop", None),
        ("GET", "/schedule/nothing@there.org", None),
        ("PATCH", "/schedule/nothing", {"state": "On"}),
        ("PATCH", "/schedule/nothing/timing", {"every": 5}),
        ("POST", "/schedule/nothing/run", None),
        ("POST", "/locks/release", {"name": "job:1"}),
        ("POST", "/call", {"task": "nothing.there"}),
    ],
)
def test_what_is_unknown_is_404_in_words(tasks: Tasks, method: str, path: str, body: Any) -> None:
    answer = tasks.ask(method, path, json=body)
    assert answer.status_code == 404
    assert any(word in answer.json()["detail"] for word in ("nothing", "4711", "job:1"))


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("GET", "?state=Lost", None),
        ("GET", "?limit=0", None),
        ("GET", "?limit=10001", None),
        ("GET", "?before=0", None),
        ("GET", "?before=x", None),
        ("GET", f"?subject={'x' * 65}", None),
        ("GET", "/dead?limit=-1", None),
        ("GET", "/dead/0", None),
        ("GET", f"/dead/{1 << 70}", None),
        ("GET", f"/{'x' * 129}", None),
        ("PATCH", "/schedule/x", {"state": "Off"}),
        ("PATCH", "/schedule/x", {}),
        ("PATCH", "/schedule/x/timing", {}),
        ("PATCH", "/schedule/x/timing", {"every": 5, "default": True}),
        ("PATCH", "/schedule/x/timing", {"every": 0.1}),
        ("PATCH", "/schedule/x/timing", {"often": 5}),
        ("POST", "/locks/release", {}),
        ("POST", "/call", {}),
        ("POST", "/call", {"task": NAME, "arguments": [1]}),
        ("POST", "/call", {"task": NAME, "arguments": {"number": 1}, "key": ""}),
    ],
)
def test_wrong_input_is_422(tasks: Tasks, work: Work, method: str, path: str, body: Any) -> None:
    assert tasks.ask(method, path, json=body).status_code == 422


def test_a_dead_letter_is_shown_with_every_error_and_runs_again(tasks: Tasks, work: Work) -> None:
    die(work)
    (row,) = tasks.get("/dead")
    assert (row["key"], row["tries"], row["error"]) == (KEY, 3, "ValueError: no luck")
    assert "errors" not in row
    letter = tasks.get(f"/dead/{row['letter_id']}")
    assert [error["try"] for error in letter["errors"]] == [1, 2, 3]
    assert all("Traceback" in error["error"] for error in letter["errors"])
    answer = tasks.ask("POST", f"/dead/{row['letter_id']}/retry")
    assert answer.json() == {"key": KEY}
    assert tasks.get("/dead") == [] and tasks.keys(state="Waiting") == [KEY]
    (resolved,) = tasks.get("/dead", resolved=True)
    assert (resolved["state"], resolved["resolved_by"]) == ("Retried", "olga")


def test_a_dead_letter_is_resolved_once(tasks: Tasks, work: Work) -> None:
    for number, first in ((1, "retry"), (2, "drop")):
        die(work, number)
        (row,) = tasks.get("/dead")
        assert tasks.ask("POST", f"/dead/{row['letter_id']}/{first}").status_code == 200
        for again in ("retry", "drop"):
            answer = tasks.ask("POST", f"/dead/{row['letter_id']}/{again}")
            assert answer.status_code == 409
            assert f"dead letter {row['letter_id']} (job-{number}.verb) is " in answer.json()["detail"]


def test_dead_letters_are_filtered_and_paged(tasks: Tasks, work: Work) -> None:
    for number in (1, 2, 3):
        die(work, number)
    first = tasks.get("/dead", limit=2, task=NAME)
    rest = tasks.get("/dead", limit=2, before=first[-1]["letter_id"])
    assert [row["key"] for row in first + rest] == ["job-3.verb", "job-2.verb", "job-1.verb"]
    assert tasks.get("/dead", task="workflows.advance") == []


def test_a_key_that_is_dead_is_retried_by_its_key(tasks: Tasks, work: Work) -> None:
    die(work)
    assert tasks.ask("POST", f"/{KEY}/retry").json() == {"key": KEY}
    run()
    assert work.runs == 4 and tasks.get(f"/{KEY}")["dead"][0]["state"] == "Retried"


def test_a_task_that_waits_for_its_time_is_sent_now(tasks: Tasks, work: Work, db: Session) -> None:
    ask(delay=1000)
    assert tasks.get(f"/{KEY}")["waiting"]["due"] is not None
    tasks.ask("POST", f"/{KEY}/retry")
    assert db.get_one(Outbox, KEY).published == 1


def test_a_revoked_task_does_not_run_and_its_key_can_be_used_again(tasks: Tasks, work: Work) -> None:
    ask()
    assert tasks.ask("POST", f"/{KEY}/revoke").status_code == 200
    run()
    assert work.runs == 0
    run(ask())
    assert work.runs == 1


def test_an_older_versions_row_is_listed_as_well(tasks: Tasks, work: Work) -> None:
    with session() as db:
        row = row_of(NAME, "old", 0, {"nummer": 1}, Origin())
        db.add(Outbox(**row))
    assert tasks.keys() == ["old"] and tasks.get("/old")["subject"] is None
