"""What stands in the documentation: commands with what they print, files, and what is not run and why.

- An indented line that begins with `$ ` is a command, what follows it until the next is what it prints; `...`
  stands for any number of lines, and within a line for anything.
- A fenced block with a `title` is a file of that name; so is what `cat FILE` prints if there is none.
- `<!-- before: COMMANDS -->`, on one line or several, is what the reader has done before.
- `<!-- not run: WHY -->` stands before a session that cannot be run here, `<!-- prints otherwise: WHY -->`
  before one that prints something else here. Readers see none of these; reviewers do.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.architecture.source import ROOT

DOCS = ROOT / "docs"
PROMPT = re.compile(r"^( {4,})\$ (.*)$")
MARK = re.compile(r"^<!-- (before|not run|prints otherwise):(?: (.+) -->)?$")
FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?$')


@dataclass
class Command:
    """A command, where it stands, and the lines that it prints.

    `why_not` it is not run, if it is not; `prints_otherwise`: it is, and what it prints is not looked at.
    """

    place: str
    text: str
    why_not: str = ""
    is_before: bool = False
    prints_otherwise: bool = False
    prints: list[str] = field(default_factory=list)


@dataclass
class File:
    """A file that the page shows as a whole."""

    place: str
    name: str
    text: str


def pages() -> list[Path]:
    """All pages, and the one that begins the project."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def steps(page: Path) -> list[Command | File]:
    """What a reader of a page does, in its order."""
    return list(_Reader(page).steps())


def sessions(page: Path) -> list[Command]:
    """The commands of a page."""
    return [one for one in steps(page) if isinstance(one, Command)]


class _Reader:
    def __init__(self, page: Path) -> None:
        self.name = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
        self.lines = page.read_text().splitlines()
        self.number = 0
        self.kind = self.words = ""

    def steps(self) -> Iterator[Command | File]:
        while self.number < len(self.lines):
            line = self._next()
            if mark := MARK.match(line):
                yield from self._marked(mark[1], mark[2])
            elif fence := FENCE.match(line):
                yield from self._fenced(fence[2])
            elif prompt := PROMPT.match(line):
                yield self._command(len(prompt[1]), prompt[2])
            elif line and not line.startswith("    "):
                # A mark is of the session that it stands right before.
                self.kind = ""

    def _next(self) -> str:
        self.number += 1
        return self.lines[self.number - 1]

    def _place(self) -> str:
        return f"{self.name}:{self.number}"

    def _marked(self, kind: str, words: str | None) -> Iterator[Command]:
        place, inside = self._place(), []
        while words is None and (line := self._next()) != "-->":
            inside.append(line)
        self.kind, self.words = kind, words or "\n".join(inside)
        if kind == "before":
            yield Command(place, self.words, is_before=True)

    def _fenced(self, title: str | None) -> Iterator[File]:
        place, inside = self._place(), []
        while (line := self._next()) != "```":
            inside.append(line)
        if title:
            yield File(place, title, "\n".join(inside) + "\n")

    def _command(self, indent: int, text: str) -> Command:
        found = Command(
            self._place(),
            text,
            why_not=self.words if self.kind == "not run" else "",
            prints_otherwise=self.kind == "prints otherwise",
        )
        while _is_open(found.text):
            found.text += "\n" + self._next()[indent:]
        margin = " " * indent
        while self.number < len(self.lines):
            line = self.lines[self.number]
            if PROMPT.match(line) or not (line.startswith(margin) or (not line and self._goes_on(margin))):
                break
            found.prints.append(self._next()[indent:])
        return found

    def _goes_on(self, margin: str) -> bool:
        after = next((line for line in self.lines[self.number :] if line), "")
        return after.startswith(margin)


def _is_open(text: str) -> bool:
    """Whether the shell would wait for another line."""
    if text.endswith("\\"):
        return True
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False
