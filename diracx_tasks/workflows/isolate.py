"""Questions about CWL, asked of a process without credentials that can be killed (`cwl/__main__.py`)."""

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from queue import Empty, LifoQueue
from typing import Any

from diracx_tasks.core import errors
from diracx_tasks.core.errors import BadRequest, Forbidden, InvalidCwl, NotFound, Unavailable
from diracx_tasks.cwl.bundle import Bundle

DEADLINE = 60.0
STARTUP = 60.0
WAIT = 20.0
READERS = 2
CHUNK = 1 << 20
ROUNDS = 3
Contents = Callable[[str], str]


class Isolate:
    """One child process; not for two threads at once."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._known: set[str] = set()
        self._rest = b""
        self._answers = 0

    def ask(self, bundle: Bundle, request: dict[str, Any], deadline: float = DEADLINE) -> dict[str, Any]:
        """Its raw answer; InvalidCwl when it takes longer than `deadline` seconds: the child is killed."""
        sent = {**request, "hash": bundle.hash}
        if bundle.hash not in self._known:
            sent["bundle"] = bundle.to_json()
        answer = self._exchange(sent, deadline)
        if "unknown" in answer:
            answer = self._exchange({**sent, "bundle": bundle.to_json()}, deadline)
        self._known.add(bundle.hash)
        return answer

    def start(self) -> None:
        """Have the child running and its libraries loaded."""
        probe = Bundle({"x.cwl": PROBE}, "x.cwl")
        self.ask(probe, {"op": "check", "inputs": {}, "contents": {}}, STARTUP)

    def stop(self) -> None:
        """Kill the child."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe:
                    pipe.close()
        self._child, self._known, self._rest, self._answers = None, set(), b"", 0

    def _exchange(self, sent: dict[str, Any], deadline: float) -> dict[str, Any]:
        until = time.monotonic() + deadline
        is_fresh = self._answers == 0
        try:
            child = self._running()
            assert child.stdin is not None
            child.stdin.write(json.dumps(sent).encode() + b"\n")
            child.stdin.flush()
            answer: dict[str, Any] = json.loads(self._line(child, until))
            self._answers += 1
        except TimeoutError:
            self.stop()
            words = f"the document or its expressions took longer than {deadline:g} s"
            raise InvalidCwl(words, [_spent(words)]) from None
        except (OSError, ValueError) as error:
            self.stop()
            if not is_fresh:
                # Perhaps an earlier document had spoilt it: nobody is blamed for what others did.
                return self._exchange(sent, deadline)
            words = "the document or its expressions broke the process that evaluated them (memory?)"
            raise InvalidCwl(words, [_spent(words)]) from error
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.stop()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "diracx_tasks.cwl"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Nothing of ours: no credentials, no home, no working folder with files.
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path), "LANG": "C.UTF-8"},
                cwd=_empty_folder(),
                start_new_session=True,
            )
        return self._child

    def _line(self, child: subprocess.Popen[bytes], until: float) -> bytes:
        assert child.stdout is not None
        # Joined once: an answer of 100 MB comes in thousands of blocks.
        blocks = [self._rest]
        while b"\n" not in blocks[-1]:
            left = until - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                raise TimeoutError
            block = os.read(child.stdout.fileno(), CHUNK)
            if not block:
                raise OSError("the child is gone")
            blocks.append(block)
        line, _, self._rest = b"".join(blocks).partition(b"\n")
        return line


def check(bundle: Bundle, inputs: dict[str, Any] | str | None, contents: Contents) -> dict[str, Any]:
    """`{"graph", "start"}` of a document with its inputs (a mapping, or YAML text); InvalidCwl otherwise.

    Without inputs only the document is checked, and `start` is missing.
    """
    return _asked(bundle, {"op": "check", "inputs": inputs}, contents)


def plan(bundle: Bundle, operation: str, contents: Contents, **arguments: Any) -> dict[str, Any]:
    """An operation of `cwl.plan.Plan`; `contents` fetches small stored files that expressions read."""
    return _asked(bundle, {"op": operation, "arguments": arguments}, contents)


def warm_up() -> None:
    """Start this process's isolates in the background, so that the first user does not wait for it."""

    def start() -> None:
        with _one() as isolate:
            isolate.start()

    threading.Thread(target=start, daemon=True, name="isolate-warm-up").start()


def _asked(bundle: Bundle, request: dict[str, Any], contents: Contents) -> dict[str, Any]:
    given: dict[str, str] = {}
    for _ in range(ROUNDS):
        with _one() as isolate:
            answer = isolate.ask(bundle, {**request, "contents": given})
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


def _error(answer: dict[str, Any]) -> Exception:
    kind = getattr(errors, answer["class"], InvalidCwl)
    if issubclass(kind, InvalidCwl):
        return kind(answer["error"], answer["diagnostics"])
    error: Exception = kind(answer["error"])
    return error


@contextmanager
def _one() -> Iterator[Isolate]:
    """An isolate of this process that nobody uses."""
    pool = _pool(os.getpid())
    try:
        isolate = pool.get(timeout=WAIT)
    except Empty:
        raise Unavailable("all evaluators are busy: try again in a minute") from None
    try:
        yield isolate
    finally:
        pool.put(isolate)


@lru_cache(1)
def _pool(pid: int) -> LifoQueue[Isolate]:
    pool: LifoQueue[Isolate] = LifoQueue()
    for _ in range(READERS):
        pool.put(Isolate())
    return pool


@lru_cache(1)
def _empty_folder() -> str:
    return tempfile.mkdtemp(prefix="diracx-isolate-")


def _spent(words: str) -> dict[str, Any]:
    return {
        "severity": "error",
        "file": None,
        "line": None,
        "column": None,
        "message": words,
        "advice": "Look for endless loops and very large values, or move the work into a tool.",
    }


PROBE = b"""cwlVersion: v1.2
class: ExpressionTool
requirements: {InlineJavascriptRequirement: {}}
inputs: []
outputs: []
expression: ${return {}}
"""
