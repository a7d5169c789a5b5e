"""Every `diracx` line of the documentation is one that the command line takes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.grammar import INLINE, Wrong, calls, check
from tests.docs.pages import pages, sessions

# In blocks of code without a prompt.
BLOCK = re.compile(r"^ {4,}((?:[A-Z_]+=\S+ )*diracx(?:-pilot|-cwl-runner)? .+)$")


def lines(page: Path) -> Iterator[tuple[str, str, bool]]:
    """Place, text, and whether it is a whole line of a shell."""
    for command in sessions(page):
        yield command.place, command.text, True
    for number, line in enumerate(page.read_text().splitlines(), 1):
        found = [BLOCK.match(line)] if BLOCK.match(line) else list(INLINE.finditer(line))
        for one in filter(None, found):
            yield f"{page.name}:{number}", one[1], False


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_line_of_diracx_is_one_that_it_takes(page: Path) -> None:
    wrong = []
    for place, text, is_whole in lines(page):
        try:
            for words in calls(text):
                check(words, is_whole=is_whole)
        except (Wrong, ValueError) as error:
            wrong.append(f"{place}: {text}: {error}")
    assert wrong == []


@pytest.mark.parametrize(
    "text, words",
    [
        ("diracx jobs kil 3", "has no command kil"),
        ("diracx jobs kill 3 --no-such", "--no-such"),
        ("X=1 diracx workflows list --status asleep | head", "asleep"),
        ("diracx workflows list 3", "does not take 3"),
        ("diracx jobs why", "lacks"),
    ],
)
def test_what_it_does_not_take_is_found(text: str, words: str) -> None:
    with pytest.raises(Wrong, match=re.escape(words)):
        for one in calls(text):
            check(one, is_whole=True)


def test_what_it_takes_is_let_through() -> None:
    for one in calls("A=b diracx jobs kill 3 4 --yes >out 2>&1; (diracx workflows list -o id) | wc -l"):
        check(one, is_whole=True)
