"""`diracx tasks schedule` on a real database."""

import pytest

from diracx_tasks.core.database import now, reading, session, utc_now
from diracx_tasks.engine import outbox, schedules
from diracx_tasks.engine.schedules import Entry
from diracx_tasks.engine.tables import Schedule
from diracx_tasks.engine.timing import Timing
from tests.builders import installation, template
from tests.unit.cli.installed import Run, Table, refused, rows, said, table, tasks
from tests.work import NAME, Work, work

__all__ = ["installation", "table", "tasks", "template", "work"]
ENTRY = "subject.verb@lhcb.example.org"


@pytest.fixture
def entry(work: Work, monkeypatch: pytest.MonkeyPatch) -> str:
    """An entry of the schedule."""
    found = Entry(ENTRY, NAME, Timing(every=7200), "code", arguments={"number": 7})
    monkeypatch.setitem(schedules.EXTRA, ENTRY, found)
    with session() as db:
        schedules.synchronize(db)
    return ENTRY


def row_of(tasks: Run) -> dict[str, str]:
    (row,) = [row for row in rows(tasks("schedule")) if row["name"] == ENTRY]
    return dict(row)


def test_without_a_beat_there_is_no_schedule(tasks: Run, table: Table) -> None:
    assert "celery -A diracx_tasks beat" in table("schedule")
    result = tasks("schedule")
    assert rows(result) == [] and "does it run?" in result.stderr


def test_the_schedule_shows_when_each_entry_ran_and_how_that_went(table: Table, entry: str) -> None:
    failed = {"key": entry, "started_at": now(), "seconds": 1.5, "outcome": "Failed"}
    with session() as db:
        schedules.note(db, {**failed, "words": "Traceback\nValueError: no luck\n"})
    lines = table("schedule").splitlines()
    assert lines[0].split() == ["Name", "When", "State", "Last", "Took", "Next", "Says"]
    assert [line.split()[0] for line in lines[1:]] == sorted(line.split()[0] for line in lines[1:])
    (line,) = [line for line in lines if line.startswith(entry)]
    for words in ("every 7200 s", "On", "just now", "1.5 s", "Failed: ValueError: no luck"):
        assert words in line
    (line,) = [line for line in lines if line.startswith("jobs.optimize")]
    assert "never" in line


def test_an_entry_that_is_late_says_so_and_a_paused_one_is_not(tasks: Run, table: Table, entry: str) -> None:
    with session() as db:
        db.get_one(Schedule, entry).next_at = utc_now(-7300)
    assert "2 h late" in table("schedule")
    tasks("schedule", "pause", entry)
    assert "2 h late" not in table("schedule")


@pytest.mark.parametrize("command, state", [("pause", "Paused"), ("dry-run", "DryRun"), ("resume", "On")])
def test_an_entry_is_paused_and_resumed(tasks: Run, entry: str, command: str, state: str) -> None:
    assert said(tasks("schedule", command, entry)) == f"{entry} is {state}"
    assert row_of(tasks)["state"] == state


def test_an_entry_runs_now_under_its_own_key(tasks: Run, entry: str) -> None:
    before = row_of(tasks)["next"]
    dry = said(tasks("schedule", "run", entry, "--dry-run"))
    assert dry == 'would enqueue subject.verb {"number": 7}'
    assert rows(tasks("list")) == []
    assert said(tasks("schedule", "run", entry)).endswith(f"is enqueued under the key {entry}")
    with reading() as db:
        row = outbox.find(db, entry)
        assert row and row.arguments == {"number": 7}
    assert row_of(tasks)["next"] == before


@pytest.mark.parametrize(
    "options, words",
    [
        (["--every", "60"], "every 60 s"),
        (["--cron", "0 3 * * *"], "cron 0 3 * * *"),
        (["--rrule", "FREQ=HOURLY;BYMINUTE=5"], "rrule FREQ=HOURLY;BYMINUTE=5"),
    ],
)
def test_an_entry_has_other_times_until_default(
    tasks: Run, table: Table, entry: str, options: list[str], words: str
) -> None:
    answer = said(tasks("schedule", "set", entry, *options))
    assert answer.startswith(f"{entry} is due {words}, next at ") and answer.endswith(" UTC")
    assert (row_of(tasks)["timing"], row_of(tasks)["origin"]) == (words, "operator")
    assert f"{words} (operator)" in table("schedule")
    assert said(tasks("schedule", "set", entry, "--default")).startswith(f"{entry} is due every 7200 s")
    assert row_of(tasks)["origin"] == "code"


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--every", "60", "--default"],
        ["--every", "0.1"],
        ["--every", "nan"],
        ["--cron", "0 3 * *"],
        ["--rrule", "FREQ=NEVER"],
    ],
)
def test_a_time_that_makes_no_sense_is_wrong_usage(tasks: Run, entry: str, options: list[str]) -> None:
    assert refused(tasks("schedule", "set", entry, *options), 2)
    assert row_of(tasks)["timing"] == "every 7200 s"


def test_the_next_times_of_an_entry_are_printed(tasks: Run, table: Table, entry: str) -> None:
    tasks("schedule", "set", entry, "--cron", "30 4 * * *")
    head, *lines = table("schedule", "next", entry, "--count", "3").splitlines()
    assert head.strip() == "Time (UTC)" and len(lines) == 3
    assert all(line.strip().endswith(" 04:30:00") for line in lines) and lines == sorted(lines)
    (first,) = rows(tasks("schedule", "next", entry, "--count", "1"))
    assert first["at"].endswith("T04:30:00.000000Z")


def test_an_entry_that_is_not_there_is_said_so(tasks: Run) -> None:
    for command in (["pause"], ["resume"], ["dry-run"], ["run"], ["next"], ["set", "--every", "5"]):
        assert "there is no entry 'x@y'" in refused(tasks("schedule", *command, "x@y"), 1)
