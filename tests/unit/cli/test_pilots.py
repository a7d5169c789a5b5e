"""`diracx pilots list`, `show`, `kill` and `logs`."""

from typing import Any

from tests.unit.cli.conftest import Run, Terminals, json_of
from tests.unit.cli.server import Answer, Request, Server

STAMP, OTHER = "0f3c9a7be0d94b1f8a4d9b3f9c8e7d6a", "1a3c9a7be0d94b1f8a4d9b3f9c8e7d6b"
SEARCH, KILL = "/api/pilots/search", "/api/pilots/kill"
LOG, OUTPUT = f"/api/pilots/{STAMP}/log", f"/api/pilots/{STAMP}/output"
ALIVE = {"parameter": "Status", "operator": "not in", "values": ["Done", "Failed", "Aborted", "Deleted"]}
JOB = {"job_id": 17, "attempt": 2, "status": "Running", "reason": "", "is_held": True, "ended_at": None}
JOB |= {"started_at": "2026-11-26T15:00:00.000000Z"}
HISTORY = {
    "stamp": STAMP,
    "reference": "slurm://ce1/4711",
    "status": "Running",
    "reason": "",
    "site": "LCG.CERN.ch",
    "ce": "ce1",
    "queue": "long",
    "kind": "Slurm",
    "benchmark": 14.23,
    "updated_at": "2026-11-26T15:00:00.000000Z",
    "is_to_be_killed": True,
    "events": [{"at": "2026-11-26T14:00:00.000000Z", "words": "planned for long of ce1"}],
    "jobs": [JOB, {**JOB, "job_id": 16, "is_held": False, "status": "Done"}],
    "job_ids": [15, 16, 17],
}


def a_row(number: int = 1, stamp: str = STAMP, **other: Any) -> dict[str, Any]:
    row = {"PilotID": number, "PilotStamp": stamp, "Status": "Running", "GridSite": "LCG.CERN.ch"}
    row |= {"DestinationSite": "ce1", "Queue": "long", "CurrentJobID": 17, "StatusReason": "Unknown"}
    return {**row, "LastUpdateTime": "2026-11-26T15:00:00Z", **other}


def one_killed(stamp: str = STAMP) -> dict[str, Any]:
    return {"stamp": stamp, "was": "Running", "has_ended": False, "words": "ce1 is told"}


def test_options_and_conditions_become_one_search(diracx: Run, server: Server) -> None:
    server.gives("POST", SEARCH, [a_row()])
    named = ("--site", "LCG.CERN.ch", "--ce", "ce1", "--queue", "long", "--status", "running")
    found = diracx("pilots", "list", *named, "--where", "BenchMark > 10", "-o", "id")
    assert found.stdout == f"{STAMP}\n"
    assert [tuple(one.values()) for one in server.requests[-1].body["search"]] == [
        ("GridSite", "eq", "LCG.CERN.ch"),
        ("DestinationSite", "eq", "ce1"),
        ("Queue", "eq", "long"),
        ("Status", "eq", "Running"),
        ("BenchMark", "gt", "10"),
    ]
    assert server.requests[-1].body["sort"] == [{"parameter": "PilotID", "direction": "desc"}]


def test_those_that_have_ended_are_listed_with_all_only(diracx: Run, server: Server) -> None:
    server.gives("POST", SEARCH, [])
    shown = diracx("pilots", "list", "-o", "table")
    assert "no pilots that have not ended: --all shows the others" in shown.stdout
    assert server.requests[-1].body["search"] == [ALIVE]
    assert diracx("pilots", "list", "--all", "-o", "table").stdout == "no pilots\n"
    assert server.requests[-1].body["search"] == []


def test_the_list_says_when_there_are_more(diracx: Run, server: Server) -> None:
    server.gives("POST", SEARCH, [a_row(3), a_row(2, OTHER, StatusReason="node is down")])
    found = diracx("pilots", "list", "--limit", "1", "-o", "table")
    assert STAMP in found.stdout and OTHER not in found.stdout and "Unknown" not in found.stdout
    assert "There are more" in found.stdout


def test_a_table_of_pilots_fits_a_terminal(terminals: Terminals, server: Server) -> None:
    server.gives("POST", SEARCH, [a_row(StatusReason="the batch system has not known it for an hour")])
    shown = terminals.run("pilots", "list")
    assert shown.ends() == 0
    lines = shown.text.splitlines()
    assert len(lines) == 2 and STAMP in lines[1]


def test_a_condition_with_a_wrong_name_says_what_is_meant(diracx: Run) -> None:
    found = diracx("pilots", "list", "--where", "gridsite=x")
    assert found.exit_code == 2
    assert "a pilot has no gridsite; did you mean GridSite?" in found.stderr


def test_one_pilot_is_shown_with_its_jobs_and_history(diracx: Run, server: Server) -> None:
    server.gives("GET", f"/api/pilots/{STAMP}/history", HISTORY)
    shown = diracx("pilots", "show", STAMP, "-o", "table").stdout
    for words in ("slurm://ce1/4711", "14.2 DB12", "job 17", "3 jobs", "planned for long of ce1"):
        assert words in shown
    assert "ce1 has not heard it yet" in shown
    assert json_of(diracx("pilots", "show", STAMP)) == HISTORY


def test_named_pilots_are_killed(diracx: Run, server: Server) -> None:
    server.gives("POST", KILL, [one_killed()])
    found = diracx("pilots", "kill", STAMP, STAMP, "-o", "table")
    assert server.requests[-1].body == {"stamps": [STAMP]}
    assert "ce1 is told" in found.stdout


def test_a_dry_run_shows_which_and_kills_none(diracx: Run, server: Server) -> None:
    server.gives("POST", SEARCH, [a_row()])
    found = diracx("pilots", "kill", STAMP, "--dry-run", "-o", "table")
    assert STAMP in found.stdout and "1 pilot would be killed" in found.stdout
    named = {"parameter": "PilotStamp", "operator": "in", "values": [STAMP]}
    assert server.requests[-1].body["search"] == [named, ALIVE]
    assert not server.asked("POST", KILL)


def test_what_a_search_finds_is_killed_when_a_script_has_said_yes(diracx: Run, server: Server) -> None:
    stamps = [f"{number:032x}" for number in range(250)]
    server.gives("POST", SEARCH, [a_row(stamp=stamp) for stamp in stamps])

    def kills(request: Request) -> list[dict[str, Any]]:
        return [one_killed(stamp) for stamp in request.body["stamps"]]

    server.gives("POST", KILL, kills)
    refused = diracx("pilots", "kill", "--ce", "ce1")
    assert refused.exit_code == 2 and "Kill 250 pilots? Nobody can be asked here" in refused.stderr
    assert not server.asked("POST", KILL)
    found = diracx("pilots", "kill", "--ce", "ce1", "--yes", "-o", "id")
    assert found.stdout.split() == stamps
    assert [len(one.body["stamps"]) for one in server.asked("POST", KILL)] == [100, 100, 50]


def test_what_was_killed_before_an_error_is_told(diracx: Run, server: Server) -> None:
    server.gives("POST", SEARCH, [a_row(stamp=f"{number:032x}") for number in range(101)])
    server.gives("POST", KILL, [one_killed()], Answer({"detail": "there is no pilot x in vo"}, 404))
    found = diracx("pilots", "kill", "--ce", "ce1", "--yes", "-o", "id")
    assert (found.exit_code, found.stdout) == (1, f"{STAMP}\n")
    assert "there is no pilot x in vo" in found.stderr


def test_pilots_must_be_named_or_searched_for(diracx: Run) -> None:
    assert diracx("pilots", "kill").exit_code == 2
    assert diracx("pilots", "kill", STAMP, "--ce", "ce1").exit_code == 2


def test_the_log_that_was_sent_is_printed_as_it_is(diracx: Run, server: Server) -> None:
    server.gives("GET", LOG, Answer("began\nno work för 300 s".encode()))
    found = diracx("pilots", "logs", STAMP)
    assert (found.exit_code, found.stdout) == (0, "began\nno work för 300 s\n")
    assert not server.asked("POST", OUTPUT)


def test_without_a_log_the_element_is_asked_and_waited_for(diracx: Run, server: Server) -> None:
    not_here = Answer({"detail": "not here"}, 404)
    server.gives("POST", OUTPUT, Answer(None, 202))
    server.gives("GET", OUTPUT, not_here, {"output": "began\n", "errors": "sh: no python\n"})
    found = diracx("pilots", "logs", STAMP)
    assert (found.exit_code, found.stdout) == (0, "began\n")
    assert "pilot " + STAMP + " has sent no log" in found.stderr and "sh: no python" in found.stderr


def test_an_element_that_does_not_answer_in_time_is_an_error(diracx: Run, server: Server) -> None:
    server.gives("POST", OUTPUT, Answer(None, 202))
    server.gives("GET", OUTPUT, Answer({"detail": "not here"}, 404))
    found = diracx("pilots", "logs", STAMP, "--element", "--wait", "0")
    assert found.exit_code == 1
    assert "has not answered within 0 s" in found.stderr
    assert not server.asked("GET", LOG)


def test_an_unknown_pilot_has_no_log(diracx: Run, server: Server) -> None:
    server.gives("POST", OUTPUT, Answer({"detail": f"there is no pilot {STAMP} in vo"}, 404))
    found = diracx("pilots", "logs", STAMP)
    assert found.exit_code == 1
    assert f"there is no pilot {STAMP} in vo" in found.stderr
