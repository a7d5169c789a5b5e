"""Reading what a job asks of its node, field by field; what is wrong is named by its field."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.cwl import tags

# Sums of such numbers, rounded up, are exact in a double.
LARGEST = 10**12
MAX_COUNT = 10**6
MAX_NAMES = 1000
# One alternative has so many different ones at most.
MOST = {"sites": 100, "data_sites": 100, "banned_sites": 100, "grid_ces": 100, "platforms": 200}
MAX_EXPRESSIONS = 64
MAX_NAME = 255
# What DIRAC's tables have room for.
MAX_KIND = 32
MAX_RETRIES = 10
GLIBC, CAPABILITY = 1000, 100
# DIRAC's tags of jobs that need several processors.
MULTI_CORE = "MultiProcessor"

processors = re.compile("([1-9][0-9]{0,3})Processors").fullmatch
_version = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,3}))?").fullmatch
# Control characters, and halves of surrogate pairs, which UTF-8 has not.
_no_text = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


class InvalidRequirements(BadRequest):
    """What a job asks of its node cannot be understood; the words begin with the field, at `path`."""

    def __init__(self, message: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(f"{'.'.join(path)}: {message}" if path else message)
        self.path = path


def version(text: str, unit: int) -> int | None:
    """A version as one number, its second part below `unit`: glibc 2.34 is 2034; None: it is none."""
    found = _version(text)
    if found is None or (minor := int(found[2] or 0)) >= unit:
        return None
    return int(found[1]) * unit + minor


@dataclass(frozen=True, slots=True)
class Record:
    """Fields of a record, or of a mapping in it, to which `path` leads."""

    values: Mapping[str, Any]
    path: tuple[str, ...] = ()

    def part(self, field: str) -> "Record":
        """The mapping under a field; one without fields when it is absent."""
        value = self.values.get(field)
        if value is not None and not isinstance(value, Mapping):
            raise self.wrong(field, f"{str(value)[:40]!r} is no mapping")
        return Record(value or {}, (*self.path, field))

    def number(self, field: str, least: int = 0, most: int = LARGEST) -> int | None:
        """A whole number; None when it is absent."""
        value = self.values.get(field)
        if value is None:
            return None
        if not _is_whole(value) or not least <= value <= most:
            raise self.wrong(field, f"{str(value)[:40]!r} is no whole number between {least} and {most}")
        return int(value)

    def limits(self, field: str, most: int = LARGEST) -> tuple[int | None, int | None]:
        """`{min, max}`, or one number, which is the least."""
        if _is_whole(self.values.get(field)):
            return self.number(field, most=most), None
        part = self.part(field)
        return self._ordered(field, part.number("min", most=most), part.number("max", most=most))

    def version(self, field: str, unit: int) -> int | None:
        """A version, as one number (see `version`); None when it is absent."""
        value = self.values.get(field)
        if value is None:
            return None
        # In YAML 2.30 without quotes is the number 2.3, which is another version.
        if isinstance(value, float) and unit > CAPABILITY:
            raise self.wrong(field, f"{value} is a number: write the version in quotes")
        found = version(str(value), unit)
        if found is None:
            raise self.wrong(field, f"{str(value)[:40]!r} is no version such as 2.34")
        return found

    def versions(self, field: str, unit: int) -> tuple[int | None, int | None]:
        """`{min, max}` of a version, or one version, which is the least."""
        if isinstance(self.values.get(field), str | float | int):
            return self.version(field, unit), None
        part = self.part(field)
        return self._ordered(field, part.version("min", unit), part.version("max", unit))

    def flag(self, field: str) -> bool:
        """Whether it is true; False when it is absent."""
        value = self.values.get(field)
        if not isinstance(value, bool | None):
            raise self.wrong(field, f"{str(value)[:40]!r} is neither true nor false")
        return bool(value)

    def name(self, field: str) -> str | None:
        """One name; None when it is absent, empty or ANY."""
        value = self.values.get(field)
        if not isinstance(value, str | None):
            raise self.wrong(field, "this is not a name")
        self._check_name(field, value or "")
        return None if not value or value.upper() == "ANY" else str(value)

    def word(self, field: str, most: int = MAX_NAME) -> str | None:
        """One word of `most` characters at most; None when it is absent or empty."""
        value = self.values.get(field)
        if not isinstance(value, str | None):
            raise self.wrong(field, f"{str(value)[:40]!r} is no text: write it in quotes")
        if value and len(value) > most:
            raise self.wrong(field, f"{len(value)} characters, {most} are the most")
        self._check_name(field, value or "")
        return str(value) if value else None

    def one_of(self, field: str, known: Sequence[str]) -> str | None:
        """One of the known words; None when it is absent."""
        if self.values.get(field) is None:
            return None
        if (found := self.word(field) or "") not in known:
            raise self.wrong(field, f"{found[:40]!r} is none of {', '.join(known)}")
        return found

    def names(self, field: str) -> tuple[str, ...]:
        """Names, sorted; a text is taken apart at its commas. Empty when it is absent or one is ANY."""
        found = {str(name) for item in self.items(field) if (name := item.strip())}
        for name in found:
            self._check_name(field, name)
        if len(found) > (most := MOST.get(field, MAX_NAMES)):
            raise self.wrong(field, f"{most} names are the most, not {len(found)}")
        return () if any(name.upper() == "ANY" for name in found) else tuple(sorted(found))

    def items(self, field: str) -> list[str]:
        """The texts of a list; one text is taken apart at its commas."""
        value = self.values.get(field)
        items = [] if value is None else value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise self.wrong(field, "this is not a list of names")
        if len(items) > MAX_NAMES:
            words = f"{MOST.get(field, MAX_NAMES)} names are the most, not {len(items)}"
            raise self.wrong(field, words)
        return list(items)

    def cores_and_tags(self) -> tuple[int, int | None, tags.Tree | None]:
        """As `cores`, with those of DIRAC's tags of processors; and the other tags."""
        (cores, most), left = self.cores(), []
        for part in tags.conjuncts(self.tags("tags")):
            found = processors(part) if isinstance(part, str) else None
            if found or part == MULTI_CORE:
                cores = max(cores, int(found[1]) if found else 2)
            else:
                left.append(part)
        return cores, most if most and most > cores else None, tags.all_of(left)

    def tags(self, field: str) -> tags.Tree | None:
        """All expressions over tags of a list, or of a text with commas, as one; None: no condition."""
        items = {text for item in self.items(field) if (text := item.strip())}
        if (count := len(items) - sum(map(bool, map(tags.is_name, items)))) > MAX_EXPRESSIONS:
            raise self.wrong(field, f"{MAX_EXPRESSIONS} expressions are the most, not {count}")
        try:
            found = tags.all_of(map(tags.parse, sorted(items)))
        except tags.InvalidTags as error:
            raise self.wrong(field, str(error)) from error
        if found and (count := sum(1 for _ in tags.names_in(found))) > tags.MAX_NAMES:
            raise self.wrong(field, f"{tags.MAX_NAMES} tags are the most, not {count}")
        for part in tags.conjuncts(found):
            if not isinstance(part, str) and any(map(processors, tags.names_in(part))):
                words = f"{tags.render(part)[:80]}: state a choice between cores in alternatives"
                raise self.wrong(field, words)
        return found

    def cores(self) -> tuple[int, int | None]:
        """The least number of cores, and the largest that it can use; None: no more than the least."""
        least, most = self.number("cores", 1, MAX_COUNT) or 1, self.number("max_cores", 1, MAX_COUNT)
        if most is not None and most < least:
            raise self.wrong("max_cores", f"{most} is less than cores, {least}")
        return least, most

    def memory(self) -> tuple[int | None, int]:
        """MB for the job as a whole (None: not stated), and for each of its cores."""
        constant, per_core = self.number("ram_mb"), self.number("ram_per_core_mb") or 0
        if per_core and (total := (constant or 0) + per_core * (cores := self.cores_and_tags()[0])) > LARGEST:
            words = f"{total} MB for {cores} cores, {LARGEST} are the most"
            raise self.wrong("ram_per_core_mb", words)
        return constant, per_core

    def sites(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The sites that may run it (none: all), and those of all that may not.

        `data_sites` are those that have the input data.
        """
        stated, banned, near = self.names("sites"), self.names("banned_sites"), self.names("data_sites")
        if near:
            both = tuple(name for name in near if not stated or name in stated)
            if not both:
                words = f"none of {', '.join(stated)[:200]} has the input data"
                raise self.wrong("sites", f"{words}, which is at {', '.join(near)[:200]}")
            stated = both
        left = tuple(name for name in stated if name not in banned)
        if stated and not left:
            raise self.wrong("sites", f"banned_sites leave none of {', '.join(stated)[:200]}")
        return left, () if left else banned

    def wrong(self, field: str, words: str) -> InvalidRequirements:
        """The error about a field."""
        return InvalidRequirements(words, (*self.path, field))

    def _check_name(self, field: str, name: str) -> None:
        if len(name) > MAX_NAME:
            raise self.wrong(field, f"a name has {MAX_NAME} characters at most")
        if found := _no_text(name):
            raise self.wrong(field, f"{name[:40]!r} has the character {found.group()!r}, which no name has")

    def _ordered(self, field: str, least: int | None, most: int | None) -> tuple[int | None, int | None]:
        if least is not None and most is not None and most < least:
            raise self.wrong(field, "max is less than min")
        return least, most


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
