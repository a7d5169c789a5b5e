"""CWL values as pages show them: files as links, records and arrays as lists, the rest as text."""

import json
from dataclasses import dataclass, field
from typing import Any

from diracx_api.models.fields import LARGEST
from diracx_api.ui import stored
from diracx_tasks.cwl.arrays import is_reference
from diracx_tasks.sandboxes.metadata import is_stored
from diracx_tasks.storage.names import is_lfn

# Values below one output: what is beyond is counted only.
MOST, DEEPEST = 500, 20
TEXT = 4000


@dataclass
class Item:
    """A part of a value: `kind` is text, file, folder, list or record."""

    kind: str
    text: str = ""
    size: int | None = None
    # Where a file can be looked at and fetched; empty: nowhere.
    page: str = ""
    content: str = ""
    location: str = ""
    parts: list[tuple[str, "Item"]] = field(default_factory=list)
    left_out: int = 0


class Shown:
    """Makes items of values, of which there is room for so many."""

    def __init__(self, most: int = MOST) -> None:
        self.left, self.depth = most, 0

    def part(self, value: Any, start: int) -> Item:
        """The value, or elements of an array from the number `start` on."""
        if not start or not isinstance(value, list):
            return self.item(value)
        return self._several("list", [(str(number), one) for number, one in enumerate(value, start)])

    def item(self, value: Any) -> Item:
        """The value as it is shown."""
        if self.depth >= DEEPEST:
            return Item("text", "…")
        self.depth += 1
        try:
            return self._item(value)
        finally:
            self.depth -= 1

    def _item(self, value: Any) -> Item:
        self.left -= 1
        if is_reference(value):
            return Item("text", f"an array of {value['length']} elements")
        if isinstance(value, list):
            return self._several("list", [(str(number), one) for number, one in enumerate(value)])
        if not isinstance(value, dict):
            return Item("text", _text(value))
        if value.get("class") == "File":
            return self._file(value)
        if value.get("class") == "Directory":
            found = self._several("folder", _inside(value.get("listing")))
            found.text = str(value.get("basename") or "folder")
            return found
        return self._several("record", list(value.items()))

    def _several(self, kind: str, parts: list[tuple[str, Any]]) -> Item:
        found = Item(kind)
        for number, (name, one) in enumerate(parts):
            if self.left <= 0:
                found.left_out = len(parts) - number
                break
            found.parts.append((str(name), self.item(one)))
        return found

    def _file(self, value: dict[str, Any]) -> Item:
        location, name = str(value.get("location") or ""), str(value.get("basename") or "")
        found = Item("file", name or location.rpartition("/")[2] or "file", size=_size(value))
        if is_stored(location) or is_lfn(location):
            found.location = location
            found.page = stored.address("", location, name)
            found.content = stored.address("/content", location, name)
        elif isinstance(value.get("contents"), str):
            found.parts = [("contents", Item("text", _text(value["contents"])))]
        beside = _inside(value.get("secondaryFiles"))
        found.parts += [(name, self.item(one)) for name, one in beside if self.left > 0]
        return found


def files(item: Item) -> list[Item]:
    """The files in an item that can be looked at, in their order."""
    mine = [item] if item.kind == "file" and item.page else []
    return mine + [one for _, part in item.parts for one in files(part)]


def _inside(given: Any) -> list[tuple[str, Any]]:
    """What a folder or a file has with it, by name; a user's value may have anything in its place."""
    some = given if isinstance(given, list) else []
    return [(str(one.get("basename", "")) if isinstance(one, dict) else "", one) for one in some]


def _size(value: dict[str, Any]) -> int | None:
    size = value.get("size")
    return size if isinstance(size, int) and abs(size) <= LARGEST else None


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= TEXT else f"{text[:TEXT]}… ({len(text)} characters)"
