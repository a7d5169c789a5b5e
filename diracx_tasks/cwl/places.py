"""Where something stands in a bundle's documents: read again from their text, because only errors ask."""

from collections.abc import Iterator
from posixpath import dirname, join, normpath
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from diracx_tasks.cwl.bundle import Bundle

DOCUMENTS = (".cwl", ".yml", ".yaml", ".json")


class Place(NamedTuple):
    """A place in a text; line and column count from 1."""

    file: str
    line: int
    column: int


class Entry(NamedTuple):
    """A key, value or item with the keys above it."""

    place: Place
    text: str
    is_key: bool
    above: tuple[str, ...]


class Places:
    """The entries of a bundle's documents, the main document's first."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._entries: list[Entry] | None = None

    def of_value(self, text: str) -> Place | None:
        """Where a value is this text."""
        return next((one.place for one in self._all() if not one.is_key and one.text == text), None)

    def of_part(self, text: str) -> Place | None:
        """Where a value contains this text, its spaces and line breaks aside."""
        wanted = " ".join(text.split())
        values = (one for one in self._all() if not one.is_key)
        return next((one.place for one in values if wanted in " ".join(one.text.split())), None)

    def of_key(self, name: str, file: str | None = None) -> Place | None:
        """Where a mapping has this key, in one document or in any."""
        keys = (one.place for one in self._all() if one.is_key and one.text == name)
        return next((place for place in keys if file in (None, place.file)), None)

    def of_name(self, name: str) -> Place | None:
        """Where a step or parameter of this name is declared: as a key, or as an `id`."""
        named = (one for one in self._all() if not one.is_key and one.above[-1:] == ("id",))
        found = next((one.place for one in named if one.text.lstrip("#") == name), None)
        return found or self.of_key(name)

    def above(self, file: str | None, line: int | None, column: int | None) -> tuple[str, ...]:
        """The keys above what stands at a place, outermost first."""
        wanted = (file, line, column)
        return next((one.above for one in self._all() if tuple(one.place) == wanted), ())

    def of_circle(self) -> Place | None:
        """Where a `run` names a document that leads back to it."""
        runs = [
            (one.place, _target(one)) for one in self._all() if one.above[-1:] == ("run",) and not one.is_key
        ]
        reached: dict[str, set[str]] = {}
        for place, target in runs:
            reached.setdefault(place.file, set()).add(target)
        for _ in reached:
            for targets in reached.values():
                targets.update(*(reached.get(target, ()) for target in tuple(targets)))
        return next(
            (place for place, target in runs if place.file in {target, *reached.get(target, ())}), None
        )

    def _all(self) -> list[Entry]:
        if self._entries is None:
            main = self._bundle.entrypoint.partition("#")[0]
            names = sorted(self._bundle.files, key=lambda name: (name != main, name))
            documents = [name for name in names if name == main or name.endswith(DOCUMENTS)]
            self._entries = [entry for name in documents for entry in self._of(name)]
        return self._entries

    def _of(self, name: str) -> list[Entry]:
        try:
            root = YAML(typ="safe", pure=True).compose(self._bundle.files[name].decode())
            return list(_entries(name, root, (), set()))
        except (YAMLError, UnicodeDecodeError, RecursionError, ValueError):
            # That it cannot be read is said elsewhere, if it matters.
            return []


def _entries(file: str, node: Any, above: tuple[str, ...], seen: set[int]) -> Iterator[Entry]:
    # An alias is its anchor's node again.
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, ScalarNode):
        yield Entry(_place(file, node), node.value, False, above)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _entries(file, item, above, seen)
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            name = str(key.value)
            yield Entry(_place(file, key), name, True, above)
            yield from _entries(file, value, (*above, name), seen)


def _target(run: Entry) -> str:
    name = run.text.partition("#")[0]
    return normpath(join(dirname(run.place.file), name)) if name else run.place.file


def _place(file: str, node: Any) -> Place:
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)
