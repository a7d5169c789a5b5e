"""Who is logged in: the official clients' credentials file, renewed by one process at a time."""

import base64
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

import urllib3

from diracx_tasks.core.errors import DiracXError, LoginNeeded, Unreachable

CLIENT_ID = "myDIRACClientID"
# What the official clients do: a token counts for 15 s less than it lives, and is renewed 300 s before.
GRACE = 15
RENEWED = 300
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Refused(DiracXError):
    """The server does not give tokens; `error` is OAuth's word for it, if there is one."""

    exit_code = 4

    def __init__(self, status: int, body: Any) -> None:
        said = body if isinstance(body, dict) else {}
        words = said.get("detail") or said.get("error_description") or said.get("error")
        super().__init__(str(words or f"the server answered {status}"))
        self.error = str(said.get("error") or "")


def path() -> Path:
    """Where the credentials are: DIRACX_CREDENTIALS_PATH, else the official clients' place."""
    given = os.environ.get("DIRACX_CREDENTIALS_PATH")
    return Path(given) if given else Path.home() / ".cache" / "diracx" / "credentials.json"


def read() -> dict[str, Any]:
    """What the file says; nothing when there is no login."""
    try:
        with path().open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return _parsed(file)
    except OSError:
        return {}


def is_alive(kept: dict[str, Any]) -> bool:
    """Whether a login holds, or could be renewed."""
    until: float = max(kept.get("expires_on", 0), _expiry(kept.get("refresh_token")))
    return until > time.time()


def write(url: str, tokens: dict[str, Any]) -> Path:
    """Keep the tokens of a login to a server; only the user can read the file."""
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+") as out:
        os.fchmod(out.fileno(), 0o600)
        fcntl.flock(out, fcntl.LOCK_EX)
        _put(out, url, tokens)
    return file


def remove() -> None:
    """Forget the login; harmless when there is none."""
    path().unlink(missing_ok=True)


def ask(url: str, form: dict[str, str]) -> Any:
    """The JSON that a server's form gets; Refused when it says no, Unreachable when it says nothing."""
    try:
        answer = urllib3.request(
            "POST", url, body=urlencode(form), headers=FORM, timeout=30, retries=urllib3.Retry(3, read=0)
        )
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(f"{url} does not answer: {reason_of(error)}") from error
    try:
        body = json.loads(answer.data)
    except ValueError:
        body = None
    if answer.status in (502, 503, 504):
        raise Unreachable(f"{url} is not ready: it answers {answer.status}")
    if answer.status != 200:
        raise Refused(answer.status, body)
    return body


def reason_of(error: urllib3.exceptions.HTTPError) -> str:
    """What is behind an error of HTTP, in a few words."""
    words = str(getattr(error, "reason", None) or error)
    return words.rpartition(": ")[2]


class Login:
    """A login to one server; safe to use from several threads and processes."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._kept: dict[str, Any] = {}

    def __call__(self) -> str:
        """An access token, renewed when it has not long to live; LoginNeeded when the login has ended."""
        if not _lasts(self._kept):
            self._kept = self._fresh()
        token: str = self._kept["access_token"]
        return token

    def _fresh(self) -> dict[str, Any]:
        with _locked() as file:
            found = _parsed(file)
            if (theirs := found.get("url") or self.url).rstrip("/") != self.url:
                raise LoginNeeded(f"the login is to {theirs} now: log in to {self.url} with `diracx login`")
            if _lasts(found):
                return found
            try:
                tokens = self._renewed(found.get("refresh_token"))
            except Unreachable:
                if found.get("expires_on", 0) > time.time():
                    return found
                raise
            return _put(file, found.get("url") or self.url, tokens)

    def _renewed(self, token: str | None) -> dict[str, Any]:
        words = "the login has ended: log in again with `diracx login`"
        if not token:
            raise LoginNeeded(words)
        form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": token}
        try:
            found: dict[str, Any] = ask(f"{self.url}/api/auth/token", form)
        except Refused as error:
            raise LoginNeeded(f"{words} ({error})") from error
        return found


def _expiry(token: str | None) -> float:
    """The `exp` of a token, as it says itself; 0 when it says none."""
    try:
        part = (token or "").split(".")[1]
        found: float = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"]
    except (IndexError, KeyError, ValueError, TypeError):
        return 0
    return found


def _lasts(kept: dict[str, Any]) -> bool:
    return bool(kept.get("access_token")) and kept.get("expires_on", 0) > time.time() + RENEWED


@contextmanager
def _locked() -> Iterator[IO[str]]:
    try:
        file = path().open("r+")
    except OSError as error:
        raise LoginNeeded("nobody is logged in: log in with `diracx login`") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _parsed(file: IO[str]) -> dict[str, Any]:
    try:
        found = json.load(file)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _put(file: IO[str], url: str, tokens: dict[str, Any]) -> dict[str, Any]:
    """Write in place: others wait for the lock of this very file."""
    kept = {
        "access_token": tokens["access_token"],
        "refresh_token": tokens.get("refresh_token"),
        "expires_on": int(time.time() + tokens["expires_in"] - GRACE),
        "url": url,
    }
    file.seek(0)
    file.write(json.dumps(kept))
    file.truncate()
    file.flush()
    os.fsync(file.fileno())
    return kept
