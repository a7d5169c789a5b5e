"""The warm process of which isolates are forked (`cwl/__main__.py`), as seen from API and workers."""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

from diracx_tasks.core.errors import Unavailable

STARTUP = 60.0


class Started(NamedTuple):
    """An isolate: its process, and the socket on which it answers."""

    process: int
    channel: socket.socket


class Zygote:
    """Starts and ends isolates; threads and forks of this process may use the same one."""

    def __init__(self) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = mine
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "diracx_tasks.cwl"],
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Nothing of ours: no credentials, no home, no working folder with files.
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path), "LANG": "C.UTF-8"},
                cwd="/",
                start_new_session=True,
            )

    def start(self) -> Started:
        """A new isolate. OSError when the warm process has ended, Unavailable when it does not answer."""
        mine, its = socket.socketpair()
        with its:
            socket.send_fds(self._control, [b"start"], [its.fileno()])
        mine.settimeout(STARTUP)
        number = b""
        try:
            while not number.endswith(b"\n"):
                if not (one := mine.recv(1)):
                    raise ConnectionResetError("the warm process has ended")
                number += one
        except TimeoutError:
            mine.close()
            raise Unavailable(f"the process that evaluates does not start within {STARTUP:g} s") from None
        except OSError:
            mine.close()
            raise
        return Started(int(number), mine)

    def end(self, process: int) -> None:
        """Kill an isolate; harmless when it has ended."""
        with suppress(OSError):
            self._control.send(b"end %d" % process)

    def close(self) -> None:
        """End it and with it all its isolates."""
        self._control.close()
        self._process.kill()
        self._process.wait()


_LOCK = Lock()


def start() -> tuple[Zygote, Started]:
    """A new isolate of the warm process, which is replaced if it has ended."""
    try:
        zygote = warm()
        return zygote, zygote.start()
    except OSError:
        with _LOCK:
            _kept.cache_clear()
        zygote = warm()
        return zygote, zygote.start()


def warm() -> Zygote:
    """This process's warm process; one that was started before this process was forked is shared."""
    with _LOCK:
        return _kept()


def close() -> None:
    """End this process's warm process, if there is one."""
    with _LOCK:
        if _kept.cache_info().currsize:
            _kept().close()
        _kept.cache_clear()


@lru_cache(1)
def _kept() -> Zygote:
    return Zygote()
