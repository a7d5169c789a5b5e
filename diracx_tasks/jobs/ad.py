"""A job description as values: attributes with their types, and the text that DIRAC would write of them."""

import re
from typing import TypeAlias

from diracx_tasks.core.errors import BadRequest

_integer = re.compile(r"0|-?[1-9][0-9]{0,17}").fullmatch
_whole = re.compile(r"[+-]?[0-9]{1,18}").fullmatch
_to_escape = re.compile(r'(?<!\\)\\++(?:"|\Z)|"')


class InvalidJdl(BadRequest):
    """A job description is wrong; line and column count from 1, or are None."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class Expression(str):
    """A value without quotes that is no plain number: a word such as `User`, or ClassAd's arithmetic."""

    __slots__ = ()


Value: TypeAlias = "str | int | float | bool | Ad | list[Value]"


class Ad(dict[str, Value]):
    """Attributes in the order in which they were written; upper and lower case are different, as in DIRAC."""

    __slots__ = ()

    def text(self, name: str, default: str = "") -> str:
        """The value as one text; a list of one is that one. Raises InvalidJdl for more."""
        value = self.get(name, default)
        if type(value) is str:
            return value
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        return text_of(name, value)

    def integer(self, name: str) -> int | None:
        """The value as a whole number, also from a text; None when there is no such attribute."""
        value = self.get(name)
        if value is None or type(value) is int:
            return value
        if _whole(text := self.text(name).strip()) is None:
            raise InvalidJdl(f"{name}: {text[:40]!r} is not a whole number")
        return int(text)

    def boolean(self, name: str) -> bool:
        """Whether the value is true, in any case, with or without quotes; False when it is absent."""
        return name in self and self.text(name).strip().lower() == "true"

    def strings(self, name: str) -> list[str]:
        """The items of a list; one text is taken apart at its commas. Nothing empty is among them."""
        value = self.get(name)
        if value is None:
            return []
        if isinstance(value, list):
            parts = [item if type(item) is str else text_of(name, item) for item in value]
        else:
            parts = self.text(name).split(",")
        return [found for part in parts if (found := part.strip())]


def render(ad: Ad) -> str:
    """The text of an Ad as DIRAC's own tools write it: sorted by name, lists with an item a line."""
    return "[ \n" + "\n".join([_attribute(name, ad[name]) for name in sorted(ad)]) + "\n]"


def scalar(text: str) -> Value:
    """What a value without quotes is: a number or truth value if it is written exactly as we write them."""
    if _integer(text):
        return int(text)
    if text in ("true", "false"):
        return text == "true"
    if text[:1] in "-0123456789" and text[-1:].isdigit() and len(text) <= 25:
        try:
            number = float(text)
        except ValueError:
            return Expression(text)
        if repr(number) == text:
            return number
    return Expression(text)


def text_of(name: str, value: Value) -> str:
    """A single value as a text without quotes. Raises InvalidJdl for a list or a record."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list | Ad):
        raise InvalidJdl(f"{name}: this is not one text")
    return written(value)


def written(value: Value) -> str:
    """A value as it stands in a description, in one line but for records."""
    if isinstance(value, str):
        return value if isinstance(value, Expression) else _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "{" + ",".join([written(item) for item in value]) + "}"
    return render(value) if isinstance(value, Ad) else repr(value)


def _attribute(name: str, value: Value) -> str:
    if type(value) is str:
        return f"    {name} = {_quoted(value)};"
    if isinstance(value, list):
        items = ",\n            ".join([written(item) for item in value])
        return f"    {name} = \n        {{\n            {items}\n        }};"
    if isinstance(value, Ad):
        return f"    {name} = \n        " + render(value).replace("\n", "\n        ") + ";"
    return f"    {name} = {written(value)};"


def _quoted(text: str) -> str:
    if '"' in text or "\\" in text:
        text = _to_escape.sub(_escaped, text)
    return f'"{text}"'


def _escaped(found: re.Match[str]) -> str:
    slashes = found.group().rstrip('"')
    return slashes * 2 + ('\\"' if slashes != found.group() else "")
