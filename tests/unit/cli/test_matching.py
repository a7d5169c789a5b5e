"""`diracx matching` and `diracx jobs why`, as scripts and people use them."""

from typing import Any

from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import Answer, Server

Row = dict[str, Any]
CLASSES, NODES, LIMITS, HEALTH = (f"/api/matching/{one}" for one in ("classes", "nodes", "limits", "health"))


def a_class(number: int = 12, **more: Any) -> Row:
    """A class as the API tells it."""
    about = {"job_type": "User", "group": "user", "owner": "alice", "priority": 5}
    counts = {"jobs": 3141, "is_exact": True, "oldest_job": 17, "oldest_seconds": 5400.0}
    asks = {"asks": ["8 cores; the tag gpu"], "requirements": [{"cores": 8}]}
    return {"class_no": number, **about, **counts, **asks, "last_asked_seconds": 4.2, "blocked": [], **more}


def a_limit(**more: Any) -> Row:
    """A limit as the API tells it."""
    about = {"kind": "limit", "scope": "CERN", "attribute": "type", "value": "User"}
    return {**about, "running": 5, "most": 5, "seconds": None, "burst": None, "is_full": True, **more}


def test_classes_are_a_table_json_or_numbers(diracx: Run, server: Server) -> None:
    rows = [
        a_class(),
        a_class(13, jobs=20000, is_exact=False, last_asked_seconds=None, blocked=["CERN is full"]),
    ]
    server.gives("GET", CLASSES, rows)
    table = diracx("matching", "classes", "-o", "table").stdout

    assert json_of(diracx("matching", "classes")) == rows
    assert diracx("matching", "classes", "-o", "id").stdout == "12\n13\n"
    for words in ("3141", "1 h 30 min", "alice (user)", "just now", "8 cores; the tag gpu"):
        assert words in table
    assert "about 20000" in table and "none in the last hour" in table and "CERN is full" in table
    assert server.requests[-1].query == {"page": "1", "per_page": "25"}


def test_a_full_page_says_how_to_go_on_and_the_end_is_no_error(diracx: Run, server: Server) -> None:
    server.gives("GET", CLASSES, [a_class()])
    assert (
        "There may be more: --page 3."
        in diracx("matching", "classes", "--limit", 1, "--page", 2, "-o", "table").stdout
    )
    assert server.requests[-1].query == {"page": "2", "per_page": "1"}
    server.gives("GET", CLASSES, Answer([], 416))
    ended = diracx("matching", "classes", "--page", 4, "-o", "table")
    assert (ended.exit_code, ended.stdout) == (0, "there is no page 4\n")


def test_nothing_that_waits_is_told(diracx: Run, server: Server) -> None:
    for path, name, words in (
        (CLASSES, "classes", "no job waits"),
        (NODES, "nodes", "no node has asked for work within the last hour"),
        (LIMITS, "limits", "nothing is limited"),
        (HEALTH, "health", "no site and no node is slowed"),
    ):
        server.gives("GET", path, [])
        assert diracx("matching", name, "-o", "table").stdout == f"{words}\n"
        assert json_of(diracx("matching", name)) == []


def test_nodes_are_shown_with_what_they_offer(diracx: Run, server: Server) -> None:
    row = {"site": "CERN", "ce": "ce1", "last_asked_seconds": 61.0, "offers": "8 cores; x86_64-el9"}
    row |= {"values": {"cores": 8}, "tags": [], "required_tags": [], "only": {}, "banned": None}
    server.gives("GET", NODES, [row])
    table = diracx("matching", "nodes", "-o", "table").stdout

    assert "1 min ago" in table and "8 cores; x86_64-el9" in table and "Banned" not in table
    server.gives("GET", NODES, [{**row, "banned": "power cut"}])
    assert "power cut" in diracx("matching", "nodes", "-o", "table").stdout


def test_limits_and_delays_are_shown(diracx: Run, server: Server) -> None:
    delay = a_limit(kind="delay", running=None, most=None, seconds=2.5, burst=10, is_full=False)
    server.gives("GET", LIMITS, [a_limit(), a_limit(running=None), delay])
    lines = diracx("matching", "limits", "-o", "table").stdout.splitlines()

    assert lines[1].split() == ["CERN", "type", "User", "5", "of", "5", "full"]
    assert "not counted of 5" in lines[2]
    assert "one every 2.5 s, 10 at once after a while" in lines[3] and "full" not in lines[3]


def test_what_is_slowed_is_shown_and_released(diracx: Run, server: Server) -> None:
    row = {"site": "CERN", "node": "", "seconds": 45.0, "failed": 14.5, "done": 0.5}
    server.gives("GET", HEALTH, [row, {**row, "node": "n1"}])
    result = diracx("matching", "health", "-o", "table")

    assert result.stdout.splitlines()[1].split() == ["CERN", "all", "45", "s", "14.5", "0.5"]
    assert "diracx matching release SITE [NODE]" in result.stdout
    server.gives("POST", f"{HEALTH}/release", {"is_released": True}, {"is_released": False})
    assert diracx("matching", "release", "CERN", "n1").stdout == "CERN/n1 is released\n"
    assert diracx("matching", "release", "CERN").stdout == "CERN was not slowed\n"
    assert [one.body for one in server.asked("POST", f"{HEALTH}/release")] == [
        {"site": "CERN", "node": "n1"},
        {"site": "CERN", "node": ""},
    ]


def test_a_refusal_is_a_line_and_an_exit_code(diracx: Run, server: Server) -> None:
    server.gives("POST", f"{HEALTH}/release", Answer({"detail": "Forbidden"}, 403))
    result = diracx("matching", "release", "CERN")

    assert (result.exit_code, result.stderr) == (1, "diracx: Forbidden\n")


def test_why_says_what_to_do_below_the_reasons(diracx: Run, server: Server) -> None:
    found = {"job_id": 7, "status": "Waiting", "reasons": ["It asks for 8\ncores."], "advice": ["Ask for 4."]}
    server.gives("GET", "/api/jobs/7/why", found)

    assert json_of(diracx("jobs", "why", 7)) == found
    assert diracx("jobs", "why", 7, "-o", "table").stdout == (
        "job 7 is Waiting\n  It asks for 8 cores.\nWhat to do:\n  Ask for 4.\n"
    )
