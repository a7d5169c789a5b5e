"""The pilot's log on its way to the server, and its last words."""

import logging
from collections.abc import Callable, Iterator

import psutil
import pytest

from diracx_tasks.node import log as pilot_log
from diracx_tasks.node.log import Kept
from tests.unit.node.conftest import sleeping
from tests.unit.node.documents import a_sleep, a_tool
from tests.unit.node.server import Server, wait_for

StartPilot = Callable[..., psutil.Popen]
TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJwaWxvdCJ9.c2lnbmF0dXJl-_x"


@pytest.fixture
def kept() -> Kept:
    """What is kept of a log; `sesame` is secret."""
    return Kept("sesame", "")


@pytest.fixture
def say(kept: Kept) -> Iterator[Callable[[str], None]]:
    """Writes lines to that log."""
    logger = logging.getLogger("tests.pilot")
    logger.setLevel(logging.INFO)
    logger.addHandler(kept)
    yield logger.info
    logger.removeHandler(kept)


def last_word(server: Server) -> dict[str, str]:
    """What the pilot has said of itself, once and at the end."""
    (words,) = server.words
    return dict(words["stamp"])


def test_lines_are_kept_with_time_and_level(kept: Kept, say: Callable[[str], None]) -> None:
    say("one")
    say("two")
    first, second = kept.text().splitlines()
    assert first.endswith(" INFO one") and second.endswith(" INFO two") and kept.count == 2


def test_of_a_long_log_the_end_is_kept(
    kept: Kept, say: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pilot_log, "MOST_BYTES", 1000)
    for number in range(100):
        say(f"line {number} é")
    text = kept.text()
    assert len(text.encode()) <= 1000 and "line 99 é" in text and "line 1 " not in text
    say("x" * 5000)
    assert 900 < len(kept.text().encode()) <= 1000


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {TOKEN} was refused",
        "open sesame",
        "/bucket/a?X-Amz-Credential=hidden/2026&X-Amz-Date=1&X-Amz-Signature=hidden (Caused by x)",
        "http://store/a?AWSAccessKeyId=b&Signature=hidden",
    ],
)
def test_no_secret_is_kept(kept: Kept, say: Callable[[str], None], line: str) -> None:
    say(line)
    text = kept.text()
    assert "***" in text
    assert not any(word in text for word in (TOKEN, "sesame", "hidden"))


def test_a_pilot_tells_what_it_has_done_and_why_it_ends(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_tool("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"))
    server.a_job(a_tool("true"), job_id=2)
    assert start_pilot("--idle-seconds", "1").wait(60) == 0
    said = last_word(server)
    assert said["Status"] == "Done"
    assert said["StatusReason"].startswith("no job for 1 s; 2 jobs, ")
    assert "cores idle for" in said["StatusReason"]
    (uploaded,) = server.logs
    assert uploaded["stamp"] == "stamp" and "job 2 (attempt 1): done" in uploaded["text"]
    assert said["StatusReason"] in uploaded["text"]
    # The log comes first: with the end of the pilot ends its token.
    assert server.requests[-2:] == ["POST /api/pilots/log", "PATCH /api/pilots/metadata"]
    assert "secret" not in uploaded["text"]


def test_a_pilot_that_can_run_nothing_has_failed(server: Server, start_pilot: StartPilot) -> None:
    for number in range(1, 6):
        server.a_jdl_job("true", job_id=number)
    for job in server.waiting:
        # What no server sends.
        del job["payload"]["kind"]
    assert start_pilot().wait(60) == 1
    said = last_word(server)
    assert said["Status"] == "Failed"
    assert said["StatusReason"].startswith("3 jobs in a row could not be run here; 3 jobs, ")


def test_the_log_is_uploaded_while_the_pilot_runs(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_tool("true"))
    start_pilot("--log-seconds", "0.2")
    wait_for(lambda: server.logs and "job 1 (attempt 1): done" in server.logs[-1]["text"])
    before = len(server.logs)
    wait_for(lambda: server.requests[-4:] == ["POST /api/pilots/match"] * 4)
    # Nothing new, nothing uploaded.
    assert len(server.logs) == before


def test_a_server_that_takes_no_log_stops_no_work(server: Server, start_pilot: StartPilot) -> None:
    server.is_deaf = True
    pilot = start_pilot("--log-seconds", "0.1")
    wait_for(lambda: server.requests.count("POST /api/pilots/log") >= 2)
    server.a_job(a_tool("true"))
    assert server.ended()["Status"] == "Done"
    server.is_deaf = False
    pilot.terminate()
    assert pilot.wait(60) == 0
    assert last_word(server)["StatusReason"].startswith("pilot was stopped; 1 jobs, ")


def test_a_pilot_whose_log_nobody_wants_uploads_none(server: Server, start_pilot: StartPilot) -> None:
    assert start_pilot("--log-seconds", "0", "--idle-seconds", "0.5").wait(60) == 0
    assert server.logs == [] and last_word(server)["Status"] == "Done"


def test_its_jobs_are_given_back_before_a_stopped_pilot_says_that_it_has_ended(
    server: Server, start_pilot: StartPilot
) -> None:
    server.a_job(a_sleep(8691.5))
    pilot = start_pilot("--grace", "0")
    wait_for(lambda: len(sleeping(8691.5)) == 2)
    pilot.terminate()
    assert pilot.wait(60) == 0
    assert server.requests[-3:] == [
        "POST /api/pilots/jobs/1/release",
        "POST /api/pilots/log",
        "PATCH /api/pilots/metadata",
    ]


def test_a_pilot_with_little_time_says_what_its_node_can_do_in_it(
    server: Server, start_pilot: StartPilot
) -> None:
    start_pilot("--wall-seconds", "90000", "--cpu-power", "12.5", "--idle-seconds", "0.5").wait(60)
    (offer, *_) = server.offers
    assert offer["cpu_work"] == pytest.approx(12.5 * offer["wall_time"], abs=13)
    assert float(last_word(server)["BenchMark"]) == 12.5
