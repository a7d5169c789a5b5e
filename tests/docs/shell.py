"""A shell in which the commands of a page are typed, on a system that other pages use as well."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import NamedTuple, Self

SECONDS = 120.0
MARK = "\x1e"
Offsets = Mapping[str, int]
# What an integer is the number of: by the option before it, else by the subject of the command.
OPTIONS = {"--job": "job", "--workflow": "workflow"}
SUBJECTS = {"workflows": "workflow", "jobs": "job"}
CALL = re.compile(r"diracx (workflows|jobs) ([\w-]+)([^|;&\n]*)")
INTEGER = re.compile(r"(?P<before>\s(?:-{1,2}[a-z-]+[ =])?)(?P<number>\d+)(?=\s|$)")
ELSEWHERE = {
    "workflow": re.compile(
        r"(?P<before>/workflows?/|--(?:get|log) |\bworkflow-|\bcrate-|JobGroup=)(?P<number>\d+)"
    ),
    "job": re.compile(r"(?P<before>/jobs/|\bjob-)(?P<number>\d+)"),
    "bulk": re.compile(r"(?P<before>/bulk/)(?P<number>\d+)"),
}


class Ran(NamedTuple):
    """What a command printed, both ways, and its exit code; None when it did not end in time."""

    lines: list[str]
    code: int | None


class Shell:
    """A bash in a folder; what is exported or changed stays for the next command.

    `seen` is told each line that a command prints, while it runs.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], seen: Callable[[str], None] = lambda _: None
    ) -> None:
        self.code = 0
        self.seen = seen
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self.process.communicate()

    def run(self, text: str) -> Ran:
        """Type a command and wait for its end; what does not end takes the shell with it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        timer = Timer(SECONDS, self._end)
        timer.start()
        try:
            # What a command asks is answered with nothing; `$?` is what the one before has left.
            self.process.stdin.write(f"{{ (exit {self.code})\n{text}\n}} </dev/null\n")
            self.process.stdin.write(f"printf '\\n{MARK}%s\\n' $?\n")
            self.process.stdin.flush()
            lines: list[str] = []
            for line in self.process.stdout:
                if line.startswith(MARK):
                    self.code = int(line[1:])
                    return Ran(lines[:-1] if lines[-1:] == [""] else lines, self.code)
                lines.append(line.rstrip("\n"))
                self.seen(lines[-1])
            return Ran(lines, None)
        finally:
            timer.cancel()

    def write(self, name: str, text: str) -> None:
        """Make a file where the shell is now."""
        ran = self.run(f"cat > '{name}' <<'{MARK}END'\n{text}{MARK}END")
        assert ran.code == 0, ran.lines

    def _end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)


def shifted(text: str, offsets: Offsets) -> str:
    """The command with the numbers of this system: on a page, workflows and jobs begin with 1."""

    def call(found: re.Match[str]) -> str:
        subject = "bulk" if found[2] == "bulk" else SUBJECTS[found[1]]
        rest = INTEGER.sub(lambda one: _moved(_kind(one["before"], subject), offsets, one), found[3])
        return f"diracx {found[1]} {found[2]}{rest}"

    text = CALL.sub(call, text)
    for kind, pattern in ELSEWHERE.items():
        text = pattern.sub(partial(_moved, kind, offsets), text)
    return text


def _kind(before: str, subject: str) -> str:
    option = before.strip(" =")
    return OPTIONS.get(option, "") if option else subject


def _moved(kind: str, offsets: Offsets, found: re.Match[str]) -> str:
    number = int(found["number"]) + offsets.get(kind, 0)
    return f"{found['before']}{number:0{len(found['number'])}d}"
