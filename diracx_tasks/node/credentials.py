"""Who the pilot is: its secret becomes a token that renews itself while the pilot runs."""

import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from diracx_tasks.core.client import Client, known_server
from diracx_tasks.core.errors import ApiError, DiracXError, LoginNeeded, Unreachable
from diracx_tasks.node import prctl
from diracx_tasks.node.halt import Stop

SECRET, STAMP, TOKEN = "DIRACX_PILOT_SECRET", "DIRACX_PILOT_STAMP", "DIRACX_TOKEN"
# Less than the server allows a secret to be used again by whoever has used it.
LONGEST = 600.0
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
# A token is renewed when a third of its life is over, and again after so long when that fails.
PART, AGAIN = 3, 30.0
# It must not end on its way.
GRACE = 15.0

log = logging.getLogger("diracx.pilot")


def credentials(url: str | None = None, *, stop: Stop | None = None) -> Client:
    """A client that is this pilot: by DIRACX_PILOT_SECRET, else as `Client.from_environment` finds one.

    Payloads run as the same user: secret and token leave the environment, and this process is hidden from
    them. Lasts until the server has answered, up to LONGEST seconds or an order to stop: Unreachable then,
    LoginNeeded when it refuses.
    """
    prctl.hide_environment()
    if url:
        os.environ["DIRACX_URL"] = url
    secret = os.environ.pop(SECRET, "")
    try:
        # Calls that must not be lost are repeated by the pilot, where an order to stop is heard.
        if not secret:
            return Client.from_environment(retries=1)
        return Client(known_server()[0], _begun(secret, stop or Stop(0)), retries=1)
    finally:
        os.environ.pop(TOKEN, None)


def _begun(secret: str, stop: Stop) -> "PilotToken":
    stamp = os.environ.get(STAMP, "")
    if not stamp:
        raise LoginNeeded(f"{SECRET} is set, but {STAMP} does not say whose secret it is")
    body = {"pilot_stamp": stamp, "pilot_secret": secret, "nonce": uuid.uuid4().hex}
    address = known_server()[0]
    server = Client(address, None, retries=1, timeout=30)
    deadline, delay = time.monotonic() + LONGEST, FIRST_DELAY
    while True:
        try:
            return PilotToken(address, server.post("/api/pilots/token", body))
        except (Unreachable, ApiError) as error:
            if not _may_pass(error) or stop.is_requested or time.monotonic() + delay > deadline:
                raise
            log.warning("no token yet: %s; again in about %.1f s", error, delay)
        # Many pilots begin at once, when the server comes back too.
        again = time.monotonic() + delay * random.uniform(0.5, 1.5)
        while not stop.is_requested and time.monotonic() < again:
            time.sleep(0.1)
        delay = min(delay * 2, LONGEST_DELAY)


class PilotToken:
    """Gives the token that holds now; safe to use from several threads.

    One of them renews it, long before it ends, and the others go on with what they have.
    """

    def __init__(
        self, url: str, answer: dict[str, Any], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: LoginNeeded | None = None
        self._token, self._due, self._end = "", 0.0, 0.0
        self._keep(answer)
        self._server = Client(url, lambda: self._token, retries=1, timeout=30)

    def __call__(self) -> str:
        """The token; LoginNeeded when it is renewed no more, Unreachable when it has ended meanwhile."""
        if self._clock() < min(self._due, self._end):
            return self._token
        if self._lock.acquire(blocking=self._clock() >= self._end):
            try:
                self._renew()
            finally:
                self._lock.release()
        return self._token

    def _renew(self) -> None:
        if self._refused:
            raise self._refused
        if self._clock() < min(self._due, self._end):
            return
        try:
            self._keep(self._server.post("/api/pilots/token/renew"))
        except LoginNeeded as error:
            self._refused = error
            raise
        except (Unreachable, ApiError) as error:
            log.warning("the token is not renewed: %s", error)
            self._due = self._clock() + AGAIN
            if self._clock() >= self._end:
                raise Unreachable(f"the token has ended and is not renewed: {error}") from error

    def _keep(self, answer: dict[str, Any]) -> None:
        now, seconds = self._clock(), float(answer["expires_in"])
        self._token = answer["access_token"]
        self._due = now + max(seconds / PART, min(AGAIN, seconds / 2))
        self._end = now + max(seconds - GRACE, seconds / 2)


def _may_pass(error: DiracXError) -> bool:
    return not isinstance(error, ApiError) or error.status >= 500 or error.status == 429
