"""The inputs of a process with its defaults, checked by its schema, without long arrays where possible."""

from collections.abc import Callable, Mapping
from typing import Any

from cwltool.context import RuntimeContext
from cwltool.process import Process, shortname
from cwltool.utils import aslist

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.arrays import Held
from diracx_tasks.cwl.builder import built

Values = dict[str, Any]
# cwltool takes about 50 us for an element, whatever it is.
LONG = 1000
SMALL, LARGE = 1 << 31, 1 << 63
CHECKS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: type(value) is int and -SMALL <= value < SMALL,
    "long": lambda value: type(value) is int and -LARGE <= value < LARGE,
    "float": lambda value: type(value) in (int, float),
    "double": lambda value: type(value) in (int, float),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: type(value) is bool,
    "null": lambda value: value is None,
}
# With one of these cwltool reads something into the elements.
READING = ("secondaryFiles", "loadContents", "loadListing", "format")


def filled(process: Process, inputs: Values, context: RuntimeContext) -> Values:
    """The inputs as cwltool's `_init_job` fills them in; ValidationException when they are wrong."""
    apart = {
        name: value
        for parameter in process.tool["inputs"]
        if (name := shortname(parameter["id"])) in inputs and _is_apart(parameter, value := inputs[name])
    }
    order = inputs | {name: [] for name in apart}
    return {**built(process, order, context).job, **apart}


def _is_apart(parameter: Mapping[str, Any], value: Any) -> bool:
    """Whether an array need not, or must not, be taken apart by cwltool."""
    reads = any(parameter.get(field) for field in READING)
    if isinstance(value, Held):
        if reads:
            value.read()
        return not value.is_read
    if not isinstance(value, list) or len(value) < LONG or reads:
        return False
    kinds = _items(parameter["type"])
    if not kinds or not all(kind in CHECKS for kind in kinds):
        return False
    checks = [CHECKS[kind] for kind in kinds]
    for place, item in enumerate(value):
        if not any(check(item) for check in checks):
            name, wanted = shortname(parameter["id"]), " or ".join(kinds)
            raise InvalidCwl(f"{name}: element {place} is {str(item)[:40]!r}, not {wanted}")
    return True


def _items(declared: Any) -> list[str]:
    """The types of an array's elements, of a type that is an array or null; none for others."""
    arrays = [one for one in aslist(declared) if one != "null"]
    if len(arrays) != 1 or not isinstance(arrays[0], Mapping) or arrays[0].get("type") != "array":
        return []
    kinds = list(aslist(arrays[0]["items"]))
    return kinds if all(isinstance(kind, str) for kind in kinds) else []
