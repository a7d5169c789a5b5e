"""Child processes: started with prefixed, coloured log lines, restarted when they die, stopped in order."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

from diracx_tasks.node.tied import tied

COLOURS = {"api": 36, "worker": 32, "beat": 35, "flower": 33, "pilots": 34, "redis": 31}
LONGEST_PAUSE = 10.0
LONG_LIFE = 30.0


@dataclass
class Child:
    """A program to be kept running; `patience` is how long it may take to stop, in seconds."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    patience: float = 15
    process: subprocess.Popen[str] | None = None
    started: float = 0
    pause: float = 0.5

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Keeps children running. For the main thread: a child ends with the thread that started it."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.children: list[Child] = []
        self._print = threading.Lock()

    def start(self, child: Child) -> None:
        """Start a child and keep it running from now on."""
        self.children.append(child)
        self._spawn(child)

    def watch(self) -> None:
        """Restart what has died; each death in quick succession makes the pause longer."""
        for child in self.children:
            if child.is_running or time.monotonic() < child.started + child.pause:
                continue
            code = child.process.returncode if child.process else None
            lived = time.monotonic() - child.started
            child.pause = 0.5 if lived > LONG_LIFE else min(LONGEST_PAUSE, child.pause * 2)
            self.say(child.name, f"ended with {code} after {lived:.1f} s: starting it again")
            self._spawn(child)

    def stop(self, names: Sequence[str]) -> None:
        """Stop children one after the other in this order, those that do not end in time with KILL."""
        for name in names:
            for child in [child for child in self.children if child.name == name]:
                self._stop(child)

    def say(self, name: str, line: str) -> None:
        """One log line with its prefix."""
        prefix = f"{name:>7} |"
        if self.out.isatty():
            prefix = f"\x1b[{COLOURS.get(name, 0)}m{prefix}\x1b[0m"
        with self._print:
            self.out.write(f"{prefix} {line.rstrip()}\n")
            self.out.flush()

    def _spawn(self, child: Child) -> None:
        child.started = time.monotonic()
        child.process = subprocess.Popen(
            tied(child.command),
            env={**os.environ, **child.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Of its own session: Ctrl-C reaches the supervisor only, which then stops all in order.
            start_new_session=True,
        )
        threading.Thread(target=self._relay, args=(child.name, child.process), daemon=True).start()

    def _relay(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.say(name, line)

    def _stop(self, child: Child) -> None:
        if child.process is None or not child.is_running:
            return
        child.process.terminate()
        try:
            child.process.wait(child.patience)
        except subprocess.TimeoutExpired:
            self.say(child.name, f"did not stop within {child.patience:g} s: killing it")
            child.process.kill()
            child.process.wait()


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]
