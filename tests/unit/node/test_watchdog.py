"""Heartbeats and what is in them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest

from diracx_tasks.core.client import Client
from diracx_tasks.node.halt import Cause, Halt, Stop
from diracx_tasks.node.report import Report
from diracx_tasks.node.watchdog import MAX_TAIL, Watchdog, tail, usage
from tests.unit.node.server import Server, wait_for


@pytest.fixture
def halt() -> Halt:
    """The orders to attempt 1 of job 7."""
    return Halt(Stop(10))


@pytest.fixture
def watchdog(client: Client, halt: Halt, tmp_path: Path) -> Watchdog:
    """The watchdog of attempt 1 of job 7."""
    (tmp_path / "log").write_text("hello")
    report = Report(client, halt, 7, 1)
    report.note("Running", "Application")
    return Watchdog(
        client, report, halt, job_id=7, attempt=1, seconds=0.1, log_file=tmp_path / "log", lasts=lambda: None
    )


@pytest.fixture
def python() -> Iterator[Callable[[str], psutil.Process]]:
    """Starts Python processes that run some code."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> psutil.Process:
        started.append(subprocess.Popen([sys.executable, "-c", code]))
        return psutil.Process(started[-1].pid)

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_states_go_before_the_first_heartbeat(server: Server, watchdog: Watchdog) -> None:
    with watchdog:
        wait_for(lambda: len(server.heartbeats) > 1)
    assert server.requests[:2] == ["PATCH /api/jobs/status", "PATCH /api/jobs/heartbeat"]
    assert server.requests.count("PATCH /api/jobs/status") == 1


def test_a_heartbeat_tells_what_the_payload_uses(
    server: Server, watchdog: Watchdog, python: Callable[[str], psutil.Process]
) -> None:
    watchdog.watch(python("x = b'x' * 50_000_000\nwhile True: pass"))
    with watchdog:
        wait_for(lambda: server.heartbeats and server.heartbeats[-1]["7"]["CPUConsumed"] > 0.3)
    beat = server.heartbeats[-1]["7"]
    assert beat["MemoryUsed"] > 45
    assert beat["Vsize"] >= beat["MemoryUsed"]
    assert beat["AvailableDiskSpace"] > 0
    assert beat["WallClockTime"] > 0.3
    assert (beat["Attempt"], beat["StandardOutput"]) == (1, "hello")


def test_the_order_to_kill_is_heard(server: Server, watchdog: Watchdog, halt: Halt) -> None:
    server.to_kill.add(7)
    with watchdog:
        wait_for(lambda: halt.cause)
    assert halt.cause is Cause.KILLED


def test_an_order_to_kill_another_job_is_not_ours(
    server: Server, watchdog: Watchdog, halt: Halt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        server, "answer", lambda *_: (200, [{"job_id": 8, "command": "Kill", "arguments": ""}])
    )
    monkeypatch.setattr(Report, "send", lambda _: None)
    beats = count()
    monkeypatch.setattr(watchdog, "_used", lambda: {"beat": next(beats)})
    with watchdog:
        wait_for(lambda: next(beats) > 3)
    assert halt.cause is None


def test_a_late_attempt_is_halted(server: Server, watchdog: Watchdog, halt: Halt) -> None:
    server.late.add(7)
    with watchdog:
        wait_for(lambda: halt.cause)
    assert halt.cause is Cause.LATE


def test_it_goes_on_when_the_server_comes_back(server: Server, watchdog: Watchdog) -> None:
    server.is_away = True
    with watchdog:
        wait_for(lambda: len(server.requests) > 2)
        server.is_away = False
        wait_for(lambda: server.heartbeats)
    assert [state["Status"] for state in server.states[7]] == ["Running"]


def test_nothing_is_sent_for_a_payload_that_ends_at_once(server: Server, watchdog: Watchdog) -> None:
    with watchdog:
        watchdog.payload_ended(0.1)
    assert server.requests == []


def test_cpu_time_of_processes_that_have_ended_counts(python: Callable[[str], psutil.Process]) -> None:
    burn = "import time\nwhile time.process_time() < 0.8: pass"
    process = python(
        f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {burn!r}]); time.sleep(60)"
    )
    wait_for(lambda: usage(process)["CPUConsumed"] > 0.5)
    wait_for(lambda: not process.children())
    assert usage(process)["CPUConsumed"] > 0.5


def test_memory_shared_by_forks_counts_once(python: Callable[[str], psutil.Process]) -> None:
    code = "import os, time; x = b'x' * 80_000_000; [os.fork() for _ in range(2)]; time.sleep(60)"
    process = python(code)
    wait_for(lambda: len(process.children(recursive=True)) == 3)
    assert 75 < usage(process)["MemoryUsed"] < 150


def test_a_process_that_has_ended_uses_nothing() -> None:
    with subprocess.Popen(["true"]) as ended:
        process = psutil.Process(ended.pid)
    assert usage(process) == {"MemoryUsed": 0, "Vsize": 0, "CPUConsumed": 0}


def test_a_short_log_is_its_own_tail(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("Grüße\n")
    assert tail(tmp_path / "log") == "Grüße\n"
    assert tail(tmp_path / "none") == ""


@pytest.mark.parametrize("letter", ["a", "ü", "€", "𝄞"])
@pytest.mark.parametrize("shift", range(4))
def test_the_tail_starts_with_a_whole_character(tmp_path: Path, letter: str, shift: int) -> None:
    (tmp_path / "log").write_bytes(letter.encode() * 100 + b"x" * shift)
    text = tail(tmp_path / "log", limit=101)
    assert set(text) <= {letter, "x"}
    assert 97 <= len(text.encode()) <= 101


def test_a_character_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes("abc€".encode()[:-1])
    assert tail(tmp_path / "log") == "abc"


def test_bytes_that_are_no_text_stay_within_the_limit(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff" * 2 * MAX_TAIL + b"end")
    text = tail(tmp_path / "log")
    assert text.endswith("\ufffdend")
    assert len(text.encode()) <= MAX_TAIL


def test_random_bytes_have_a_tail(tmp_path: Path) -> None:
    for _ in range(50):
        (tmp_path / "log").write_bytes(os.urandom(300))
        assert len(tail(tmp_path / "log", limit=100).encode()) <= 100
