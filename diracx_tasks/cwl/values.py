"""Values that cross the border: locations as users and pilots see them, without cwltool's internals."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from diracx_tasks.core.errors import InvalidCwl

INTERNAL = {"http://commonwl.org/cwltool#generation", "dirname", "path"}
Value = Any


def to_internal(value: Value, base: str) -> Value:
    """Plain JSON as cwltool takes it: `bundle:` locations become file URIs below `base`.

    Raises InvalidCwl for a location that the server would have to fetch or that lies outside the bundle.
    """
    return _rewritten(value, lambda location: _inward(location, base))


def to_external(value: Value, base: str) -> Value:
    """Plain JSON as it is stored and sent: URIs below `base` become `bundle:` locations."""

    def outward(location: str) -> str:
        return f"bundle:{unquote(location.removeprefix(base))}" if location.startswith(base) else location

    return _rewritten(value, outward)


def locations(value: Value) -> Iterator[str]:
    """Every location of a File or Directory in a value, in any depth."""
    if isinstance(value, Mapping):
        if value.get("class") in ("File", "Directory") and "location" in value:
            yield value["location"]
        for inner in value.values():
            yield from locations(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from locations(inner)


def _rewritten(value: Value, place: Callable[[str], str]) -> Value:
    if isinstance(value, Mapping):
        is_file = value.get("class") in ("File", "Directory")
        plain = {
            key: _rewritten(inner, place)
            for key, inner in value.items()
            if key not in INTERNAL or not is_file
        }
        if is_file:
            given = value.get("location", value.get("path"))
            if isinstance(given, str) and not given.startswith("_:"):
                plain["location"] = place(given)
            else:
                plain.pop("location", None)
        return plain
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rewritten(inner, place) for inner in value]
    return _scalar(value)


def _scalar(value: Value) -> Value:
    # ruamel's number and string classes carry their text along; the border takes plain JSON.
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _inward(location: str, base: str) -> str:
    scheme = urlsplit(location).scheme
    if scheme == "bundle" or not scheme:
        return base + quote(location.removeprefix("bundle:"))
    if scheme == "sandbox" or location.startswith(base):
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
