"""Long arrays that stay where they are stored: a value stands for them until something looks inside."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeGuard

import orjson

from diracx_tasks.core.errors import InvalidCwl

CLASS = "diracx:Array"
# `inputs` other than by name: then it may be any of them.
ALL = re.compile(r"\binputs\b(?!\s*\.)")


class Held(list[Any]):
    """An array by reference, `{"class": "diracx:Array", "of", "length"}`.

    InvalidCwl when it is looked into and its elements were not given.
    """

    def __init__(
        self, reference: Mapping[str, Any], note: Callable[[str], None], elements: list[Any] | None
    ) -> None:
        super().__init__(elements or ())
        self.reference = dict(reference)
        self.is_read = elements is not None
        self._note = note

    def read(self) -> list[Any]:
        """The elements, as a list of its own."""
        self.want()
        if not self.is_read:
            raise InvalidCwl(f"the array {self.reference['of']} has not been read")
        return list(super().__iter__())

    def want(self) -> None:
        """Have the elements given next time, if they were not this time."""
        if not self.is_read:
            self._note(key_of(self.reference))

    def __len__(self) -> int:
        return int(self.reference["length"])

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self.read())

    def __getitem__(self, place: Any) -> Any:
        return self.read()[place]

    def __contains__(self, value: object) -> bool:
        return value in self.read()

    def __eq__(self, other: object) -> bool:
        return self.read() == other

    __hash__ = None  # as a list

    def __deepcopy__(self, memo: dict[int, Any]) -> "Held":
        elements = copy.deepcopy(self.read(), memo) if self.is_read else None
        return Held(self.reference, self._note, elements)


def key_of(reference: Mapping[str, Any]) -> str:
    """Under which its elements are asked for and given."""
    return f"{CLASS}:{orjson.dumps(reference, option=orjson.OPT_SORT_KEYS).decode()}"


def reference_of(key: str) -> dict[str, Any]:
    """The inverse of `key_of`."""
    found: dict[str, Any] = orjson.loads(key.removeprefix(f"{CLASS}:"))
    return found


def is_reference(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value stands for an array."""
    return isinstance(value, Mapping) and value.get("class") == CLASS


def has_arrays(value: Any) -> bool:
    """Whether something in a JSON value, however deep, stands for an array."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if value.get("class") == CLASS:
                return True
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return False


def looked_into(text: Any, inputs: Mapping[str, Any], library: str = "") -> dict[str, Any]:
    """The inputs of an expression, with the arrays that it may look into as lists; without others.

    Functions of the `library` may look into them as well. Raises InvalidCwl when one has not been read.
    """
    text = (text if isinstance(text, str) else "") + library
    named = {
        name: value
        for name, value in inputs.items()
        if not isinstance(value, Held) or name in text or ALL.search(text)
    }
    return opened(named)


def opened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with all arrays among them as lists; InvalidCwl when one has not been read."""
    held = [value for value in values.values() if isinstance(value, Held)]
    for value in held[1:]:
        # All are asked for together.
        value.want()
    return {name: value.read() if isinstance(value, Held) else value for name, value in values.items()}
