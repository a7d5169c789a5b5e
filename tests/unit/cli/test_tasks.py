"""`diracx tasks list|registered|show|retry|revoke|call` on a real database and Redis."""

import os
from typing import get_args

import pytest

from diracx_tasks.cli.tasks import STATES, TRACEBACKS
from diracx_tasks.core.database import reading, session
from diracx_tasks.engine import dead_letters, history, outbox
from diracx_tasks.engine.locks import lease
from diracx_tasks.engine.overview import State
from diracx_tasks.engine.run import Later
from tests.builders import Installation, environment, installation, template
from tests.unit.cli.conftest import Terminals
from tests.unit.cli.installed import Run, Table, refused, rows, said, table, tasks
from tests.work import KEY, NAME, Work, ask, die, run, work

__all__ = ["installation", "table", "tasks", "template", "work"]


def test_the_list_of_a_fresh_installation_is_empty_in_every_form(tasks: Run) -> None:
    assert rows(tasks("list")) == []
    assert said(tasks("list", "-o", "table")) == "no task waits, runs or has run"
    assert said(tasks("list", "-o", "id")) == ""


def test_the_list_shows_what_waits_and_then_what_ended(tasks: Run, table: Table, work: Work) -> None:
    run(ask(1))
    ask(2)
    head, first, second = table("list").splitlines()
    assert head.split() == ["Key", "Task", "State", "Try", "When", "Took", "Says"]
    assert first.split()[:4] == ["job-2.verb", NAME, "Waiting", "1"]
    assert second.split()[:4] == [KEY, NAME, "Done", "1"] and second.rstrip().endswith("done with 1")
    assert said(tasks("list", "-o", "id")) == f"job-2.verb\n{KEY}"


def test_the_list_is_filtered_and_paged(tasks: Run, work: Work) -> None:
    for number in (1, 2, 3):
        run(ask(number), number)
    die(work, 4)
    ask(5)
    assert [row["key"] for row in rows(tasks("list", "--state", "waiting"))] == ["job-5.verb"]
    assert [row["state"] for row in rows(tasks("list", "--subject", "job-4"))] == ["Dead", "Failed", "Failed"]
    assert len(rows(tasks("list", "--task", NAME, "--state", "Done"))) == 3
    assert rows(tasks("list", "--task", "workflows.advance")) == []
    first = tasks("list", "--state", "Done", "--limit", "2", "-o", "table")
    assert "There may be more: --before " in first.stdout
    full = tasks("list", "--state", "waiting", "--limit", "1", "-o", "table")
    assert "There may be more: state a larger --limit, or a --task" in full.stdout
    before = first.stdout.split()[-1]
    assert [row["key"] for row in rows(tasks("list", "--state", "Done", "--before", before))] == [KEY]


def test_states_are_those_of_the_engine(tasks: Run) -> None:
    assert get_args(State) == STATES
    assert "'Lost' is not one of" in refused(tasks("list", "--state", "Lost"), 2)
    assert refused(tasks("list", "--limit", "0"), 2)


def test_a_key_is_shown_with_arguments_tries_parent_and_children(table: Table, work: Work) -> None:
    ask(1, parent="workflow-42.advance")
    work.fail()
    run()
    work.during = lambda: ask(2, parent=KEY)
    run()
    text = table("show", KEY)
    for words in ('{"number": 1}', "alice@lhcb", "workflow-42.advance", "job-2.verb", "Do what the test"):
        assert words in text
    assert text.index("done with 1") < text.index("ValueError: no luck") < text.index("Traceback")
    assert text.rstrip().endswith("ValueError: no luck")


def test_a_task_that_waits_for_another_try_says_when(table: Table, work: Work) -> None:
    ask(delay=3600 * 5)
    assert "due in 4 h" in table("show", KEY)
    assert "due in 4 h" in table("list")


def test_of_a_key_that_failed_often_the_newest_tracebacks_are_shown(tasks: Run, work: Work) -> None:
    for _ in range(4):
        die(work)
    result = tasks("show", KEY, "-o", "table")
    assert result.stdout.count("Traceback") == TRACEBACKS
    assert f"the newest {TRACEBACKS} of 12 tries" in result.stderr
    assert result.stdout.count("diracx tasks dead show") == 3
    assert len(rows(tasks("show", KEY))["runs"]) == 12


def test_a_traceback_cannot_steer_the_terminal(table: Table, work: Work) -> None:
    def evil() -> None:
        raise ValueError("\x1b]0;evil\x07")

    ask()
    work.during = evil
    run()
    assert "\x1b" not in table("show", KEY) and "\x07" not in table("list")


def test_what_is_not_known_is_said_so(tasks: Run, work: Work) -> None:
    for command in ("show", "retry", "revoke"):
        assert "'x.y'" in refused(tasks(command, "x.y"), 1)
    assert "'x.y'" in refused(tasks("call", "x.y"), 1)
    assert "'x.y'" in refused(tasks("call", "--enqueue", "x.y"), 1)


def test_registered_tasks_say_what_they_want(tasks: Run, table: Table, work: Work) -> None:
    text = table("registered")
    (line,) = [line for line in text.splitlines() if line.startswith(NAME)]
    assert "job:{number}, 50 in 3600 s, 60 in 3600 s per se:{se}" in line
    (line,) = [line for line in text.splitlines() if line.startswith("jobs.optimize")]
    assert "every 30 s" in line and line.rstrip().endswith("one at a time")
    assert NAME in said(tasks("registered", "-o", "id")).split()


def test_a_task_is_retried_in_the_operators_name(tasks: Run, work: Work) -> None:
    die(work)
    assert said(tasks("retry", KEY)) == f"{KEY} runs again"
    with reading() as db:
        (letter,) = dead_letters.of_key(db, KEY)
        assert (letter.state, letter.resolved_by) == ("Retried", "carol")
    assert said(tasks("retry", KEY)) == f"{KEY} runs again"
    run()
    assert "none is dead" in refused(tasks("retry", KEY), 1)


def test_a_revoked_task_does_not_run(tasks: Run, work: Work) -> None:
    ask()
    assert said(tasks("revoke", KEY)) == f"{KEY} is revoked"
    run()
    assert work.runs == 0
    assert "no task waits" in refused(tasks("revoke", KEY), 1)


def test_a_call_runs_here_with_json_values_and_is_kept(tasks: Run, work: Work) -> None:
    assert said(tasks("call", NAME, "number=3", "se=RAL")) == "done with 3"
    assert said(tasks("call", NAME, "number=4", 'se="5"')) == "done with 4"
    assert work.seen == [(3, "RAL"), (4, "5")]
    (row, _) = rows(tasks("list", "--task", NAME))
    assert (row["key"], row["state"], row["words"]) == (f"{NAME}.by-hand", "Done", "done with 4")
    assert rows(tasks("show", row["key"]))["enqueued_by"] == "carol"


@pytest.mark.parametrize("arguments", [[], ["number=many"], ["number=1", "x=2"], ["number=1", "se=5"]])
def test_wrong_arguments_are_named(tasks: Run, work: Work, arguments: list[str]) -> None:
    wrong = {"x=2": "x", "se=5": "se"}.get(arguments[-1] if arguments else "", "number")
    for option in ([], ["--enqueue"]):
        assert f"{NAME}: {wrong}: " in refused(tasks("call", NAME, *option, *arguments), 2)
    assert work.runs == 0 and rows(tasks("list")) == []


@pytest.mark.parametrize("argument", ["number", "=1", "number-of=1"])
def test_an_argument_is_a_name_and_a_value(tasks: Run, work: Work, argument: str) -> None:
    assert "NAME=VALUE" in refused(tasks("call", NAME, argument), 2)


def test_a_call_keeps_locks_and_skips_limits(tasks: Run, work: Work) -> None:
    with lease("job:1"):
        assert "lock:job:1 is held by another run" in refused(tasks("call", NAME, "number=1"), 1)
        assert said(tasks("call", NAME, "number=2")) == "done with 2"
    assert work.runs == 1
    assert {row["used"] for row in rows(tasks("limits"))} == {0}


def test_a_call_that_fails_shows_where(tasks: Run, work: Work) -> None:
    work.fail()
    result = tasks("call", NAME, "number=1")
    assert result.exit_code == 1 and result.stderr.endswith("ValueError: no luck\n")
    assert "in no_luck" in result.stderr
    with lease("job:1") as is_free:
        assert is_free


def test_a_call_that_has_more_to_do_says_so(tasks: Run, work: Work) -> None:
    def later() -> None:
        raise Later(30, "3 of 5")

    work.during = later
    assert said(tasks("call", NAME, "number=1")) == "3 of 5: it has more to do in 30 s"


def test_a_call_may_be_left_to_a_worker(tasks: Run, work: Work) -> None:
    key = said(tasks("call", NAME, "number=1", "--enqueue"))
    assert key == f"{NAME}.1" and work.runs == 0
    with reading() as db:
        row = outbox.find(db, key)
        assert row and (row.arguments, row.enqueued_by) == ({"number": 1}, "carol")


def test_the_debugger_stops_at_the_first_line_and_goes_on(
    tasks: Run, installation: Installation, terminals: Terminals
) -> None:
    terminal = terminals.run("tasks", "call", "matching.expire_leases", "--debugger")
    assert terminal.shows("(Pdb)") and "expire_leases()" in terminal.text
    terminal.type("p 40 + 2\nc\n")
    assert terminal.shows("42") and terminal.shows("0 returned") and terminal.ends() == 0
    assert [row["key"] for row in rows(tasks("list"))] == ["matching.expire_leases.by-hand"]


def test_a_call_that_fails_in_the_debugger_can_be_looked_at(
    installation: Installation, terminals: Terminals
) -> None:
    (installation.folder / "diracx.db").unlink()
    terminal = terminals.run("tasks", "call", "sandboxes.clean_sandboxes", "--debugger")
    assert terminal.shows("(Pdb)")
    terminal.type("c\n")
    assert terminal.shows("OperationalError: ") and terminal.shows("(Pdb)")
    terminal.type("p 40 + 2\nq\n")
    assert terminal.ends() == 1 and "42" in terminal.text


def test_a_debugger_that_is_left_leaves_no_run(
    tasks: Run, installation: Installation, terminals: Terminals
) -> None:
    terminal = terminals.run("tasks", "call", "matching.expire_leases", "--debugger")
    assert terminal.shows("(Pdb)")
    terminal.type("q\n")
    assert terminal.ends() == 130 and "diracx: interrupted" in terminal.text
    assert rows(tasks("list")) == []
    assert "choose one" in refused(tasks("call", NAME, "--debugger", "--enqueue"), 2)


def test_a_database_that_is_not_made_is_said_so(tasks: Run, installation: Installation) -> None:
    (installation.folder / "diracx.db").unlink()
    line = refused(tasks("list"), 1)
    assert "no such table" in line and "diracx admin check" in line


def test_the_commands_need_no_api_and_a_user_no_name(
    tasks: Run, work: Work, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = {"DIRACX_DATA": str(installation.folder), "DIRACX_REDIS_URL": installation.redis.url}
    with environment(**stated, DIRACX_URL="http://127.0.0.1:1"):
        ask()
        for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(os, "getuid", lambda: 987654)
        die(work, 2)
        assert said(tasks("retry", "job-2.verb")) == "job-2.verb runs again"
        with session() as db:
            assert dead_letters.of_key(db, "job-2.verb")[0].resolved_by == "user 987654"
            assert len(history.search(db)) == 3
