"""Fixtures for all tests: the real servers, and Ctrl-C as at a terminal."""

import signal

import pytest

pytest_plugins = ["tests.servers.fixtures"]


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Have it arrive in the processes that tests start, also where whoever runs the tests has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
