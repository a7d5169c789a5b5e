"""`diracx pilots plan`, and `diracx sites test` and `tests`."""

from typing import Any

from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import Server

QUEUE = {"site": "LCG.CERN.ch", "ce": "ce1", "queue": "long"}
STANDS = {"new": 12, "waiting": 3, "running": 80, "wait_seconds": 240.0, "breaker": "open", "words": "broken"}
PLAN = {"jobs": 15, "homeless": 2, "new": 12, "is_dry_run": True, "queues": [QUEUE | STANDS]}


def last_tests(status: str, reason: str = "") -> list[dict[str, Any]]:
    ended = None if status == "Running" else "2026-11-26T15:02:11.000000Z"
    times = {"asked_at": "2026-11-26T15:00:00.000000Z", "ended_at": ended}
    other: dict[str, Any] = {**QUEUE, "queue": "big", "job_id": None, "status": "", "reason": "", **times}
    return [{**QUEUE, "job_id": 17, "status": status, "reason": reason, **times}, other]


def test_a_dry_run_shows_the_plan(diracx: Run, server: Server) -> None:
    server.gives("POST", "/api/pilots/plan", PLAN)
    shown = diracx("pilots", "plan", "--dry-run", "-o", "table")
    assert server.requests[-1].body == {"dry_run": True}
    assert "broken" in shown.stdout and "240 s" in shown.stdout
    assert "12 pilots would be sent for 15 waiting jobs; 2 of the jobs fit no queue" in shown.stderr
    assert json_of(diracx("pilots", "plan")) == PLAN["queues"]
    assert server.requests[-1].body == {"dry_run": False}


def test_without_queues_that_is_said(diracx: Run, server: Server) -> None:
    server.gives("POST", "/api/pilots/plan", {**PLAN, "queues": []})
    assert "there are no queues in the configuration" in diracx("pilots", "plan", "-o", "table").stdout


def test_a_test_that_fails_is_an_exit_code(diracx: Run, server: Server) -> None:
    server.gives("POST", "/api/sites/test", [{**QUEUE, "job_id": 17}])
    server.gives("GET", "/api/sites/tests", last_tests("Running"), last_tests("Failed", "no space left"))
    found = diracx("sites", "test", "LCG.CERN.ch", "--queue", "long", "--wait", "-o", "table")
    assert server.requests[0].body == {"site": "LCG.CERN.ch", "ce": "", "queue": "long"}
    assert found.exit_code == 1
    assert "no space left" in found.stdout and "big" not in found.stdout


def test_the_last_tests_are_shown(diracx: Run, server: Server) -> None:
    server.gives("GET", "/api/sites/tests", last_tests("Done"))
    found = diracx("sites", "tests", "-o", "table").stdout
    assert "Done" in found and "never" in found
