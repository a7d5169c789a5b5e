"""The process right above a payload: nothing that the payload starts lives longer than it."""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import psutil

from diracx_tasks.node import prctl
from diracx_tasks.node.use import children_of

GRACE_SECONDS = 5.0
KILL_SECONDS = 10.0


class _End(BaseException):
    """Everything below has to end: politely within `grace` seconds, then by force."""

    def __init__(self, grace: float) -> None:
        self.grace = grace


class Pipes(NamedTuple):
    """Where orders come from, a line each, and where the CPU time so far goes when the next may come."""

    orders: int
    events: int


def supervise(
    parent: int, log: Path, pipes: Pipes, payload: Callable[[str], bool], on_kill: Callable[[], None]
) -> NoReturn:
    """Run payloads in a child, one after the other; to be called right after a fork by `parent`.

    `payload` runs an order and says whether the child may run another one; else it ends. SIGTERM ends it
    within GRACE_SECONDS, the death of the parent at once. Whatever a payload has left behind, in other
    sessions too, is killed. Exits with the code of the last payload, or 128 + signal. What goes wrong is in
    the `log`.
    """
    me = os.getpid()
    os.setsid()
    prctl.adopt_orphans()
    signal.signal(signal.SIGTERM, _end_politely)
    signal.signal(signal.SIGHUP, _end_at_once)
    code = 1
    try:
        prctl.die_with_parent(parent, signal.SIGHUP)
        _redirect(log, pipes)
        over, mine = os.pipe()
        runner = os.fork()
        if runner == 0:
            os.close(pipes.events)
            _run_payloads(me, pipes.orders, mine, payload)
        os.close(pipes.orders)
        os.close(mine)
        while seconds := os.read(over, 100):
            _end_others(runner)
            # The folder with the first log goes.
            log_to(Path(os.devnull))
            own = os.times()
            total = float(seconds) + own.user + own.system + own.children_user + own.children_system
            os.write(pipes.events, f"{total}\n".encode())
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


def log_to(log: Path) -> None:
    """Have what this process and its children write end in a file."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)


def _run_payloads(parent: int, orders: int, over: int, payload: Callable[[str], bool]) -> NoReturn:
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        prctl.die_with_parent(parent)
        # When memory runs out the kernel shall end the payload, not the pilot.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")
        with open(orders, encoding="utf-8") as lines:
            for line in lines:
                if not payload(line):
                    break
                os.write(over, str(sum(os.times()[:4])).encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: a V8 isolate that ran out of memory can hang at exit.
        os._exit(code)


def _redirect(log: Path, pipes: Pipes) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    log_to(log)
    start = 3
    for kept in sorted(pipes):
        os.closerange(start, kept)
        start = kept + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def _end_others(runner: int) -> None:
    """Kill what a payload has left behind; its process itself waits for the next one."""
    until = time.monotonic() + KILL_SECONDS
    while (others := _beside(runner)) and time.monotonic() < until:
        for pid in others:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.002)


def _beside(runner: int) -> list[int]:
    """Processes below this one that have not ended, but for the runner."""
    found = [*children_of(os.getpid()), *children_of(runner)]
    return [pid for pid in found if pid != runner]


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
