"""The program of a JDL job, run in a child of the warm process; its output goes to files and to the log."""

import errno
import os
import selectors
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from diracx_tasks.node.order import LOG, Order, Program, Result

# The log is there to be looked at while the program runs: of a long output it keeps the end.
LONGEST_LOG, KEPT_LOG = 1 << 20, 64 << 10
BLOCK = 64 << 10
LOOK_SECONDS = 0.2
# What a pipe can still hold when the program has ended, in blocks, and rather more.
LEFT_IN_PIPE = 20


def run(order: Order) -> None:
    """Write how a program ended into the order's folder, as its Result."""
    assert order.program is not None
    program, folder = Program(**order.program), Path(order.folder)
    try:
        result = _result(_run(program, Log(folder / LOG)))
    except OSError as error:
        words = f"{program.command[0]} cannot be run: {error.strerror or error}"
        result = Result("permanentFail", None, None, words)
    result.write_to(folder)


class Log:
    """A file of which only the last bytes matter; whoever reads it by its name always sees those."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    def write(self, data: bytes) -> None:
        """Add bytes at the end."""
        self._file.write(data)
        self._size += len(data)
        if self._size > LONGEST_LOG:
            self._shorten()

    def _shorten(self) -> None:
        with self._path.open("rb") as long:
            long.seek(-KEPT_LOG, os.SEEK_END)
            kept = long.read()
        short = self._path.with_name(f"{self._path.name}.short")
        short.write_bytes(kept)
        short.rename(self._path)
        self._file.close()
        self._file = self._path.open("ab", buffering=0)
        self._size = len(kept)


def _run(program: Program, log: Log) -> int:
    """The program's exit code, or the negative number of the signal that has ended it."""
    folder = Path(program.folder)
    with ExitStack() as files:
        stdout = files.enter_context((folder / program.stdout).open("wb", buffering=0))
        is_one = program.stderr == program.stdout
        stderr = stdout if is_one else files.enter_context((folder / program.stderr).open("wb", buffering=0))
        process = files.enter_context(_started(program, subprocess.STDOUT if is_one else subprocess.PIPE))
        try:
            _copy(process, stdout, stderr, log)
        except OSError:
            process.kill()
            raise
        return process.wait()


def _started(program: Program, stderr: int) -> "subprocess.Popen[bytes]":
    def start(*before: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*before, *program.command],
            cwd=program.folder,
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
        )

    try:
        return start()
    except OSError as error:
        # A script that does not say what runs it: shells take it for one of their own.
        if error.errno != errno.ENOEXEC:
            raise
        return start("/bin/sh")


def _copy(process: "subprocess.Popen[bytes]", stdout: IO[bytes], stderr: IO[bytes], log: Log) -> None:
    """Copy what a program says until it has ended, whoever else may still hold the other end."""
    with selectors.DefaultSelector() as selector:
        for pipe, file in ((process.stdout, stdout), (process.stderr, stderr)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, file)
        left = LEFT_IN_PIPE
        while selector.get_map() and left:
            has_ended = process.poll() is not None
            ready = selector.select(0 if has_ended else LOOK_SECONDS)
            if has_ended:
                left = left - 1 if ready else 0
            for key, _ in ready:
                if data := os.read(key.fd, BLOCK):
                    key.data.write(data)
                    log.write(data)
                else:
                    selector.unregister(key.fileobj)


def _result(code: int) -> Result:
    if code == 0:
        return Result("success", {}, 0)
    return Result(
        "permanentFail", None, code, f"exit code {code}" if code > 0 else f"ended by signal {-code}"
    )
