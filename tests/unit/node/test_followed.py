"""While somebody reads a job's output its pilot sends it more often."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diracx_tasks.core.client import Client
from diracx_tasks.node import watchdog as module
from diracx_tasks.node.halt import Cause, Halt, Stop
from diracx_tasks.node.report import Report
from diracx_tasks.node.watchdog import Watchdog
from tests.unit.node.server import Server, wait_for

Orders = Callable[..., None]


@pytest.fixture
def halt() -> Halt:
    """The orders to attempt 1 of job 7."""
    return Halt(Stop(10))


@pytest.fixture
def watchdog(client: Client, halt: Halt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watchdog:
    """The watchdog of attempt 1 of job 7; its second heartbeat would come after an hour."""
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(module, "FOLLOWED_SECONDS", 0.05)
    (tmp_path / "log").write_text("one\n")
    report = Report(client, halt, 7, 1)
    return Watchdog(
        client, report, halt, job_id=7, attempt=1, seconds=3600, log_file=tmp_path / "log", lasts=lambda: None
    )


@pytest.fixture
def orders(server: Server, monkeypatch: pytest.MonkeyPatch) -> Orders:
    """Has every heartbeat be answered with these orders to job 7."""

    def give(*commands: str, job_id: int = 7) -> None:
        def answer(_: str, path: str, body: Any) -> tuple[int, Any]:
            server.heartbeats.append(body["7"])
            return 200, [{"job_id": job_id, "command": one, "arguments": ""} for one in commands]

        monkeypatch.setattr(server, "answer", answer)

    return give


def write(watchdog: Watchdog, words: str) -> None:
    with watchdog._log_file.open("a") as log:
        log.write(words)


def test_lines_come_at_once_and_without_numbers(server: Server, watchdog: Watchdog, orders: Orders) -> None:
    orders("Follow")
    with watchdog:
        wait_for(lambda: server.heartbeats)
        for number in range(3):
            write(watchdog, f"{number}\n")
            wait_for(lambda: server.heartbeats[-1]["StandardOutput"].endswith(f"{number}\n"))  # noqa: B023
    assert "CPUConsumed" in server.heartbeats[0]
    assert all(one.keys() == {"Attempt", "StandardOutput"} for one in server.heartbeats[1:])


def test_nothing_is_sent_while_there_is_nothing_new(
    server: Server, watchdog: Watchdog, orders: Orders
) -> None:
    orders("Follow")
    with watchdog:
        wait_for(lambda: server.heartbeats)
        for _ in range(5):
            watchdog._over.wait(0.06)
        assert len(server.heartbeats) == 1
        write(watchdog, "two\n")
        wait_for(lambda: len(server.heartbeats) == 2)


def test_it_ends_when_nobody_listens_any_more(server: Server, watchdog: Watchdog, orders: Orders) -> None:
    orders("Follow")
    with watchdog:
        wait_for(lambda: server.heartbeats)
        orders()
        write(watchdog, "two\n")
        wait_for(lambda: len(server.heartbeats) == 2)
        write(watchdog, "three\n")
        watchdog._over.wait(0.3)
    assert len(server.heartbeats) == 2


def test_that_another_job_is_followed_does_not_concern_this_one(
    server: Server, watchdog: Watchdog, orders: Orders
) -> None:
    orders("Follow", job_id=8)
    with watchdog:
        wait_for(lambda: server.heartbeats)
        write(watchdog, "two\n")
        watchdog._over.wait(0.3)
    assert len(server.heartbeats) == 1


def test_the_order_to_kill_is_heard_between_two_heartbeats(
    server: Server, watchdog: Watchdog, halt: Halt, orders: Orders
) -> None:
    orders("Follow")
    with watchdog:
        wait_for(lambda: server.heartbeats)
        orders("Kill", "Follow")
        write(watchdog, "two\n")
        wait_for(lambda: halt.cause)
    assert halt.cause is Cause.KILLED
