"""Parametric jobs: a description with vectors of parameters is many, which are made as they are asked for."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, repeat

from diracx_tasks.jobs.ad import Ad, Expression, InvalidJdl, Value, scalar, text_of

VECTORS = "Parameters"
SEQUENCE = ("ParameterStart", "ParameterStep", "ParameterFactor")
LARGEST = 1e100
# %n inside a word such as %nodes is the user's own.
_place = re.compile(r"%s|%\([^()]*+\)s|%n(?![A-Za-z])")
_needs_quotes = re.compile(r'["\\\[\]{};,]').search


@dataclass(frozen=True)
class Sequence:
    """The numbers of a vector that is not a list: each is the one before, times the factor, plus the step."""

    start: int | float
    step: int | float
    factor: int | float

    def values(self, skip: int) -> Iterator[int | float]:
        """Endlessly, from the number at `skip` on (0 is the first); exactly DIRAC's, rounding included."""
        value = self.start + 0
        if isinstance(self.step, float) or isinstance(self.factor, float):
            value = float(value)
        elif self.factor == 1:
            value, skip = value + skip * self.step, 0
        while True:
            if skip:
                skip -= 1
            else:
                yield value
            value = value * self.factor + self.step

    def outgrows(self, number: int) -> bool:
        """Whether one of so many values is beyond what a floating-point number holds."""
        if abs(self.factor) <= 1:
            return False
        fixed = self.step / (1 - self.factor)
        distance = abs(self.start - fixed)
        return distance > 0 and number * math.log(abs(self.factor)) + math.log(distance) > math.log(1e300)


def count(ad: Ad) -> int | None:
    """How many jobs the description is; None if it is not parametric. Costs nothing, checks all vectors.

    Raises InvalidJdl for vectors of different lengths, for none or less than none, and for bad numbers.
    """
    number: int | None = None
    for name in ad:
        if name.startswith(VECTORS) and _vector(name) is not None:
            length = _length(ad, name)
            if number is not None and number != length:
                raise InvalidJdl(f"Different length of parameter vectors: for {name}, {number} != {length}")
            number = length
    if number is None:
        return None
    if number <= 0:
        raise InvalidJdl(f"Illegal number of job parameters {number}")
    for key, vector in _vectors(ad).items():
        if isinstance(vector, Sequence) and vector.outgrows(number):
            raise InvalidJdl(
                f"{_name(VECTORS, key)}: its numbers grow beyond 1e300 before the last of {number}"
            )
    return number


def expand(ad: Ad, start: int = 0, stop: int | None = None) -> Iterator[Ad]:
    """The descriptions from number `start` to before `stop`, one at a time; a plain one is its only one.

    Placeholders %s, %(X)s and %n are replaced inside values, so no parameter can bring in an attribute.
    Raises InvalidJdl before the first when a vector is wrong.
    """
    number = count(ad)
    if number is None:
        return iter([ad][start:stop])
    return _expanded(ad, number, start, number if stop is None else min(stop, number))


def _expanded(ad: Ad, number: int, start: int, stop: int) -> Iterator[Ad]:
    vectors = _vectors(ad)
    gone = {_name(base, key) for key in vectors for base in (VECTORS, *SEQUENCE)}
    template = Ad({name: value for name, value in ad.items() if name not in gone})
    places = {key: f"%({key})s" if key else "%s" for key in vectors}
    varying = [(name, value) for name, value in template.items() if _has_place(value)]
    width = len(str(number - 1))
    columns = [_column(vector, start) for vector in vectors.values()]
    rows = zip(*columns, strict=False) if columns else repeat(())
    for index, row in enumerate(islice(rows, stop - start), start):
        filling: dict[str, Value] = dict(zip(places.values(), row, strict=True))
        filling["%n"] = str(index).zfill(width)
        job = Ad(template)
        for name, value in varying:
            job[name] = _filled(value, filling)
        for key, parameter in zip(vectors, row, strict=True):
            job[_name("Parameter", key)] = parameter
        job["ParameterNumber"] = index
        yield job


def _vector(name: str) -> str | None:
    """The X of Parameters.X, empty for Parameters itself; None for other names."""
    base, _, key = name.partition(".")
    return key if base == VECTORS else None


def _name(base: str, key: str) -> str:
    return f"{base}.{key}" if key else base


def _length(ad: Ad, name: str) -> int:
    value = ad[name]
    if isinstance(value, list):
        return len(value)
    try:
        return ad.integer(name) or 0
    except InvalidJdl as problem:
        raise InvalidJdl(f"Inconsistent parametric job description: {problem}") from None


def _vectors(ad: Ad) -> dict[str, list[Value] | Sequence]:
    """Every vector by its X; the plain one's is empty."""
    found: dict[str, list[Value] | Sequence] = {}
    for name in ad:
        base, _, key = name.partition(".")
        if base != VECTORS and base not in SEQUENCE:
            continue
        value = ad.get(_name(VECTORS, key))
        if isinstance(value, list):
            found[key] = value
        elif key not in found:
            found[key] = Sequence(*[_number(ad, _name(part, key), part) for part in SEQUENCE])
    return found


def _number(ad: Ad, name: str, part: str) -> int | float:
    if name not in ad:
        return 0 if part == "ParameterStep" else 1
    text = ad.text(name).strip()
    try:
        number = int(text) if text.lstrip("+-").isdecimal() and len(text) < 20 else float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= LARGEST:
        raise InvalidJdl(f"Illegal value for {name} JDL field: {text[:40]}")
    return number


def _column(vector: list[Value] | Sequence, start: int) -> Iterator[Value]:
    """A vector's values from `start` on, as texts or lists of texts."""
    if isinstance(vector, Sequence):
        return map(str, vector.values(start))
    return (_parameter(value) for value in islice(vector, start, None))


def _parameter(value: Value) -> Value:
    return (
        [_parameter(item) for item in value] if isinstance(value, list) else text_of(VECTORS, value).strip()
    )


def _has_place(value: Value) -> bool:
    if isinstance(value, str):
        return "%" in value and _place.search(value) is not None
    if isinstance(value, list):
        return any(_has_place(item) for item in value)
    return isinstance(value, Ad) and any(_has_place(item) for item in value.values())


def _filled(value: Value, filling: dict[str, Value]) -> Value:
    """A value with its placeholders replaced; a list takes the place of one that stands alone, unquoted."""
    if isinstance(value, Ad):
        return Ad({name: _filled(item, filling) for name, item in value.items()})
    if isinstance(value, list):
        return [part for item in value for part in _spliced(item, filling)]
    if not isinstance(value, str):
        return value
    if not isinstance(value, Expression):
        return _text(value, filling)
    whole = filling.get(value)
    if isinstance(whole, list):
        return whole
    text = _text(value, filling).strip()
    # What is not a plain word must not end the expression that it comes into.
    used = (_text(place, filling) for place in _place.findall(value) if place in filling)
    return text if not text or any(map(_needs_quotes, used)) else scalar(text)


def _spliced(item: Value, filling: dict[str, Value]) -> list[Value]:
    whole = filling.get(item) if isinstance(item, str) else None
    return whole if isinstance(whole, list) else [_filled(item, filling)]


def _text(text: str, filling: dict[str, Value]) -> str:
    def put(found: re.Match[str]) -> str:
        value = filling.get(found.group(), found.group())
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)

    return _place.sub(put, text)
