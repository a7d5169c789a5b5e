"""Whether a command printed what the page says: its words, line by line; numbers and looks may differ."""

import re
from collections.abc import Sequence

# How long ago something was depends on when one looks.
WHEN = re.compile(r"\b((just )?now|never|\d+ (s|min|h|d) ago|in \d+ (s|min|h|d))\b")
# What a login has one compare: eight consonants, of which RFC 8628, 6.1, speaks.
CODE = re.compile(r"\b[B-DF-HJ-NP-TV-XZ]{8}\b")
WORD = re.compile(r"\.\.\.|…|\w[\w-]*")
WILD = ("...", "…")


def missing(said: Sequence[str], printed: Sequence[str]) -> str:
    """The first line that a page says and that was not printed, in this order; empty when there is none."""
    place = 0
    for line in said:
        words = _words(line)
        if not set(words) - set(WILD):
            continue
        here = next((n for n, one in enumerate(printed[place:], place) if _are_in(words, one)), None)
        if here is None:
            return line
        place = here + 1
    return ""


def _words(line: str) -> list[str]:
    """Words without digits: numbers, hashes and names of machines are others everywhere."""
    found = WORD.findall(CODE.sub(" ", WHEN.sub(" ", line)))
    return [word for word in found if word in WILD or (len(word) > 1 and not re.search(r"\d", word))]


def _are_in(words: Sequence[str], line: str) -> bool:
    """Whether the line has these words in this order, and no others but where it may have anything."""
    if any(wild in words for wild in WILD):
        known = iter(_words(line))
        return all(word in known for word in words if word not in WILD)
    return list(words) == _words(line)
