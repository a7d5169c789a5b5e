"""`diracx tasks queues|workers|dead|limits|locks` on a real database and Redis."""

import pytest

from diracx_tasks.core.database import reading, session, utc_now
from diracx_tasks.engine import dead_letters, outbox, schedules
from diracx_tasks.engine.locks import lease
from diracx_tasks.engine.queues import QUEUES
from diracx_tasks.engine.tables import Schedule
from tests.builders import Installation, environment, installation, template
from tests.unit.cli.conftest import Terminals
from tests.unit.cli.installed import Run, Table, refused, rows, said, table, tasks
from tests.work import KEY, NAME, Work, ask, die, run, work

__all__ = ["installation", "table", "tasks", "template", "work"]
AWAY = "redis://127.0.0.1:1/0"


def test_of_a_fresh_installation_every_list_says_that_it_is_empty(tasks: Run, table: Table) -> None:
    empty = {
        "dead": "no task is dead",
        "locks": "nobody holds a lock",
        "workers": "no worker answers: start one with `celery -A diracx_tasks worker`",
    }
    for command, words in empty.items():
        assert table(command).strip() == words
        assert rows(tasks(command)) == []


def test_the_queues_say_what_waits_and_the_last_line_what_is_wrong(
    tasks: Run, table: Table, work: Work
) -> None:
    die(work, 1)
    ask(2)
    found = rows(tasks("queues"))
    assert [row["queue"] for row in found["queues"]] == list(QUEUES)
    assert (found["pending"], found["dead"], found["leader"]) == (1, 1, None)
    with session() as db:
        schedules.synchronize(db)
        schedules.lead(db, "beat-1")
        db.get_one(Schedule, "jobs.optimize").next_at = utc_now(-3600)
    lines = table("queues").splitlines()
    assert lines[0].split() == ["Queue", "Waiting", "Running", "Oldest", "Workers"]
    assert [line.split()[0] for line in lines[1:-1]] == list(QUEUES)
    for words in ("no worker answers", "outbox: 1 pending", "1 dead", "beat beat-1 leads", "is 360"):
        assert words in lines[-1]
    assert said(tasks("queues", "-o", "id")).splitlines() == list(QUEUES)


def test_dead_letters_are_listed_shown_and_run_again(tasks: Run, table: Table, work: Work) -> None:
    die(work)
    head, line = table("dead").splitlines()
    assert head.split() == ["ID", "Key", "Task", "Tries", "Died", "State", "Error"]
    assert line.split()[1:4] == [KEY, NAME, "3"] and line.rstrip().endswith("ValueError: no luck")
    number = said(tasks("dead", "-o", "id"))
    text = table("dead", "show", number)
    assert text.count("Traceback") == 3 and '{"number": 1}' in text and "alice@lhcb" in text
    assert text.index("try 1 at") < text.index("try 3 at")
    assert len(rows(tasks("dead", "show", number))["errors"]) == 3
    assert said(tasks("dead", "retry", number)) == f"{KEY} runs again"
    run()
    assert work.runs == 4 and rows(tasks("dead")) == []
    (letter,) = rows(tasks("dead", "--all"))
    assert (letter["state"], letter["resolved_by"]) == ("Retried", "carol")


def test_a_long_error_is_cut_at_the_end_of_its_line(work: Work, terminals: Terminals) -> None:
    def fail() -> None:
        raise ValueError("no luck " * 30)

    ask()
    work.during = fail
    for _ in range(3):
        run()
    for command, count in (("dead", 1), ("list", 3)):
        terminal = terminals.run("tasks", command)
        assert terminal.ends() == 0
        lines = terminal.text.splitlines()[1:]
        assert len(lines) == count
        assert all(KEY in line and NAME in line and line.rstrip().endswith("…") for line in lines)


def test_keys_that_have_no_room_are_folded_and_not_cut(work: Work, terminals: Terminals) -> None:
    key = "x" * 128
    with session() as db:
        outbox.enqueue(db, NAME, key, number=1)
    terminal = terminals.run("tasks", "list")
    assert terminal.ends() == 0 and "…" not in terminal.text
    assert sum(line.count("x") for line in terminal.text.splitlines()) == len(key)


def test_dead_letters_are_filtered_and_paged(tasks: Run, work: Work) -> None:
    for number in (1, 2, 3):
        die(work, number)
    first = tasks("dead", "--limit", "2", "-o", "table")
    assert "There may be more: --before " in first.stdout
    assert [row["key"] for row in rows(tasks("dead", "--before", first.stdout.split()[-1]))] == [KEY]
    assert rows(tasks("dead", "--task", "workflows.advance")) == []
    assert len(rows(tasks("dead", "--task", NAME))) == 3


def test_of_several_dead_letters_one_that_is_resolved_does_not_stop_the_others(
    tasks: Run, work: Work
) -> None:
    for number in (1, 2):
        die(work, number)
    second, first = said(tasks("dead", "-o", "id")).splitlines()
    assert said(tasks("dead", "drop", first)) == f"{first} is dropped"
    for command in ("drop", "retry"):
        assert f"dead letter {first} (job-1.verb) is Dropped already" in refused(
            tasks("dead", command, first), 1
        )
    result = tasks("dead", "retry", first, "4711", second)
    assert result.exit_code == 1 and result.stdout == "job-2.verb runs again\n"
    assert result.stderr.count("diracx: ") == 2
    with reading() as db:
        assert dead_letters.total(db) == {}


def test_a_dead_letter_has_a_number(tasks: Run) -> None:
    assert "there is no dead letter 4711" in refused(tasks("dead", "show", "4711"), 1)
    for arguments in (("show", "x"), ("show", "0"), ("retry",), ("drop", "-1")):
        assert refused(tasks("dead", *arguments), 2)


def test_limits_show_what_is_used_of_each_object(table: Table, tasks: Run, work: Work) -> None:
    run(ask())
    lines = [line.split() for line in table("limits").splitlines()[1:]]
    assert [(line[0], line[-2], line[-1]) for line in lines if line[0] == NAME] == [
        (NAME, "1", NAME),
        (NAME, "1", "se:CERN"),
    ]
    assert {NAME, "se:CERN"} <= set(said(tasks("limits", "-o", "id")).splitlines())


def test_locks_are_listed_and_released(tasks: Run, table: Table, work: Work) -> None:
    with lease("job:1"):
        _, line = table("locks").splitlines()
        assert line.split()[:2] == ["1", "write"] and line.split()[-1] == "job:1"
        assert said(tasks("locks", "-o", "id")) == said(tasks("locks", "list", "-o", "id")) == "job:1"
        assert said(tasks("locks", "release", "job:1")) == "job:1 is free"
        with lease("job:1") as is_ours:
            assert is_ours
    assert "nobody holds 'job:1'" in refused(tasks("locks", "release", "job:1"), 1)


@pytest.mark.parametrize("command", ["queues", "workers", "locks", "limits"])
def test_a_broker_or_redis_that_is_away_is_said_in_a_line(
    tasks: Run, installation: Installation, command: str
) -> None:
    with environment(DIRACX_DATA=str(installation.folder), DIRACX_REDIS_URL=AWAY):
        line = refused(tasks(command), 5)
    assert "does not answer" in line and "DIRACX_" in line
