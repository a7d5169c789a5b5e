"""Reading the stored record of what a job asks: every field checked, faults named by their field."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.matching import tags

LARGEST = 10**12
MAX_CORES = 100_000
MAX_NAMES = 1000
MAX_NAME = 255
GLIBC, CAPABILITY = 1000, 100

_version = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,3}))?").fullmatch


class InvalidRequirements(BadRequest):
    """What a job asks of its node cannot be understood; the words begin with the field."""


def version(text: str, unit: int) -> int | None:
    """A version as one number, its second part below `unit`: glibc 2.34 is 2034; None: it is none."""
    found = _version(text)
    if found is None or (minor := int(found[2] or 0)) >= unit:
        return None
    return int(found[1]) * unit + minor


@dataclass(frozen=True, slots=True)
class Record:
    """Fields of a record, or of a mapping in it, whose name is then `inside`."""

    values: Mapping[str, Any]
    inside: str = ""

    def part(self, field: str) -> "Record":
        """The mapping under a field; one without fields when it is absent."""
        value = self.values.get(field)
        if value is not None and not isinstance(value, Mapping):
            raise self.wrong(field, f"{str(value)[:40]!r} is no mapping")
        return Record(value or {}, f"{self.inside}{field}.")

    def number(self, field: str, least: int = 0, most: int = LARGEST) -> int | None:
        """A whole number; None when it is absent."""
        value = self.values.get(field)
        if value is None:
            return None
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(field, f"{str(value)[:40]!r} is no whole number between {least} and {most}")
        return value

    def limits(self, field: str) -> tuple[int | None, int | None]:
        """`{min, max}`, or one number, which is the least."""
        if type(self.values.get(field)) is int:
            return self.number(field), None
        least, most = (part := self.part(field)).number("min"), part.number("max")
        self._ordered(field, least, most)
        return least, most

    def version(self, field: str, unit: int) -> int | None:
        """A version, as one number (see `version`); None when it is absent."""
        value = self.values.get(field)
        if value is None:
            return None
        # In YAML 2.30 without quotes is the number 2.3, which is another version.
        if type(value) is float and unit > CAPABILITY:
            raise self.wrong(field, f"{value} is a number: write the version in quotes")
        found = version(str(value), unit)
        if found is None or isinstance(value, bool):
            raise self.wrong(field, f"{str(value)[:40]!r} is no version such as 2.34")
        return found

    def versions(self, field: str, unit: int) -> tuple[int | None, int | None]:
        """`{min, max}` of a version, or one version, which is the least."""
        if isinstance(self.values.get(field), str | float | int):
            return self.version(field, unit), None
        least, most = (part := self.part(field)).version("min", unit), part.version("max", unit)
        self._ordered(field, least, most)
        return least, most

    def flag(self, field: str) -> bool:
        """Whether it is true; False when it is absent."""
        value = self.values.get(field)
        if not isinstance(value, bool | None):
            raise self.wrong(field, f"{str(value)[:40]!r} is neither true nor false")
        return bool(value)

    def name(self, field: str) -> str | None:
        """One name; None when it is absent or empty."""
        value = self.values.get(field)
        if not isinstance(value, str | None) or len(value or "") > MAX_NAME:
            raise self.wrong(field, f"{str(value)[:40]!r} is no name of {MAX_NAME} characters at most")
        return value or None

    def names(self, field: str) -> tuple[str, ...]:
        """Names, sorted; a text is taken apart at its commas. Empty when it is absent or one is ANY."""
        found = {name for item in self.items(field) if (name := item.strip())}
        return () if any(name.upper() == "ANY" for name in found) else tuple(sorted(found))

    def items(self, field: str) -> list[str]:
        """The texts of a list; one text is taken apart at its commas."""
        value = self.values.get(field) or []
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise self.wrong(field, "this is not a list of names")
        if len(items) > MAX_NAMES or any(len(item) > tags.MAX_TEXT for item in items):
            raise self.wrong(field, f"{MAX_NAMES} names of {tags.MAX_TEXT} characters are the most")
        return list(items)

    def tags(self, field: str) -> tags.Tree | None:
        """All expressions over tags of a list, or of a text with commas, as one; None: no condition."""
        try:
            return tags.all_of([tags.parse(item) for item in self.items(field) if item.strip()])
        except tags.InvalidTags as error:
            raise self.wrong(field, str(error)) from error

    def wrong(self, field: str, words: str) -> InvalidRequirements:
        """The error about a field."""
        return InvalidRequirements(f"{self.inside}{field}: {words}")

    def _ordered(self, field: str, least: int | None, most: int | None) -> None:
        if least is not None and most is not None and most < least:
            raise self.wrong(field, "max is less than min")
