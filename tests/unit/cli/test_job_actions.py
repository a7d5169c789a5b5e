"""`diracx jobs kill`, `delete`, `remove`, `reschedule` on jobs by number and on all that a search finds."""

from typing import Any

import pytest

from diracx_tasks.cli import job_actions
from tests.unit.cli.conftest import Run, Terminals
from tests.unit.cli.server import Answer, Request, Server

BULK = "/api/jobs/bulk"
WAITING = {"parameter": "Status", "operator": "eq", "value": "Waiting"}
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_actions, "POLL", 0.01)


def finds(server: Server, by_status: Row, possible: int, others: int = 0) -> None:
    """Have a search find this, and give an action the number 3."""

    def found(request: Request) -> Row:
        number = None if request.body.get("dry_run") else 3
        counts = {"found": sum(by_status.values()), "by_status": by_status}
        return {"bulk_id": number, "follow": None, **counts, "possible": possible, "others": others}

    server.gives("POST", BULK, found)


def progress(done: int, *, action: str = "kill", changed: Row | None = None, kept: Any = ()) -> Row:
    ended = None if changed is None else "2026-11-23T10:00:00.000000Z"
    told = {"changed": changed or {}, "kept": list(kept), "ended_at": ended, "trouble": None}
    return {"bulk_id": 3, "action": action, "search": [], "found": 5, "done": done, **told}


def asked(server: Server) -> list[Row]:
    return [one.body for one in server.asked("POST", BULK)]


@pytest.mark.parametrize("action", ["kill", "delete", "remove", "reschedule"])
def test_what_a_search_finds_is_counted_and_then_acted_on(diracx: Run, server: Server, action: str) -> None:
    finds(server, {"Done": 1, "Waiting": 4}, 4, 2)
    kept = {"reason": "Done: it cannot become Killed", "jobs": 1, "first": [17]}
    last = progress(5, action=action, changed={"Killed": 4}, kept=[kept])
    server.gives("GET", f"{BULK}/3", progress(2, action=action), Answer({"detail": "away"}, 503), last)
    result = diracx("jobs", action, "--where", "Status=Waiting", "--where", "JobGroup=00000012", "--yes")
    done = {"kill": "killed", "delete": "deleted", "remove": "removed"}.get(action, "rescheduled")
    assert result.stdout.splitlines() == [
        "5 jobs found: 1 Done, 4 Waiting",
        f"1 of them cannot be {done} as they are",
        "2 jobs more of others, which you may not change",
        "4 Killed",
        f"1 job not {done} (17): Done: it cannot become Killed",
    ]
    assert result.exit_code == 1
    search = [WAITING, {"parameter": "JobGroup", "operator": "eq", "value": "00000012"}]
    body = {"action": action, "search": search, "all": False}
    assert asked(server) == [{**body, "dry_run": True}, body]


def test_a_dry_run_only_counts(diracx: Run, server: Server) -> None:
    finds(server, {"Waiting": 5}, 5)
    result = diracx("jobs", "kill", "--all", "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "5 jobs found: 5 Waiting\n")
    assert diracx("jobs", "kill", 7, 8, "--dry-run").stdout == "5 jobs found: 5 Waiting\n"
    by_number = [{"parameter": "JobID", "operator": "in", "values": [7, 8]}]
    assert [(one["search"], one["all"], one["dry_run"]) for one in asked(server)] == [
        ([], True, True),
        (by_number, False, True),
    ]


def test_where_nothing_is_found_nothing_is_asked(diracx: Run, server: Server) -> None:
    finds(server, {}, 0)
    result = diracx("jobs", "delete", "--where", "Site=Nowhere")
    assert (result.exit_code, result.stdout, len(asked(server))) == (0, "0 jobs found\n", 1)


def test_a_script_must_have_said_yes(diracx: Run, server: Server) -> None:
    finds(server, {"Waiting": 5}, 5)
    result = diracx("jobs", "kill", "--where", "Status=Waiting")
    assert result.exit_code == 2
    assert "Kill 5 jobs? Nobody can be asked here: say --yes" in result.stderr
    assert len(asked(server)) == 1


def test_a_person_is_asked_and_sees_how_far_it_is(terminals: Terminals, server: Server) -> None:
    finds(server, {"Waiting": 5}, 5)
    server.gives("GET", f"{BULK}/3", progress(2), progress(5, changed={"Killed": 5}))
    terminal = terminals.run("jobs", "kill", "--where", "Status=Waiting")
    terminal.shows("Kill 5 jobs? [y/N]")
    terminal.type("n\n")
    assert terminal.ends() == 1 and len(asked(server)) == 1
    terminal = terminals.run("jobs", "kill", "--where", "Status=Waiting")
    terminal.shows("Kill 5 jobs? [y/N]")
    terminal.type("y\n")
    assert terminal.ends() == 0
    for words in ("action 3: 2 of 5 jobs", "action 3: 5 of 5 jobs", "5 Killed"):
        assert words in terminal.text


def test_ctrl_c_leaves_it_going_and_says_how_to_follow_it(terminals: Terminals, server: Server) -> None:
    finds(server, {"Waiting": 5}, 5)
    server.gives("GET", f"{BULK}/3", progress(2))
    terminal = terminals.run("jobs", "kill", "--where", "Status=Waiting", "--yes")
    terminal.shows("action 3: 2 of 5 jobs")
    terminal.press_ctrl_c()
    assert terminal.ends() == 130
    assert "`diracx jobs bulk 3` follows it" in terminal.text


def test_an_action_is_followed_by_its_number(diracx: Run, server: Server) -> None:
    last = progress(5, action="remove", changed={"Deleted": 2, "removed": 3})
    server.gives("GET", f"{BULK}/3", progress(1), last)
    result = diracx("jobs", "bulk", 3)
    assert result.exit_code == 0
    assert result.stdout == f"2 Deleted, 3 removed\n{job_actions.LATER}\n"
    assert diracx("jobs", "bulk", 4).exit_code == 1


def test_an_action_that_was_stopped_says_by_what(diracx: Run, server: Server) -> None:
    server.gives("GET", f"{BULK}/3", {**progress(2), "trouble": "RuntimeError: no room"})
    result = diracx("jobs", "bulk", 3)
    assert result.exit_code == 1
    assert "action 3 was stopped after 2 of 5 jobs: RuntimeError: no room; operators find it" in result.stderr


def test_jobs_are_deleted_and_removed_by_number(diracx: Run, server: Server) -> None:
    server.gives("POST", "/api/jobs/7/delete", {"job_id": 7, "status": "Deleted", "outcome": "applied"})
    assert diracx("jobs", "delete", 7).stdout == "job 7 is Deleted\n"
    finds(server, {"Running": 1}, 0)
    kept = {"reason": "Running: it has not ended; kill it first", "jobs": 1, "first": [8]}
    server.gives("GET", f"{BULK}/3", progress(1, action="remove", changed={}, kept=[kept]))
    result = diracx("jobs", "remove", 8, 9)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-3:] == [
        "1 of 2 jobs not there",
        "nothing was changed",
        "1 job not removed (8): Running: it has not ended; kill it first",
    ]


def test_jobs_are_rescheduled_by_number(diracx: Run, server: Server) -> None:
    path = "/api/jobs/reschedule"
    failed = {"8": {"detail": "Not found"}, "9": {"detail": "job 9 is Deleted (attempt 1)"}}
    server.gives("POST", path, {"success": {"7": {"Status": "Received"}}, "failed": failed})
    result = diracx("jobs", "reschedule", 7, 8, 9)
    assert (result.exit_code, result.stdout) == (1, "job 7 is Received\n")
    assert result.stderr == "diracx: job 8: Not found\ndiracx: job 9: is Deleted (attempt 1)\n"
    server.gives("POST", path, Answer({"detail": {"success": {}, "failed": failed}}, 400))
    assert diracx("jobs", "reschedule", 8, 9).stderr == result.stderr
    server.gives("POST", path, Answer({"detail": "no"}, 403))
    assert diracx("jobs", "reschedule", 8).stderr == "diracx: no\n"


@pytest.mark.parametrize(
    "chosen", [(), (7, "--all"), (7, "--where", "Status=Done"), ("--all", "--where", "Status=Done")]
)
def test_it_must_be_clear_which_jobs_are_meant(diracx: Run, server: Server, chosen: tuple[Any, ...]) -> None:
    result = diracx("jobs", "kill", *chosen)
    assert result.exit_code == 2 and "say which jobs: numbers, or --where, or --all" in result.stderr
    assert not server.requests


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Status=Waiting", ("Status", "eq", "Waiting")),
        (" Status != Done ", ("Status", "neq", "Done")),
        ("JobID<17", ("JobID", "lt", "17")),
        ("SubmissionTime > 2026-11-23", ("SubmissionTime", "gt", "2026-11-23")),
        ("JobName like %pi%", ("JobName", "like", "%pi%")),
        ("JobName NOT  LIKE a=b%", ("JobName", "not like", "a=b%")),
        ("Site in LCG.CERN.ch, LCG.RAL.uk", ("Site", "in", ["LCG.CERN.ch", "LCG.RAL.uk"])),
        ("Site not in A", ("Site", "not in", ["A"])),
        ("Status eq Waiting", ("Status", "eq", "Waiting")),
        ("MinorStatus=a > b", ("MinorStatus", "eq", "a > b")),
    ],
)
def test_conditions_are_understood(
    diracx: Run, server: Server, text: str, wanted: tuple[str, str, Any]
) -> None:
    name, operator, value = wanted
    finds(server, {}, 0)
    assert diracx("jobs", "kill", "--where", text).exit_code == 0
    key = "values" if isinstance(value, list) else "value"
    assert asked(server)[0]["search"] == [{"parameter": name, "operator": operator, key: value}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Waiting", "'Waiting' is no condition: write NAME=VALUE, "),
        ("status=Waiting", "a job has no status; did you mean Status?"),
        ("Colour=red", "a job has no Colour; there are JobID, "),
        ("Status==Done", "there is no ==; write Status=Done"),
        ("JobID>=17", "there is no >=; write JobID>16"),
        ("SubmissionTime<=2026-11-23", "SubmissionTime<2026-11-23 leaves out 2026-11-23 itself"),
        ("Status=", "lacks its value"),
        ("Status not in ,", "lacks its value"),
    ],
)
def test_what_is_no_condition_is_told_with_what_would_be_right(
    diracx: Run, server: Server, text: str, words: str
) -> None:
    result = diracx("jobs", "kill", "--where", text)
    assert result.exit_code == 2 and words in result.stderr.replace("\n", " ")
    assert not server.requests
