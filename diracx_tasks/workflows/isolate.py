"""Questions about CWL, asked of a process without credentials that can be killed (`cwl/__main__.py`)."""

import math
import os
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from diracx_tasks.core import errors
from diracx_tasks.core.errors import BadRequest, Forbidden, InvalidCwl, NotFound, Unavailable
from diracx_tasks.core.origin import origin
from diracx_tasks.cwl import lines
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.workflows import zygote
from diracx_tasks.workflows.turns import Turns
from diracx_tasks.workflows.zygote import Started, Zygote

# A user waits for the answers to these; workers for all others.
OF_USERS = ("check", "template", "starts")
USERS_DEADLINE = 10.0
DEADLINE = 60.0
# A long input object takes its time: bytes a second.
SPEED = 1 << 20
WAIT = 10.0
AT_ONCE = 3
MOST_WAITING = 8
CHUNK = 1 << 20
ROUNDS = 3
# A document that had less of a processor than this is not to blame for the time that it took.
FAIR_SHARE = 0.25
# Of /proc/<process>/stat, after the name: time in user mode, then in the system's (proc(5)).
USER_TIME = 11
Contents = Callable[[str], Any]


class Isolate:
    """One child process; not for two threads at once."""

    def __init__(self) -> None:
        self._zygote: Zygote | None = None
        self._started: Started | None = None
        self._known: set[str] = set()
        self._rest = b""
        self._answers = 0

    @property
    def process(self) -> int | None:
        """The number of its process; None when there is none yet."""
        return self._started.process if self._started else None

    def ask(self, bundle: Bundle, request: dict[str, Any], deadline: float = DEADLINE) -> dict[str, Any]:
        """Its raw answer.

        When it takes longer than `deadline` seconds the child is killed: InvalidCwl, or Unavailable when the
        machine had no time for it.
        """
        sent = {**request, "hash": bundle.hash, "seconds": deadline}
        if bundle.hash not in self._known:
            sent["bundle"] = bundle.to_json()
        answer = self._exchange(sent, deadline)
        if "unknown" in answer:
            answer = self._exchange({**sent, "bundle": bundle.to_json()}, deadline)
        if self._started:
            self._known.add(bundle.hash)
        return answer

    def held(self) -> dict[str, bool]:
        """What the child has given up, see `cwl.confine`."""
        found: dict[str, bool] = self._exchange({"op": "held"}, DEADLINE)["ok"]
        return found

    def start(self) -> None:
        """Have the child running."""
        if self._started is None:
            self._zygote, self._started = zygote.start()

    def stop(self) -> None:
        """Kill the child."""
        if self._zygote and self._started:
            self._started.channel.close()
            self._zygote.end(self._started.process)
        self._started, self._known, self._rest, self._answers = None, set(), b"", 0

    def _exchange(self, sent: dict[str, Any], deadline: float) -> dict[str, Any]:
        is_fresh, spent_before = self._answers == 0, 0.0
        try:
            # A new child is not the document's fault: its time does not count.
            self.start()
            spent_before = self._cpu_seconds()
            answer: dict[str, Any] = lines.read(self._line(lines.written(sent), time.monotonic() + deadline))
            self._answers += 1
        except TimeoutError:
            spent = self._cpu_seconds()
            spent -= spent_before if spent < math.inf else 0.0
            self.stop()
            if spent < deadline * FAIR_SHARE:
                raise Unavailable(f"this machine is too busy: {spent:.3g} s in {deadline:.3g} s") from None
            words = f"the document or its expressions took longer than {deadline:.3g} s"
            raise InvalidCwl(words, [_spent(words)]) from None
        except (OSError, ValueError) as error:
            self.stop()
            if not is_fresh:
                # Perhaps an earlier document had spoilt it: nobody is blamed for what others did.
                return self._exchange(sent, deadline)
            words = "the document or its expressions broke the process that evaluated them (memory?)"
            raise InvalidCwl(words, [_spent(words)]) from error
        if answer.pop("last", False):
            self.stop()
        return answer

    def _cpu_seconds(self) -> float:
        """Seconds of CPU time that the child has used; without end when the kernel does not say it."""
        try:
            fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return math.inf
        return (int(fields[USER_TIME]) + int(fields[USER_TIME + 1])) / os.sysconf("SC_CLK_TCK")

    def _line(self, question: bytes, until: float) -> bytes:
        assert self._started is not None
        channel = self._started.channel
        channel.settimeout(_left(until))
        channel.sendall(question + b"\n")
        # Joined once: an answer of 100 MB comes in thousands of blocks.
        blocks = [self._rest]
        while b"\n" not in blocks[-1]:
            channel.settimeout(_left(until))
            if not (block := channel.recv(CHUNK)):
                raise ConnectionResetError("the child is gone")
            blocks.append(block)
        line, _, self._rest = b"".join(blocks).partition(b"\n")
        return line


def check(bundle: Bundle, inputs: dict[str, Any] | str | None, contents: Contents) -> dict[str, Any]:
    """`{"graph", "start", "warnings", ...}` of a document with its inputs (a mapping, or YAML text).

    InvalidCwl when something is wrong with them. Without inputs only the document is checked, and `start` is
    missing.
    """
    return _asked(bundle, {"op": "check", "inputs": inputs}, contents)


def plan(bundle: Bundle, operation: str, contents: Contents, **arguments: Any) -> dict[str, Any]:
    """An operation of `cwl.plan.Plan`; `contents` fetches what is stored and turns out to be needed."""
    return _asked(bundle, {"op": operation, "arguments": arguments}, contents)


def strength() -> dict[str, bool]:
    """What holds of an isolate on this machine.

    `calls`: only computing, no other system calls. `user`: it is a user that nothing belongs to. `files`:
    it has an empty root folder. `network` and `processes`: it sees none but its own. Limits on memory, CPU
    time, open and written files hold everywhere.
    """
    with _turns(os.getpid()).turn("", WAIT) as isolate:
        return isolate.held()


def warm_up() -> None:
    """Start this process's isolate in the background, so that the first user does not wait for it."""

    def start() -> None:
        with _turns(os.getpid()).turn("", WAIT) as isolate:
            isolate.start()

    threading.Thread(target=start, daemon=True, name="isolate-warm-up").start()


def prepare() -> None:
    """Start what isolates are forked of, before this process is forked: its children share it."""
    zygote.warm()


def close() -> None:
    """End this process's isolates that nobody uses, and what they are forked of."""
    for isolate in _turns(os.getpid()).places():
        isolate.stop()
    zygote.close()


def _asked(bundle: Bundle, request: dict[str, Any], contents: Contents) -> dict[str, Any]:
    given: dict[str, Any] = {}
    until = time.monotonic() + _seconds(request)
    for _ in range(ROUNDS):
        waited = time.monotonic()
        with _turns(os.getpid()).turn(origin().by, WAIT) as isolate:
            until += time.monotonic() - waited
            answer = isolate.ask(bundle, {**request, "contents": given}, _left(until))
        if "ok" in answer:
            found: dict[str, Any] = answer["ok"]
            return found
        if "unread" not in answer:
            raise _error(answer)
        try:
            given |= {location: contents(location) for location in answer["unread"]}
        except (BadRequest, Forbidden, NotFound) as error:
            # The workflow asks for what it cannot have: it fails, the task does not.
            raise InvalidCwl(str(error)) from error
    raise InvalidCwl("expressions keep asking for more files")


def _seconds(request: dict[str, Any]) -> float:
    if request["op"] not in OF_USERS:
        return DEADLINE
    inputs = request.get("inputs") or request.get("arguments")
    return min(DEADLINE, USERS_DEADLINE + len(lines.written(inputs)) // SPEED)


def _left(until: float) -> float:
    # Never 0, which would mean not to wait at all.
    return max(0.001, until - time.monotonic())


def _error(answer: dict[str, Any]) -> Exception:
    kind = getattr(errors, answer["class"], InvalidCwl)
    if issubclass(kind, InvalidCwl):
        return kind(answer["error"], answer["diagnostics"])
    error: Exception = kind(answer["error"])
    return error


@lru_cache(1)
def _turns(process: int) -> Turns[Isolate]:
    """Of this process: a fork must not speak on its parent's channels."""
    return Turns(Isolate, AT_ONCE, MOST_WAITING)


def _spent(words: str) -> dict[str, Any]:
    return {
        "severity": "error",
        "file": None,
        "line": None,
        "column": None,
        "message": words,
        "advice": "Look for endless loops and very large values, or move the work into a tool.",
    }
