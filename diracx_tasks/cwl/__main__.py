"""A warm process that has imported cwltool: it forks an isolate for each descriptor that it is sent.

`python -m diracx_tasks.cwl`, standard input being a Unix socket of packets: `start` with a descriptor, on
which the isolate's process number comes as the first line and then its answers; `end <process>`. It must
stay single-threaded: a fork copies the calling thread only.
"""

import gc
import logging
import os
import signal
import socket
import tempfile
from typing import NoReturn

from diracx_tasks.cwl import v8
from diracx_tasks.cwl.confine import confine, leave_spaces
from diracx_tasks.cwl.desk import Desk
from diracx_tasks.cwl.warm import warm_up

PACKET = 64
# Users that nobody is: one for each isolate, of the process that starts them.
FIRST_USER = 2_000_000_000
USERS = 32


def serve(control: socket.socket, folder: int, held: dict[str, bool]) -> None:
    """Fork and kill isolates as it is told, until the socket closes."""
    running: set[int] = set()
    count = 0
    while True:
        words, descriptors, _, _ = socket.recv_fds(control, PACKET, 1)
        running -= _ended()
        match words.split():
            case [b"start"] if descriptors:
                user = FIRST_USER + os.getpid() * USERS + count % USERS
                running.add(_start(control, descriptors[0], folder, held, user))
                count += 1
            # The number of an isolate that has ended may be another process's by now.
            case [b"end", process] if int(process) in running:
                os.kill(int(process), signal.SIGKILL)
            case [b"end", _]:
                continue
            case _:
                return


def _start(control: socket.socket, channel: int, folder: int, held: dict[str, bool], user: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            control.close()
            gc.enable()
            with (
                open(channel, "rb", closefd=False) as questions,
                open(channel, "wb", closefd=False) as answers,
            ):
                Desk(held | confine(folder, user)).serve(questions, answers)
        finally:
            os._exit(0)
    os.write(channel, b"%d\n" % child)
    os.close(channel)
    return child


def _ended() -> set[int]:
    """The isolates that have ended."""
    found = set()
    try:
        while child := os.waitpid(-1, os.WNOHANG)[0]:
            found.add(child)
    except ChildProcessError:
        pass
    return found


def main() -> NoReturn:
    """Serve until the socket closes; isolates end with this process."""
    logging.disable(logging.CRITICAL)
    # Who started this decides when it ends: a Ctrl-C in its terminal must not.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=os.dup(0))
    # Whatever cwltool reads or prints must not be taken for a message.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    held = leave_spaces()
    # What the collector does not visit stays shared with the isolates; nothing of it is garbage.
    gc.disable()
    warm_up()
    v8.start()
    gc.freeze()
    folder = tempfile.mkdtemp(prefix="diracx-isolate-")
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    # Nothing can be put into a folder that is gone, and nothing is left behind.
    os.rmdir(folder)
    serve(control, opened, held)
    os._exit(0)


if __name__ == "__main__":
    main()
