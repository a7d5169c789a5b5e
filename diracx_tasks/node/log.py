"""What the pilot says: kept, and uploaded from time to time and at its end; its last words."""

import logging
import re
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import DiracXError
from diracx_tasks.node.halt import Halt, Halted, Stop, ask

MOST_BYTES = 1_000_000
LONGEST_REASON = 255
LAST_SECONDS = 10

# JSON Web Tokens, and what signs the addresses of files in the store.
_tokens = re.compile(
    r"\beyJ[\w-]+\.[\w-]+\.[\w-]*|(?<=[?&])[\w-]*(?:signature|credential|token)[\w-]*=[^&\s'\")]+", re.I
)

log = logging.getLogger("diracx.pilot")


class Kept(logging.Handler):
    """The last lines of a log, together at most MOST_BYTES, without tokens and `secrets`."""

    def __init__(self, *secrets: str) -> None:
        super().__init__()
        self._secrets = [one for one in secrets if one]
        self._lines: deque[str] = deque()
        self._bytes = 0
        # Lines ever written: what differs when there are new ones.
        self.count = 0
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, under the handler's lock."""
        line = _tokens.sub("***", self.format(record))
        for secret in self._secrets:
            line = line.replace(secret, "***")
        line = line.encode(errors="replace")[: MOST_BYTES - 1].decode(errors="ignore")
        self._lines.append(line)
        self._bytes += len(line.encode()) + 1
        while self._bytes > MOST_BYTES:
            self._bytes -= len(self._lines.popleft().encode()) + 1
        self.count += 1

    def text(self) -> str:
        """All of them."""
        self.acquire()
        try:
            return "".join(f"{line}\n" for line in self._lines)
        finally:
            self.release()


class Uploads:
    """Brings the log to the server every so many seconds (0: not at all) while its `with` block lasts."""

    def __init__(self, client: Client, stamp: str, kept: Kept, seconds: float) -> None:
        self._client, self._stamp, self._kept, self._seconds = client, stamp, kept, seconds
        self._over = threading.Event()
        self._uploaded = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def __enter__(self) -> "Uploads":
        if self._seconds:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def last_words(self, *, has_failed: bool, reason: str, **facts: Any) -> None:
        """Upload what is new, and tell how the pilot ended, if the server can be reached within some seconds.

        `facts` are columns of the pilot in DIRAC's words.
        """
        told = {
            "Status": "Failed" if has_failed else "Done",
            "StatusReason": reason[:LONGEST_REASON],
            **facts,
        }
        if self._seconds and self._kept.count != self._uploaded:
            _insist(self._upload)
        # The last of all: afterwards the pilot's token may not hold any more.
        _insist(partial(self._client.patch, "/api/pilots/metadata", {self._stamp: told}))

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            if self._kept.count == self._uploaded:
                continue
            try:
                self._upload()
            except DiracXError as error:
                # Not a warning: it would have to be uploaded.
                log.debug("the log is not uploaded: %s", error)

    def _upload(self) -> None:
        count = self._kept.count
        self._client.post("/api/pilots/log", {"stamp": self._stamp, "text": self._kept.text()})
        self._uploaded = count


def _insist(call: Callable[[], Any]) -> None:
    stop = Stop(LAST_SECONDS)
    stop.request()
    try:
        ask(call, Halt(stop))
    except (DiracXError, Halted) as error:
        log.info("the server does not hear of the pilot's end: %s", error)
