"""Putting something into a YAML text: every other line, comment and blank stays as it is."""

from collections.abc import Callable
from typing import Any

import yaml

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.marked import Marked, NotYaml

INDENT = 2
Path = tuple[str, ...]


def put(text: str, path: Path, key: str, value: Any) -> str:
    """The text with a key more in the mapping at a path, which is made where there is none.

    SettingsError when the place is an alias or no mapping, or when the text is written in a way that is
    not understood here: never is anything else changed.
    """

    def change(target: Any) -> None:
        target[key] = value

    return _proven(text, _put(text, path, key, value), path, {}, change)


def append(text: str, path: Path, value: str) -> str:
    """The text with an item more in the list at a path, which is made where there is none; as `put`."""
    return _proven(text, _append(text, path, value), path, [], lambda target: target.append(value))


def _proven(text: str, made: str, path: Path, empty: Any, change: Callable[[Any], None]) -> str:
    """`made`, if it means what `text` means with the change at the path."""
    expected = Marked(text).values
    whole: dict[str, Any] = {"": expected}
    target: Any = whole
    for part, follower in zip(("", *path), (*path, None), strict=True):
        if target.get(part) is None:
            target[part] = {} if follower is not None else empty
        target = target[part]
    change(target)
    try:
        # As texts: a number that is none (.nan) is not equal to itself.
        is_right = repr(Marked(made).values) == repr(whole[""])
    except NotYaml:
        is_right = False
    if not is_right:
        raise SettingsError(f"{'.'.join(path)} is written in a way that must be edited by hand")
    return made


def _put(text: str, path: Path, key: str, value: Any) -> str:
    found = _Place(text, path)
    if found.node is None:
        return _put(text, path[:-1], path[-1], {key: value})
    if found.is_null or (found.is_empty and not found.is_in_flow):
        return found.replaced_by_block({key: value})
    if not isinstance(found.node, yaml.MappingNode):
        raise SettingsError(f"{'.'.join(path)} is no mapping: it must be edited by hand")
    if found.is_in_flow or found.node.flow_style:
        return found.with_flow(_dumped({key: value}, flow=True)[1:-1])
    return found.with_lines(_dumped({key: value}), found.node.start_mark.column)


def _append(text: str, path: Path, value: str) -> str:
    found = _Place(text, path)
    if found.node is None:
        return _put(text, path[:-1], path[-1], [value])
    if found.is_null:
        return found.replaced(_dumped([value], flow=True))
    if not isinstance(found.node, yaml.SequenceNode):
        raise SettingsError(f"{'.'.join(path)} is no list: it must be edited by hand")
    if found.node.flow_style:
        return found.with_flow(_dumped([value], flow=True)[1:-1])
    return found.with_lines(_dumped([value], flow=False), found.node.start_mark.column)


class _Place:
    """Where a path leads in a text; `node` is None where nothing is there."""

    def __init__(self, text: str, path: Path) -> None:
        self.text = text
        self.key: Any = None
        self.node: Any = Marked(text).node
        self.is_in_flow = False
        self.column = -INDENT
        for part in path:
            if self.node is None or self.is_null:
                self.node = None
                break
            if not isinstance(self.node, yaml.MappingNode):
                raise SettingsError(f"{'.'.join(path)} leads through no mapping: it must be edited by hand")
            self.is_in_flow = self.is_in_flow or (bool(self.node.flow_style) and bool(self.node.value))
            self.column = self.node.start_mark.column
            pairs = {key.value: (key, value) for key, value in self.node.value if _is_name(key)}
            self.key, self.node = pairs.get(part, (None, None))
            if self.node is not None and _is_alias(self.key, self.node):
                line = self.node.start_mark.line + 1
                raise SettingsError(
                    f"{'.'.join(path)} leads through an alias of line {line}: it must be edited by hand"
                )

    @property
    def is_null(self) -> bool:
        return bool(self.node.tag == "tag:yaml.org,2002:null")

    @property
    def is_empty(self) -> bool:
        return isinstance(self.node, yaml.MappingNode) and not self.node.value

    def replaced(self, by: str) -> str:
        """Another value behind the key, on its line."""
        start, end = self._span()
        return f"{self.text[:start]} {by}{self.text[end:]}"

    def replaced_by_block(self, value: Any) -> str:
        """A block below the key, behind whatever stands on its line."""
        start, end = self._span()
        if self.is_in_flow:
            return f"{self.text[:start]} {_dumped(value, flow=True)}{self.text[end:]}"
        if self.key is None:
            return self.text[:start] + _dumped(value) + "\n" + self.text[end:].lstrip(" \n")
        without = self.text[:start] + self.text[end:]
        return _after_line(without, self.key.start_mark.line, _dumped(value), self.column + INDENT)

    def with_flow(self, added: str) -> str:
        """Something more before the bracket that closes."""
        end = self.node.end_mark.index - 1
        comma = ", " if self.node.value else ""
        return f"{self.text[:end].rstrip(' ')}{comma}{added}{self.text[end:]}"

    def with_lines(self, added: str, column: int) -> str:
        """Lines below the last of the block."""
        return _after_line(self.text, _last_line(self.node), added, column)

    def _span(self) -> tuple[int, int]:
        """From behind the colon to the end of the value; with no key, the value."""
        if self.key is None:
            return self.node.start_mark.index, self.node.end_mark.index
        colon = self.text.index(":", self.key.end_mark.index) + 1
        return colon, max(colon, self.node.end_mark.index) if self.node.value != "" else colon


def _is_name(key: Any) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.tag == "tag:yaml.org,2002:str"


def _is_alias(key: Any, value: Any) -> bool:
    return bool(value.start_mark.index < key.end_mark.index)


def _last_line(node: Any) -> int:
    """The line on which a block ends, without the comments below it."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        key, value = node.value[-1]
        return int(key.end_mark.line) if _is_alias(key, value) else _last_line(value)
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last_line(node.value[-1])
    end = node.end_mark
    # A text in a block (`|`) ends where the next line begins.
    return int(end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line)


def _after_line(text: str, line: int, added: str, column: int) -> str:
    lines = text.split("\n")
    indented = [" " * column + one for one in added.split("\n")]
    below = lines[line + 1 :] or [""]
    return "\n".join([*lines[: line + 1], *indented, *below])


def _dumped(value: Any, *, flow: bool | None = None) -> str:
    """A value as YAML; with `flow` None the innermost collections stand on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=flow, allow_unicode=True, sort_keys=False, width=float("inf")
    )
    return text.rstrip("\n")
