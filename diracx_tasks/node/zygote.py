"""A warm process that has imported cwltool: it forks children for payloads (`runner.py`).

It must stay single-threaded: a fork copies the calling thread only.
"""

import contextlib
import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import psutil

from diracx_tasks.node import prctl
from diracx_tasks.node.order import Exit, Order

# Afterwards a new one is started: cwltool and schema-salad keep something of each document they have seen.
MAX_DOCUMENTS = 200


class ZygoteDied(Exception):
    """The warm process has ended; the payload that ran below it has ended as well."""


class Zygote:
    """The pilot's side of the warm process: one payload at a time."""

    def __init__(self) -> None:
        read_end, write_end = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "diracx_tasks.node.zygote", str(write_end), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(write_end,),
            start_new_session=True,
            env=_environment(),
        )
        os.close(write_end)
        self._answers = os.fdopen(read_end, "rb", buffering=0)
        self._rest = b""
        self.payload: psutil.Process | None = None
        # Seconds of CPU that its process had used for payloads before it.
        self.cpu_before = 0.0
        self.is_busy = False
        # What was told to end may take another payload with it.
        self._is_tainted = False
        self._documents: set[str] = set()

    @property
    def is_spent(self) -> bool:
        """Whether it should be replaced before the next payload."""
        return self._process.poll() is not None or len(self._documents) >= MAX_DOCUMENTS

    def run(self, order: Order) -> None:
        """Have a payload started; `payload` is the process above it, once it is there."""
        self._documents.add(order.bundle_file)
        try:
            assert self._process.stdin is not None
            sent = replace(order, is_fresh=self._is_tainted)
            self._process.stdin.write(json.dumps(asdict(sent)).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ZygoteDied("the warm process does not listen") from error
        self.is_busy, self._is_tainted = True, False

    def wait(self, timeout: float) -> Exit | None:
        """How the payload ended; None if it is still running."""
        until = time.monotonic() + timeout
        while answer := self._answer(until):
            if answer["event"] == "exited":
                self.payload, self.is_busy = None, False
                return Exit(answer["status"], answer["cpu_seconds"])
            # A short payload may be gone before we have read that it was started.
            with contextlib.suppress(psutil.NoSuchProcess):
                self.payload, self.cpu_before = psutil.Process(answer["pid"]), answer["cpu_seconds"]
        return None

    def terminate_payload(self) -> None:
        """Ask the process above the payload to end all below it; harmless when repeated."""
        if self.payload is not None:
            self._is_tainted = True
            with contextlib.suppress(psutil.Error):
                self.payload.terminate()

    def close(self) -> None:
        """End the warm process, and a payload that still runs."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._answers.close()
        self._forget_payload()

    def _answer(self, until: float) -> dict[str, Any] | None:
        while b"\n" not in self._rest:
            if not select.select([self._answers], [], [], max(0.0, until - time.monotonic()))[0]:
                return None
            received = self._answers.read(65536)
            if not received:
                self._forget_payload()
                raise ZygoteDied(f"the warm process ended with code {self._process.wait()}")
            self._rest += received
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _forget_payload(self) -> None:
        # The kernel tells the process above the payload that its parent is gone; that takes a moment.
        if self.payload is not None:
            with contextlib.suppress(psutil.Error):
                self.payload.wait(15)
        self.payload, self.is_busy = None, False


def _environment() -> dict[str, str]:
    """What payloads may see: nothing of ours, above all no token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DIRACX_")}
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return kept


def serve(answers: int, pilot: int) -> None:
    """Run payloads as they are asked for on standard input, one after the other."""
    prctl.die_with_parent(pilot)
    prctl.adopt_orphans()
    # The pilot alone decides what ends: a Ctrl-C in its terminal must not kill the payload.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    from diracx_tasks.node import payload
    from diracx_tasks.node.runner import Runner

    payload.warm_up()
    runner: Runner | None = None
    for line in sys.stdin:
        order = Order(**json.loads(line))
        prepared = payload.prepare(order)
        if runner and not runner.suits(order, prepared):
            runner.close()
            runner = None
        ended = None
        while ended is None:
            if runner is None:
                # Objects that the collector does not visit stay shared with the children.
                gc.collect()
                gc.freeze()
                runner = Runner(order, prepared)
            _tell(answers, event="started", pid=runner.process, cpu_seconds=runner.told_seconds)
            ended = runner.run(order)
            if ended is None or runner.is_over:
                _end(runner, order, ended)
                runner = None
        _tell(answers, event="exited", status=ended.code, cpu_seconds=ended.cpu_seconds)


def _end(runner: Any, order: Order, ended: Any) -> None:
    from diracx_tasks.node import container, supervisor

    runner.close()
    # Only when somebody has killed the supervisor itself is there anything left to end.
    supervisor.end_descendants(0)
    if ended is None or ended.code:
        container.remove_containers(Path(order.folder), order.engine)


def _tell(answers: int, **event: Any) -> None:
    os.write(answers, json.dumps(event).encode() + b"\n")


def main() -> NoReturn:
    """The warm process."""
    serve(int(sys.argv[1]), int(sys.argv[2]))
    sys.exit(0)


if __name__ == "__main__":
    main()
