"""The process that runs payloads, as the warm process sees it: a fork for a payload, or for many alike.

To fork a process of this size takes longer than a small tool. So payloads of one owner and bundle that are
over soon and leave nothing behind run in one process, one after the other.
"""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from diracx_tasks.node import container, payload, supervisor, use
from diracx_tasks.node.order import LOG, Exit, Order

# After a payload that took longer the next one gets a process of its own: there it does not matter.
SHORT_SECONDS = 2.0
MOST = 200
NOWHERE = Path(os.devnull)


class Runner:
    """A fork of this process that runs the payloads that it is given."""

    def __init__(self, order: Order, prepared: payload.Prepared) -> None:
        self._kin = order.kin
        self._count = 0
        # CPU time of all payloads so far.
        self.told_seconds = 0.0
        self._is_plain = payload.is_plain(order, prepared)
        orders, self._orders = os.pipe()
        self._events, events = os.pipe()
        me = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            pipes = supervisor.Pipes(orders, events)
            _run(me, order, prepared, pipes, is_plain=self._is_plain)
        os.close(orders)
        os.close(events)

    @property
    def is_over(self) -> bool:
        """Whether its process has ended with its last payload."""
        return self.process == 0

    def suits(self, order: Order, prepared: payload.Prepared) -> bool:
        """Whether an order may run there after those before it."""
        is_kin = self._is_plain and order.kin == self._kin and self._count < MOST
        return is_kin and not order.is_fresh and payload.is_plain(order, prepared)

    def run(self, order: Order) -> Exit | None:
        """How a payload ended; None when the process does not take it, because it is gone."""
        self._count += 1
        try:
            os.write(self._orders, json.dumps(asdict(order)).encode() + b"\n")
        except BrokenPipeError:
            return None
        before = self.told_seconds
        if line := _line(self._events):
            self.told_seconds = float(line)
            return Exit(0, self.told_seconds - before)
        _, status, used = os.wait4(self.process, 0)
        self.process = 0
        code = os.waitstatus_to_exitcode(status)
        return Exit(code if code >= 0 else 128 - code, used.ru_utime + used.ru_stime - before)

    def close(self) -> None:
        """Let it go; to be called when it waits for an order, or is over."""
        os.close(self._orders)
        if self.process:
            os.waitpid(self.process, 0)
        os.close(self._events)


def _run(
    parent: int, first: Order, prepared: payload.Prepared, pipes: supervisor.Pipes, *, is_plain: bool
) -> NoReturn:
    def one(line: str) -> bool:
        began, order = time.monotonic(), Order(**json.loads(line))
        folder = Path(order.folder)
        supervisor.log_to(folder / LOG)
        try:
            may_go_on = payload.run(order, prepared)
        finally:
            leaves_nothing = use.leave(folder, began)
            sys.stdout.flush()
            sys.stderr.flush()
            supervisor.log_to(NOWHERE)
        is_short = time.monotonic() - began < SHORT_SECONDS
        return is_plain and may_go_on and leaves_nothing and is_short

    folder = Path(first.folder)
    supervisor.supervise(
        parent, folder / LOG, pipes, one, lambda: container.remove_containers(folder, first.engine)
    )


def _line(pipe: int) -> bytes:
    """What is written there, up to the end of the line; nothing when nobody can write any more."""
    found = b""
    while not found.endswith(b"\n"):
        if not (more := os.read(pipe, 100)):
            return b""
        found += more
    return found
