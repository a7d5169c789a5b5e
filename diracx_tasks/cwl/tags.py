"""Expressions over tags, such as `cvmfs:lhcb & (os:el9 | os:el10) & ~site:old`, and their normal form."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from diracx_tasks.core.errors import BadRequest

# A name, ("~", name), ("&", part, ...) or ("|", part, ...).
Tree: TypeAlias = str | tuple[Any, ...]

MAX_TEXT = 4096
MAX_DEPTH = 64
MAX_NAMES = 256
MAX_NAME = 255
OPPOSITE = {"&": "|", "|": "&"}
# What no node meets, and what every node does.
NEVER: Tree = ("&", "never", ("~", "never"))
ALWAYS: Tree = ("|", "never", ("~", "never"))
# What makes no difference under an operator.
NEUTRAL = {"&": ALWAYS, "|": NEVER}
NAME = "[A-Za-z0-9_.:+/@=-]+"

is_name = re.compile(NAME).fullmatch
_token = re.compile(rf"{NAME}|[&|~()]").match


class InvalidTags(BadRequest):
    """An expression over tags is wrong; `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.column = column


def parse(text: str) -> Tree:
    """The normal form of an expression: `~` binds before `&`, `&` before `|`. Raises InvalidTags."""
    if len(text) > MAX_TEXT:
        raise InvalidTags(f"an expression has {MAX_TEXT} characters at most, this one {len(text)}", MAX_TEXT)
    found = _Reader(text).expression()
    if (names := sum(1 for _ in names_in(found))) > MAX_NAMES:
        raise InvalidTags(f"an expression has {MAX_NAMES} names at most, this one {names}", 1)
    return found


def all_of(parts: Iterable[Tree]) -> Tree | None:
    """The normal form of "all of these"; None when that asks for nothing."""
    found = joined("&", parts)
    return None if found == ALWAYS else found


def joined(operator: str, parts: Iterable[Tree]) -> Tree:
    """Parts in normal form under `&` or `|`: flat, sorted, and without what other parts decide.

    So `a & (~a | b)` is `a & b`; what is found never to hold is NEVER, what always holds ALWAYS.
    """
    flat = _flat(operator, parts)
    while (simpler := _flat(operator, _beside(operator, flat))) != flat:
        flat = simpler
    if not flat:
        return NEUTRAL[operator]
    zero = NEUTRAL[OPPOSITE[operator]]
    if zero in flat or any(negated(one) in flat for one in flat if _is_literal(one)):
        return zero
    return min(flat) if len(flat) == 1 else (operator, *sorted(flat, key=_order))


def _flat(operator: str, parts: Iterable[Tree]) -> set[Tree]:
    found: set[Tree] = set()
    for part in parts:
        if part == NEUTRAL[OPPOSITE[operator]]:
            return {part}
        if part != NEUTRAL[operator]:
            found.update(part[1:] if _is(operator, part) else (part,))
    return found


def _beside(operator: str, parts: set[Tree]) -> list[Tree]:
    """What of each part matters beside those that are one name."""
    # Under `|` a part only matters where the others do not hold.
    known = {one if operator == "&" else negated(one) for one in parts if _is_literal(one)}
    return [one if _is_literal(one) else _under(one, known) for one in parts]


def _under(part: Tree, known: set[Tree]) -> Tree:
    """A part with several members where these names, or `~` and a name, hold."""
    operator, left = str(part[0]), []
    for member in part[1:]:
        value = ALWAYS if member in known else NEVER if _fails(member, known) else member
        if value == NEUTRAL[OPPOSITE[operator]]:
            return value
        if value != NEUTRAL[operator]:
            left.append(member)
    if len(left) < 2:
        return left[0] if left else NEUTRAL[operator]
    return (operator, *left)


def _fails(member: Tree, known: set[Tree]) -> bool:
    return _is_literal(member) and negated(member) in known


def negated(tree: Tree) -> Tree:
    """The opposite, with `~` before names only."""
    if isinstance(tree, str):
        return ("~", tree)
    operator, *parts = tree
    if operator == "~":
        return str(parts[0])
    return (OPPOSITE[operator], *sorted(map(negated, parts), key=_order))


def render(tree: Tree) -> str:
    """The expression as text; `parse` gives the same tree back."""
    if isinstance(tree, str):
        return tree
    operator, *parts = tree
    if operator == "~":
        return f"~{parts[0]}"
    return f" {operator} ".join(f"({render(one)})" if _is_joined(one) else render(one) for one in parts)


def names_in(tree: Tree) -> Iterator[str]:
    """Every name in an expression, as often as it stands there."""
    if isinstance(tree, str):
        yield tree
    else:
        for part in tree[1:]:
            yield from names_in(part)


def conjuncts(tree: Tree | None) -> tuple[Tree, ...]:
    """The parts that must all hold."""
    if tree is None:
        return ()
    return tree[1:] if isinstance(tree, tuple) and tree[0] == "&" else (tree,)


def _is(operator: str, tree: Tree) -> bool:
    return isinstance(tree, tuple) and tree[0] == operator


def _is_literal(tree: Tree) -> bool:
    return isinstance(tree, str) or tree[0] == "~"


def _is_joined(tree: Tree) -> bool:
    return isinstance(tree, tuple) and tree[0] != "~"


def _order(tree: Tree) -> tuple[bool, str]:
    return isinstance(tree, tuple), repr(tree)


class _Reader:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.depth = text, 0
        self.token, self.column = "", 0
        self.end = 0
        self._next()

    def expression(self) -> Tree:
        """The whole text as a tree."""
        found = self._any()
        if self.token:
            raise self._wrong("& or |")
        return found

    def _any(self) -> Tree:
        parts = [self._all()]
        while self.token == "|":
            self._next()
            parts.append(self._all())
        return joined("|", parts)

    def _all(self) -> Tree:
        parts = [self._factor()]
        while self.token == "&":
            self._next()
            parts.append(self._factor())
        return joined("&", parts)

    def _factor(self) -> Tree:
        is_negated = False
        while self.token == "~":
            is_negated = not is_negated
            self._next()
        found = self._group() if self.token == "(" else self._name()
        return negated(found) if is_negated else found

    def _group(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise InvalidTags(f"brackets are nested {MAX_DEPTH} deep at most", self.column)
        opened = self.column
        self._next()
        found = self._any()
        if self.token != ")":
            raise self._wrong(f"&, | or the ) of the ( in column {opened}")
        self.depth -= 1
        self._next()
        return found

    def _name(self) -> str:
        if not self.token or self.token in "&|~()":
            raise self._wrong("a tag, ~ or (")
        if len(self.token) > MAX_NAME:
            raise InvalidTags(f"a tag has {MAX_NAME} characters at most", self.column)
        name = self.token
        self._next()
        return name

    def _next(self) -> None:
        start = self.end
        while start < len(self.text) and self.text[start].isspace():
            start += 1
        self.column = start + 1
        found = _token(self.text, start)
        if found is None and start < len(self.text):
            words = f"{self.text[start]!r} cannot stand in a tag: letters, digits and _ . : + / @ = - can"
            raise InvalidTags(words, self.column)
        self.token, self.end = (found.group(), found.end()) if found else ("", start)

    def _wrong(self, expected: str) -> InvalidTags:
        seen = f"{self.token[:40]!r}" if self.token else "the end"
        return InvalidTags(f"{seen} instead of {expected}", self.column)
