"""DIRAC's job description language: text in, an `Ad` out; in time that grows as the text does."""

import re
from collections.abc import Callable
from typing import Any, NoReturn

from diracx_tasks.jobs.ad import Ad, Expression, InvalidJdl, Value, render, scalar

__all__ = ["Ad", "Expression", "InvalidJdl", "Value", "parse", "render"]

MAX_TEXT = 1 << 20
MAX_ATTRIBUTES = 1000
MAX_ITEMS = 100_000
MAX_DEPTH = 20

_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*+"
_PLAIN_STRING = r'"[^"\\\n]*+"'
_STRING = r'"(?:[^"\\]++|\\.)*+"'
# The attributes that most descriptions consist of, up to their semicolon: everything else takes the slow way.
_plain = re.compile(
    rf"\s*+({_NAME})\s*+=\s*+(?:\"([^\"\\\n]*+)\""
    rf"|\{{(\s*+{_PLAIN_STRING}(?:\s*+,\s*+{_PLAIN_STRING})*+\s*+,?+\s*+)\}}"
    r"|([^\s\"\[\]{};]++))\s*+;"
).match
_spaces = re.compile(r"\s*+").match
_blank = re.compile(r"(?:\s++|#[^\n]*+|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+\*/)*+").match
_name = re.compile(_NAME).match
_equals = re.compile(r"\s*+=\s*+").match
_string = re.compile(_STRING, re.DOTALL).match
_expression = re.compile(rf"(?:[^\"\[\]{{}};]++|{_STRING})++", re.DOTALL).match
_word = re.compile(r"[^\s\"\[\]{},;]++(?:[^\S\n]++[^\s\"\[\]{},;]++)*+").match
_next_attribute = re.compile(rf"(?<=\n)[^\S\n]*+({_NAME})[^\S\n]*+=(?!=)").search
_surrogate = re.compile("[\ud800-\udfff]").search
_escapes = re.compile(r'(?<!\\)\\++(?:"|\Z)')


def parse(text: str) -> Ad:
    """What a description says; the brackets around it may be missing. Raises InvalidJdl with the place."""
    reader = _Reader(text)
    if len(text) > MAX_TEXT:
        reader.refuse(MAX_TEXT, f"there are {len(text)} characters, {MAX_TEXT} at most are read")
    if (at := text.find("\0")) >= 0:
        reader.refuse(at, "a NUL character")
    if not text.isascii() and (found := _surrogate(text)):
        reader.refuse(found.start(), "this is half a character")
    start = reader.skip(0)
    if start == len(text):
        reader.refuse(start, "there is nothing in it")
    if text[start] == "[":
        ad, at = reader.record(start, 1)
        at = reader.skip(at)
    else:
        ad, at = reader.attributes(start, 1)
    if at < len(text):
        reader.refuse(at, f"{text[at]!r} after the end of the description")
    return ad


class _Reader:
    """A text, read from a place on: every method answers what it found and where that ends."""

    __slots__ = ("items_seen", "names_seen", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.names_seen = 0
        self.items_seen = 0

    def refuse(self, at: int, words: str) -> NoReturn:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        raise InvalidJdl(f"JDL syntax error: line {line}, column {column}: {words}", line, column)

    def check_numbers(self, at: int) -> None:
        if self.names_seen > MAX_ATTRIBUTES:
            self.refuse(at, f"more than {MAX_ATTRIBUTES} attributes")
        if self.items_seen > MAX_ITEMS:
            self.refuse(at, f"more than {MAX_ITEMS} items in lists")

    def skip(self, at: int, over: Callable[[str, int], re.Match[str] | None] = _blank) -> int:
        """The end of blanks and comments."""
        found = over(self.text, at)
        return found.end() if found else at

    def record(self, at: int, depth: int) -> tuple[Ad, int]:
        """What stands between [ and ]."""
        if depth > MAX_DEPTH:
            self.refuse(at, f"deeper than {MAX_DEPTH} levels")
        ad, end = self.attributes(at + 1, depth)
        if end == len(self.text):
            self.refuse(at, "this record is not closed by ]")
        return ad, end + 1

    def attributes(self, at: int, depth: int) -> tuple[Ad, int]:
        """Everything up to a ] or the text's end."""
        text, found = self.text, Ad()
        while True:
            while plain := _plain(text, at):
                name, string, items, word = plain.groups()
                if string is not None:
                    found[name] = string
                elif items is None:
                    found[name] = scalar(word)
                else:
                    texts: Any = items.split('"')[1::2]
                    self.items_seen += len(texts)
                    found[name] = texts
                self.names_seen += 1
                at = plain.end()
            self.check_numbers(at)
            at = self.skip(at)
            if at == len(text) or text[at] == "]":
                return found, at
            if text[at] == ";":
                at += 1
                continue
            name, at = self.name(at)
            self.names_seen += 1
            found[name], at = self.value(name, at, depth)

    def name(self, at: int) -> tuple[str, int]:
        """An attribute's name and the place where its value begins."""
        found = _name(self.text, at)
        if found is None:
            self.refuse(at, f"{self.text[at]!r} where a name should begin")
        equals = _equals(self.text, found.end())
        if equals is None:
            self.refuse(found.end(), f"no = after {found.group()[:40]}")
        return found.group(), equals.end()

    def value(self, name: str, at: int, depth: int) -> tuple[Value, int]:
        """A value and the place after its semicolon, or that of the ] or the end which stands for one."""
        text = self.text
        match text[at : at + 1]:
            case '"':
                value, at = self.texts(at)
            case "{":
                value, at = self.items(at, depth + 1)
            case "[":
                value, at = self.record(at, depth + 1)
            case _:
                value, at = self.expression(name, at)
        at = self.skip(at)
        if at == len(text) or text[at] == "]":
            return value, at
        if text[at] != ";":
            self.refuse(at, f"{text[at]!r} where a ; should end the value of {name[:40]}")
        return value, at + 1

    def expression(self, name: str, at: int) -> tuple[Value, int]:
        """A value without quotes around it."""
        found = _expression(self.text, at)
        words = found.group() if found else ""
        if after := _next_attribute(words):
            self.refuse(at + after.start(1), f"a ; is missing before {after.group(1)[:40]}")
        end = at + len(words)
        if self.text[end : end + 1] == '"':
            self.refuse(end, "this string is not closed")
        if not words.strip():
            self.refuse(end, f"{name[:40]} has no value")
        return scalar(words.strip().replace("\n", "")), end

    def texts(self, at: int) -> tuple[Value, int]:
        """One string, or a list of strings that nobody has put into braces."""
        found: list[Value] = []
        while True:
            value, at = self.string(at)
            found.append(value)
            self.items_seen += 1
            self.check_numbers(at)
            at = self.skip(at)
            if self.text[at : at + 1] != ",":
                return (value if len(found) == 1 else found), at
            at = self.skip(at + 1)

    def string(self, at: int) -> tuple[str, int]:
        found = _string(self.text, at)
        if found is None:
            words = "this string is not closed" if self.text[at : at + 1] == '"' else "a string is missing"
            self.refuse(at, words)
        return _unescaped(found.group()[1:-1]), found.end()

    def items(self, at: int, depth: int) -> tuple[list[Value], int]:
        """A list in braces; a comma may follow its last item."""
        if depth > MAX_DEPTH:
            self.refuse(at, f"deeper than {MAX_DEPTH} levels")
        text, start, found = self.text, at, list[Value]()
        at = self.skip(at + 1, _spaces)
        while text[at : at + 1] != "}":
            value, at = self.item(start, at, depth)
            found.append(value)
            self.items_seen += 1
            self.check_numbers(at)
            at = self.skip(at, _spaces)
            if text[at : at + 1] == ",":
                at = self.skip(at + 1, _spaces)
            elif at < len(text) and text[at] != "}":
                self.refuse(at, f"{text[at]!r} where a comma or }} should follow")
        return found, at + 1

    def item(self, start: int, at: int, depth: int) -> tuple[Value, int]:
        if at == len(self.text):
            self.refuse(start, "this list is not closed by }")
        if self.text[at] == '"':
            return self.string(at)
        if self.text[at] == "{":
            return self.items(at, depth + 1)
        found = _word(self.text, at)
        if found is None:
            self.refuse(at, f"{self.text[at]!r} where an item of a list should be")
        return scalar(found.group()), found.end()


def _unescaped(body: str) -> str:
    """A string's content: backslashes are plain ones unless they stand right before a quote.

    There two are one, and one makes the quote a part of the text (as in Windows' command lines), so that
    everything can be written and what DIRAC accepts keeps its meaning. Line breaks are dropped, as in DIRAC.
    """
    if "\\" in body:
        body = _escapes.sub(_unescape, body)
    return body.replace("\n", "")


def _unescape(found: re.Match[str]) -> str:
    slashes = found.group().rstrip('"')
    return slashes[: len(slashes) // 2] + found.group()[len(slashes) :]
