"""The process right above a payload: nothing that the payload starts lives longer than it."""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import psutil

from diracx_tasks.node import prctl, use

GRACE_SECONDS = 5.0
KILL_SECONDS = 10.0


class _End(BaseException):
    """Everything below has to end: politely within `grace` seconds, then by force."""

    def __init__(self, grace: float) -> None:
        self.grace = grace


def supervise(parent: int, log: Path, payload: Callable[[], None], on_kill: Callable[[], None]) -> NoReturn:
    """Run `payload` in a child, with its output in `log`; to be called right after a fork by `parent`.

    SIGTERM ends it within GRACE_SECONDS, the death of the parent at once. Whatever the payload has
    left behind, in other sessions too, is killed. Exits with the payload's code, or 128 + signal.
    """
    me = os.getpid()
    os.setsid()
    prctl.adopt_orphans()
    signal.signal(signal.SIGTERM, _end_politely)
    signal.signal(signal.SIGHUP, _end_at_once)
    code = 1
    try:
        prctl.die_with_parent(parent, signal.SIGHUP)
        _redirect(log)
        runner = os.fork()
        if runner == 0:
            _become_payload(me, payload, log.parent)
        code = _wait(runner)
        end_descendants(0)
    except _End as end:
        _ignore_signals()
        end_descendants(end.grace)
        on_kill()
        code = 128 + signal.SIGTERM
    finally:
        os._exit(code)


def end_descendants(grace: float) -> None:
    """Send SIGTERM to all processes below this one, after `grace` seconds SIGKILL, and reap them.

    A process that even SIGKILL does not end within KILL_SECONDS is left to the kernel.
    """
    started = time.monotonic()
    if grace and _reap():
        _signal_all(signal.SIGTERM)
    while _reap() and time.monotonic() < started + grace:
        time.sleep(0.01)
    while _reap() and time.monotonic() < started + grace + KILL_SECONDS:
        _signal_all(signal.SIGKILL)
        time.sleep(0.005)


def _become_payload(parent: int, payload: Callable[[], None], folder: Path) -> NoReturn:
    code, began = 1, time.monotonic()
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        prctl.die_with_parent(parent)
        # When memory runs out the kernel shall end the payload, not the pilot.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")
        payload()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        use.leave(folder, began)
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: a V8 isolate that ran out of memory can hang at exit.
        os._exit(code)


def _redirect(log: Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def _wait(runner: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == runner:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _reap() -> bool:
    """Collect what has ended; False when nothing is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _signal_all(number: signal.Signals) -> None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _ignore_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end_politely(*_: object) -> NoReturn:
    raise _End(GRACE_SECONDS)


def _end_at_once(*_: object) -> NoReturn:
    raise _End(0)
