"""`diracx usage`, as scripts and people use it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import Answer, Server

PATH = "/api/usage"
Row = dict[str, Any]


def a_row(at: str | None = None, **of: Any) -> Row:
    """Use as the API tells it."""
    numbers = {"attempts": 3141, "measured": 3100, "cpu_seconds": 5400.0, "wall_seconds": 7200.0}
    means = {"core_seconds": 90000.0, "cpu_share": 0.754, "memory_mb": 1830.5, "disk_mb": None}
    return {"at": at, "of": of, **numbers, **means}


def test_use_is_a_table_json_or_names(diracx: Run, server: Server) -> None:
    server.gives("GET", PATH, [a_row(site="CERN", status="Done"), a_row(site="RAL", status="Failed")])
    asked = ("usage", "--by", "site", "--by", "status", "--since", "7d")
    table = diracx(*asked, "-o", "table").stdout
    for words in (
        "Site",
        "CERN",
        "RAL",
        "Failed",
        "3141",
        "1 h 30 min",
        "2 h",
        "1 d 1 h",
        "75 %",
        "1830 MB",
    ):
        assert words in table
    found = json_of(diracx(*asked))
    assert [(row["site"], row["status"], row["attempts"]) for row in found] == [
        ("CERN", "Done", 3141),
        ("RAL", "Failed", 3141),
    ]
    assert diracx(*asked, "-o", "id").stdout == "CERN\nRAL\n"
    assert server.requests[-1].query["by"] in ("site", "status")


def test_times_may_be_spans_or_dates(diracx: Run, server: Server) -> None:
    server.gives("GET", PATH, [a_row()])
    for stated, ago in (("7d", timedelta(days=7)), ("12h", timedelta(hours=12)), ("2w", timedelta(weeks=2))):
        diracx("usage", "--since", stated)
        since = datetime.fromisoformat(server.requests[-1].query["from"])
        assert abs(datetime.now(UTC) - ago - since) < timedelta(minutes=1)
    diracx("usage", "--since", "2026-11-01", "--until", "2026-11-08T12:00")
    query = server.requests[-1].query
    assert (query["from"], query["to"]) == ("2026-11-01T00:00:00+00:00", "2026-11-08T12:00:00+00:00")


@pytest.mark.parametrize("stated", ["yesterday", "7y", "2026-13-01", "999999w"])
def test_what_is_no_time_is_said(diracx: Run, stated: str) -> None:
    result = diracx("usage", "--since", stated)
    assert result.exit_code == 2 and f"{stated!r} is no time" in result.output


def test_rows_of_hours_and_days_begin_with_their_time(diracx: Run, server: Server) -> None:
    server.gives("GET", PATH, [a_row("2026-11-23T10:00:00.000000Z", site="CERN")])
    assert "2026-11-23 10:00" in diracx("usage", "--by", "site", "--each", "hour", "-o", "table").stdout
    assert server.requests[-1].query["bucket"] == "hour"
    day = diracx("usage", "--by", "site", "--each", "day", "-o", "table").stdout
    assert "2026-11-23" in day and "10:00" not in day


def test_nothing_is_told(diracx: Run, server: Server) -> None:
    server.gives("GET", PATH, [])
    assert diracx("usage", "-o", "table").stdout == "nothing has ended in this time\n"
    assert json_of(diracx("usage")) == []


def test_a_plot_is_written_to_a_file(diracx: Run, server: Server) -> None:
    server.gives("GET", f"{PATH}/plot", Answer(b"<svg/>"))
    result = diracx("usage", "--by", "site", "--plot", "use.svg", "--show", "cpu")
    assert result.exit_code == 0, result.output
    assert Path("use.svg").read_bytes() == b"<svg/>"
    assert server.requests[-1].query["measure"] == "cpu_seconds"


def test_a_plot_that_breaks_off_is_not_written(diracx: Run, server: Server) -> None:
    server.gives("GET", f"{PATH}/plot", Answer(b"<svg/>", is_whole=False))
    result = diracx("usage", "--plot", "use.svg")
    assert result.exit_code == 5 and "plot broke off" in result.stderr
    assert not Path("use.svg").exists()


def test_a_full_disk_is_said_in_words(diracx: Run, server: Server) -> None:
    server.gives("GET", f"{PATH}/plot", Answer(b"<svg/>"))
    result = diracx("usage", "--plot", "/dev/full")
    assert (result.exit_code, result.stderr) == (1, "diracx: cannot write: No space left on device\n")


def test_states_are_a_table_json_or_a_plot(diracx: Run, server: Server) -> None:
    of = {"status": "Running", "minor_status": "Application"}
    server.gives("GET", f"{PATH}/states", [{"at": "2026-11-23T10:05:00.000000Z", "of": of, "jobs": 2718}])
    asked = ("usage", "--states", "--by", "status", "--by", "minor")
    table = diracx(*asked, "-o", "table").stdout
    for words in ("Time", "2026-11-23 10:05", "Running", "Minor", "Application", "2718"):
        assert words in table
    since = datetime.fromisoformat(server.requests[-1].query["from"])
    assert abs(datetime.now(UTC) - timedelta(days=1) - since) < timedelta(minutes=1)
    assert json_of(diracx(*asked)) == [{"at": "2026-11-23T10:05:00.000000Z", **of, "jobs": 2718}]
    server.gives("GET", f"{PATH}/states/plot", Answer(b"<svg/>"))
    assert diracx("usage", "--states", "--plot", "states.svg").exit_code == 0
    assert Path("states.svg").read_bytes() == b"<svg/>"


@pytest.mark.parametrize(("more", "days"), [([], 7), (["--states"], 1)])
def test_a_period_that_ends_earlier_begins_earlier(
    diracx: Run, server: Server, more: list[str], days: int
) -> None:
    for route in (PATH, f"{PATH}/states"):
        server.gives("GET", route, [])
    json_of(diracx("usage", "--until", "2026-10-08", *more))
    asked = server.requests[-1].query
    first, last = (datetime.fromisoformat(asked[name]) for name in ("from", "to"))
    assert last - first == timedelta(days=days)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--by", "minor"), "with --states only"),
        (("--states", "--by", "ce"), "nothing that --states tells"),
        (("--states", "--each", "hour"), "--each hour: --states tells of every 5 minutes"),
        (("--states", "--plot", "x.svg", "--show", "cpu"), "--show cpu: --states tells of numbers of jobs"),
    ],
)
def test_what_the_one_or_the_other_does_not_know_is_said(diracx: Run, asked: Any, words: str) -> None:
    result = diracx("usage", *asked)
    assert result.exit_code == 2 and words in result.output


def test_no_snapshot_is_told(diracx: Run, server: Server) -> None:
    server.gives("GET", f"{PATH}/states", [])
    assert diracx("usage", "--states", "-o", "table").stdout == "there is no snapshot of this time\n"


def test_what_the_server_refuses_is_told_in_its_words(diracx: Run, server: Server) -> None:
    server.gives("GET", PATH, Answer({"detail": "31 days can be asked for, not 300"}, 400))
    result = diracx("usage", "--by", "ce", "--since", "300d")
    assert result.exit_code == 1 and "31 days can be asked for" in result.stderr
