"""Values that cross the border: locations as users and pilots see them, without cwltool's internals."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any
from urllib.parse import quote, unquote

from ruamel.yaml.scalarbool import ScalarBoolean

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.arrays import CLASS, Held

FILES = ("File", "Directory")
# Schemes of locations that pilots fetch.
STORED = ("sandbox", "lfn")
INTERNAL = {"http://commonwl.org/cwltool#generation", "dirname", "path"}
# Python refuses to read longer ones from JSON.
MOST_BITS = 4096
# Whole numbers up to here are the same as float and as integer.
EXACT = 1 << 53
Value = Any
Hold = Callable[[Mapping[str, Any]], Held]


def to_internal(value: Value, base: str, hold: Hold | None = None) -> Value:
    """Plain JSON as cwltool takes it: `bundle:` locations become file URIs below `base`.

    `hold` makes what stands for a stored array. Raises InvalidCwl for a location that the server would have
    to fetch or that lies outside the bundle.
    """
    return _rewritten(value, lambda location: _inward(location, base), hold)


def to_external(value: Value, base: str) -> Value:
    """Plain JSON as it is stored and sent: URIs below `base` become `bundle:` locations.

    Raises InvalidCwl for what JSON cannot hold.
    """

    def outward(location: str) -> str:
        return f"bundle:{unquote(location.removeprefix(base))}" if location.startswith(base) else location

    return _rewritten(value, outward)


def plain(value: Value) -> Value:
    """What a YAML reader gave, as plain JSON; InvalidCwl for what JSON cannot hold."""
    return _walked(value, lambda mapping: {_name(key): plain(inner) for key, inner in mapping.items()}, plain)


def without_listings(value: Value) -> Value:
    """The value, its Directories with a location without `listing`: that is read where it is needed."""

    def trimmed(mapping: Mapping[str, Any]) -> Value:
        location = str(mapping.get("location") or "_:")
        is_located = mapping.get("class") == "Directory" and not location.startswith("_:")
        return {
            key: without_listings(inner)
            for key, inner in mapping.items()
            if not (is_located and key == "listing")
        }

    return _walked(value, trimmed, without_listings)


def locations(value: Value) -> Iterator[str]:
    """Every location of a File or Directory in a value, in any depth."""
    if isinstance(value, Mapping):
        if value.get("class") in FILES and "location" in value:
            yield value["location"]
        for inner in value.values():
            yield from locations(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from locations(inner)


def _walked(
    value: Value, mapping: Callable[[Mapping[str, Any]], Value], item: Callable[[Value], Value]
) -> Value:
    # Exact types first: a wide scatter is a million small values.
    kind = type(value)
    if kind is Held or (kind is str and value.isascii()) or (kind is int and -EXACT < value < EXACT):
        return value
    if isinstance(value, Mapping):
        return mapping(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [item(inner) for inner in value]
    return _scalar(value)


def _rewritten(value: Value, place: Callable[[str], str], hold: Hold | None = None) -> Value:
    def inner(value: Value) -> Value:
        if type(value) is Held:
            return dict(value.reference)
        return _walked(value, mapping, inner)

    def mapping(value: Mapping[str, Any]) -> Value:
        if value.get("class") == CLASS:
            if hold is None:
                raise InvalidCwl(f"a value of class {value['class']} is not allowed")
            return hold(value)
        if value.get("class") not in FILES:
            return {_name(key): inner(item) for key, item in value.items()}
        found = {_name(key): inner(item) for key, item in value.items() if key not in INTERNAL}
        given = value.get("location", value.get("path"))
        if isinstance(given, str) and not given.startswith("_:"):
            found["location"] = place(_text(given))
        else:
            found.pop("location", None)
        return found

    return inner(value)


def _scalar(value: Value) -> Value:
    """Without the text that ruamel's numbers and strings carry along."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, ScalarBoolean):
        return bool(value)
    if isinstance(value, int):
        if value.bit_length() > MOST_BITS:
            raise InvalidCwl(f"an integer of {value.bit_length()} bits is not allowed")
        return int(value)
    if isinstance(value, float):
        if not isfinite(value):
            raise InvalidCwl(f"{float(value)} is not a number that JSON can hold")
        # A YAML reader's 1.23e5 is 123000 on a command line (cwltool), but 123000.0 would stay as it is.
        is_whole = getattr(value, "_exp", None) and value.is_integer() and abs(value) < EXACT
        return int(value) if is_whole else float(value)
    raise InvalidCwl(f"a value of type {type(value).__name__} is not allowed: JSON cannot hold it")


def _name(key: Any) -> str:
    if not isinstance(key, str):
        raise InvalidCwl(f"{key!r} is not a name: names are text")
    return _text(key)


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidCwl(f"the text {text[:100]!a} is not Unicode: it holds half a character") from None
    return str(text)


def _inward(location: str, base: str) -> str:
    scheme, colon, _ = location.partition(":")
    if scheme == "bundle" or not colon or "/" in scheme:
        return base + quote(location.removeprefix("bundle:"))
    if scheme in STORED or location.startswith(base):
        return location
    raise InvalidCwl(
        f"the location {location!r} is not allowed: files come with the workflow or from the sandbox store, "
        "the server does not fetch addresses",
        [_refused(location)],
    )


def _refused(location: str) -> dict[str, Any]:
    return {
        "severity": "error",
        "file": "inputs",
        "line": None,
        "column": None,
        "message": f"the location {location!r} is not allowed",
        "advice": "Send the file with the workflow, or upload it first and give its sandbox: location.",
    }
