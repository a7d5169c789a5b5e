"""A server can be stopped at any moment, and one that cannot start says why."""

from pathlib import Path

import pytest

from . import Missing, NotReady, Redis, free_port, need

pytestmark = pytest.mark.integration


def test_stopping_twice_is_harmless_and_starting_twice_starts_one(tmp_path: Path) -> None:
    with Redis(tmp_path) as server:
        first = server.pid
        server.start()
        assert server.pid == first
        server.stop()
        assert server.pid is None
    server.kill()


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("a file in the way")
    with pytest.raises(NotReady, match=r"ended before it was ready(.|\n)*append-only"):
        Redis(tmp_path).start()


def test_a_server_whose_port_was_taken_does_not_pass_for_the_other(tmp_path: Path) -> None:
    with Redis(tmp_path / "first") as first:
        second = Redis(tmp_path / "second")
        second.port = first.port
        with pytest.raises(NotReady, match=f"taken its port {first.port}"):
            second.start()


def test_a_missing_program_is_a_skip_here_and_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("DIRACX_TESTS_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Debian package ceph-mds"):
        need("ceph-mds")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(Missing, match="install-servers"):
        need("ceph-mds")


def test_a_free_port_is_outside_the_ports_of_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(free_port() < lowest for _ in range(100))
