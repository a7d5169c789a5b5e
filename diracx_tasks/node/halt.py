"""Reasons to end an attempt before its payload does, and calls that last until the server has answered."""

import logging
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from diracx_tasks.core.errors import ApiError, Unreachable

T = TypeVar("T")

FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
MAX_SERVER_ERRORS = 10

log = logging.getLogger("diracx.pilot")


class Cause(Enum):
    """Why an attempt ends early."""

    KILLED = "killed by command"
    LATE = "the attempt is no longer ours"
    STOPPED = "pilot was stopped"


class Halted(Exception):
    """The attempt must end now; nothing of it is to be reported as a success."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause


class Stop:
    """The wish that the pilot ends: no new job at once, the end of the running ones after the grace."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.reason: str = Cause.STOPPED.value
        # A job that has run for less is not to blame for not being over.
        self.spared_seconds = 0.0
        # No lock: signal handlers set it.
        self._is_requested = False
        self._due_at = float("inf")

    def request(self) -> None:
        """Start the grace; a second call ends it."""
        self._due_at = time.monotonic() + (0 if self._is_requested else self.grace)
        self._is_requested = True

    def end(self, reason: str, *, spared_seconds: float = 0.0) -> None:
        """Have the running jobs end now, for a reason that is told of them."""
        self.reason, self.spared_seconds = reason, spared_seconds
        self.request()
        self._due_at = time.monotonic()

    @property
    def is_requested(self) -> bool:
        """Whether no new job may be started."""
        return self._is_requested

    @property
    def is_due(self) -> bool:
        """Whether the running jobs have to end as well."""
        return time.monotonic() >= self._due_at


class Halt:
    """Orders to one attempt, given by any thread; the first one counts."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._ordered = threading.Event()
        self._cause: Cause | None = None

    def order(self, cause: Cause) -> None:
        """End the attempt."""
        self._cause = self._cause or cause
        self._ordered.set()

    @property
    def cause(self) -> Cause | None:
        """Why the attempt has to end; None while it may go on."""
        if self._cause is None and self._stop.is_due:
            self.order(Cause.STOPPED)
        return self._cause

    def check(self) -> None:
        """Raise Halted if the attempt has to end."""
        if cause := self.cause:
            raise Halted(cause)

    def sleep(self, seconds: float) -> None:
        """Wait; raises Halted as soon as the attempt has to end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            self._ordered.wait(min(left, 0.5))
        self.check()


def insist(call: Callable[[], T], halt: Halt) -> T:
    """The answer to a call that is repeated, ever more slowly, while the server is away.

    Raises Halted when the attempt has to end meanwhile, and ApiError for a refusal; a server that
    fails MAX_SERVER_ERRORS times refuses as well.
    """
    delay, errors = FIRST_DELAY, 0
    while True:
        halt.check()
        try:
            return call()
        except Unreachable as error:
            log.warning("%s; again in %g s", error, delay)
        except ApiError as error:
            errors += 1
            if error.status < 500 or errors == MAX_SERVER_ERRORS:
                raise
            log.warning("the server failed (%s); again in %g s", error, delay)
        halt.sleep(delay)
        delay = min(delay * 2, LONGEST_DELAY)


def ask(call: Callable[[], T], halt: Halt) -> T:
    """As `insist`, for a call about our attempt: 404 and 409 mean that it is no longer ours."""
    try:
        return insist(call, halt)
    except ApiError as error:
        if error.status not in (404, 409):
            raise
        log.info("%s", error)
        halt.order(Cause.LATE)
        raise Halted(Cause.LATE) from error
