"""The pilot's side of its secret, against a real server: it waits for it, hides it, and renews by itself."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from diracx_tasks.auth.tokens import issue_pilot
from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import LoginNeeded, Unreachable
from diracx_tasks.node import prctl
from diracx_tasks.node.credentials import PilotToken, credentials
from diracx_tasks.node.halt import Stop
from tests.api.secret_pilots import MATCH, NONCE, SLOT, TOKEN, a_pilot_with_a_secret, end
from tests.api.served import served
from tests.builders import VO, Installation
from tests.servers import free_port

# How long a token lives unless a VO says otherwise.
LIFE = 43_200
# What a pilot would tell of itself, and what a payload of it finds.
LOOK = """
import ctypes, json, os, subprocess, sys
from diracx_tasks.node.credentials import credentials
client = credentials(sys.argv[1])
payload = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
is_open = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
print(json.dumps({"token": client.token, "payload": payload, "is_open": is_open, "own": dict(os.environ)}))
"""


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def openly() -> Iterator[None]:
    """The process of the tests may be looked at again, by debuggers and others."""
    yield
    prctl._prctl(prctl.PR_SET_DUMPABLE, 1)


@pytest.fixture
def pilot(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A stamp and a secret, in the environment as the pilot's script leaves them."""
    stamp, secret = a_pilot_with_a_secret()
    monkeypatch.setenv("DIRACX_PILOT_STAMP", stamp)
    monkeypatch.setenv("DIRACX_PILOT_SECRET", secret)
    return stamp, secret


def begun(url: str, clock: Clock) -> tuple[str, PilotToken]:
    stamp, secret = a_pilot_with_a_secret()
    body = {"pilot_stamp": stamp, "pilot_secret": secret, "nonce": NONCE}
    return stamp, PilotToken(url, Client(url, None).post(TOKEN, body), clock=clock)


def test_a_pilot_begins_with_its_secret_and_works_with_its_token(pilot: tuple[str, str]) -> None:
    with served() as url:
        client = credentials(url)
        assert client.post(MATCH, {**SLOT, "stamp": pilot[0]})["jobs"] == []


def test_neither_secret_nor_token_is_in_what_payloads_get(pilot: tuple[str, str]) -> None:
    with served() as url:
        found = subprocess.run(
            [sys.executable, "-c", LOOK, url],
            env={**os.environ, "DIRACX_TOKEN": "another-secret"},
            capture_output=True,
            text=True,
            check=True,
        )
    told = json.loads(found.stdout)
    assert (told["is_open"], told["own"]["DIRACX_PILOT_STAMP"]) == (0, pilot[0])
    seen = told["payload"] + str(told["own"]) + found.stderr
    for one in (pilot[1], told["token"], "another-secret"):
        assert one not in seen
    assert len(told["token"]) > 100


def test_a_pilot_waits_for_a_server_that_is_away(pilot: tuple[str, str]) -> None:
    port = free_port()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(credentials, f"http://127.0.0.1:{port}")
        with served(port):
            assert asked.result(60).post(MATCH, {**SLOT, "stamp": pilot[0]})["jobs"] == []


def test_a_pilot_that_is_told_to_stop_waits_no_more(pilot: tuple[str, str]) -> None:
    stop = Stop(0)
    stop.request()
    with pytest.raises(Unreachable):
        credentials(f"http://127.0.0.1:{free_port()}", stop=stop)


def test_a_pilot_whose_secret_is_refused_does_not_try_again(
    pilot: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_PILOT_SECRET", "wrong")
    with served() as url, pytest.raises(LoginNeeded, match="no pilot has this stamp and this secret"):
        credentials(url)


def test_a_secret_without_a_stamp_is_told(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_PILOT_SECRET", "something")
    with pytest.raises(LoginNeeded, match="DIRACX_PILOT_STAMP does not say whose"):
        credentials("http://127.0.0.1:1")


def test_without_a_secret_the_token_of_the_environment_counts(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_TOKEN", issue_pilot(VO, "private", seconds=60))
    with served() as url:
        client = credentials(url)
        assert "DIRACX_TOKEN" not in os.environ
        assert client.post(MATCH, {**SLOT, "stamp": "private"})["jobs"] == []


def test_a_token_is_renewed_when_a_third_of_its_life_is_over(installation: Installation) -> None:
    clock = Clock()
    with served() as url:
        _, token = begun(url, clock)
        first = token()
        clock.now = LIFE / 3 - 1
        assert token() == first
        clock.now = LIFE / 3 + 1
        second = token()
        assert second != first
        clock.now += 60
        assert token() == second


def test_of_many_threads_one_renews_and_none_is_without_a_token(installation: Installation) -> None:
    clock, together = Clock(), threading.Barrier(8)
    with served() as url:
        _, token = begun(url, clock)
        first, clock.now = token(), LIFE / 3 + 1

        def call(_: int) -> str:
            together.wait()
            return token()

        with ThreadPoolExecutor(8) as threads:
            found = set(threads.map(call, range(8)))
        assert found <= {first, token()}


def test_a_renewal_that_fails_is_tried_again_while_the_old_token_holds(installation: Installation) -> None:
    clock, port = Clock(), free_port()
    with served(port) as url:
        _, token = begun(url, clock)
        first = token()
    clock.now = LIFE / 3 + 1
    assert token() == first
    with served(port):
        # Not at once: the server is asked again after half a minute.
        assert token() == first
        clock.now += 31
        assert token() != first


def test_without_a_server_until_its_end_a_token_is_not_used_any_more(installation: Installation) -> None:
    clock = Clock()
    with served() as url:
        _, token = begun(url, clock)
    clock.now = LIFE
    for _ in range(2):
        with pytest.raises(Unreachable, match="the token has ended and is not renewed"):
            token()


def test_a_pilot_that_was_ended_is_told_so_when_it_renews(installation: Installation) -> None:
    clock = Clock()
    with served() as url:
        stamp, token = begun(url, clock)
        end(stamp)
        clock.now = LIFE / 3 + 1
        with pytest.raises(LoginNeeded, match=f"the pilot {stamp} has ended"):
            token()
    # It asks no more.
    with pytest.raises(LoginNeeded, match="has ended"):
        token()
