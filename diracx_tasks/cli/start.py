"""Where commands begin and end: at once, and with one line for Ctrl-C from the first import to the end."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130


def main() -> None:
    """Run `diracx` and exit with its code."""
    _on_ctrl_c(_leave)
    from diracx_tasks.cli.main import main as run

    _run(run)


def runner() -> None:
    """Run `diracx-cwl-runner` and exit with its code."""
    _on_ctrl_c(_leave)
    from diracx_tasks.cli.runner import main as run

    _run(run)


def _run(run: Callable[[], object]) -> None:
    _on_ctrl_c(signal.default_int_handler)
    try:
        run()
    except SystemExit as end:
        _on_ctrl_c(_leave)
        _end(end)


def _on_ctrl_c(do: Callable[[int, FrameType | None], object]) -> None:
    """Have Ctrl-C do that, but where it is ignored, as shells have it for what runs in the background."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, do)


def _end(end: SystemExit) -> None:
    """Exit now: Python takes modules apart for longer than many a command lasts, and without Ctrl-C."""
    goes_on = any(one is not threading.main_thread() and not one.daemon for one in threading.enumerate())
    if goes_on or not isinstance(end.code, int | None):
        raise end
    atexit._run_exitfuncs()
    try:
        # There is none that a shell has closed.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        # Whoever read it has gone.
        os._exit(end.code or 1)
    os._exit(end.code or 0)


def _leave(_number: int, _place: FrameType | None) -> None:
    os.write(2, b"diracx: interrupted\n")
    os._exit(INTERRUPTED)
