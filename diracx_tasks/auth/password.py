"""The password of the embedded installation's login page, in a file that only its user can read."""

import hmac
import logging
import threading
import time
from dataclasses import dataclass, field

from diracx_tasks.core.errors import DiracXError, Forbidden, SettingsError
from diracx_tasks.core.settings import settings

log = logging.getLogger(__name__)
LONGEST_PAUSE = 10.0


class TooEarly(DiracXError):
    """Somebody has guessed wrong just now: nobody may try for a moment."""

    http_status = 429


@dataclass
class _Guesses:
    """How many wrong passwords came in a row, and until when no other is looked at."""

    wrong: int = 0
    until: float = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


_GUESSES = _Guesses()


def check(given: str) -> None:
    """Forbidden unless it is the password; TooEarly for a while after wrong ones, longer each time."""
    expected = _expected()
    with _GUESSES.lock:
        if (left := _GUESSES.until - time.monotonic()) > 0:
            raise TooEarly(f"a wrong password was given just now: try again in {left:.0f} s")
        if hmac.compare_digest(given.encode(), expected.encode()):
            _GUESSES.wrong = 0
            return
        _GUESSES.wrong += 1
        log.warning("a wrong password on the login page, number %d in a row", _GUESSES.wrong)
        _GUESSES.until = time.monotonic() + min(LONGEST_PAUSE, 0.25 * 2**_GUESSES.wrong)
    raise Forbidden("this is not the password that `diracx up` has printed")


def _expected() -> str:
    file = settings().data / "keys" / "login"
    try:
        found = file.read_text().strip()
    except OSError as error:
        raise SettingsError(f"the login page has no password: {file}: {error.strerror}") from error
    if not found:
        raise SettingsError(f"the login page has no password: {file} is empty")
    return found
