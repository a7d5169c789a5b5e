"""A YAML text as values, with the line on which each stands."""

from collections.abc import Iterator
from typing import Any

import yaml

from diracx_tasks.core.errors import SettingsError

# libyaml's parser is six times quicker than Python's; DiracX reads with the same library, YAML 1.1.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Aliases of aliases of aliases make a terabyte of a kilobyte.
MOST_VALUES = 2_000_000
TROUBLES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


class Marked:
    """The values of a YAML text; SettingsError says what is wrong with it, `line` is then in its words."""

    def __init__(self, text: str) -> None:
        self.node, self.values = _loaded(text)

    def line(self, path: tuple[str | int, ...]) -> int:
        """The line of a value, or of the innermost section on the way to it that is in the text."""
        node, line = self.node, self.node.start_mark.line if self.node else 0
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        return int(line) + 1


class NotYaml(SettingsError):
    """A text that is no YAML, or none that means one thing; `line` counts from 1."""

    def __init__(self, words: str, line: int | None = None) -> None:
        super().__init__(words)
        self.line = line


def _loaded(text: str) -> tuple[Any, Any]:
    try:
        loader = Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, None
            _refuse_what_is_ambiguous(node)
            return node, loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise NotYaml(words, mark.line + 1 if mark else None) from error
    except RecursionError as error:
        raise NotYaml("it is nested too deeply") from error
    except (yaml.YAMLError, *TROUBLES) as error:
        raise NotYaml(" ".join(str(error).split())) from error


def _refuse_what_is_ambiguous(root: Any) -> None:
    """Keys that stand twice, aliases that contain themselves, aliases that grow without bound."""
    sizes: dict[int, int] = {}
    open_ones: set[int] = set()

    def size(node: Any) -> int:
        key = id(node)
        if key in open_ones:
            raise NotYaml("an alias contains itself", node.start_mark.line + 1)
        if key not in sizes:
            open_ones.add(key)
            sizes[key] = 1 + sum(size(one) for one in _inner(node))
            open_ones.discard(key)
            if sizes[key] > MOST_VALUES:
                words = f"more than {MOST_VALUES} values, with its aliases"
                raise NotYaml(words, node.start_mark.line + 1)
        return sizes[key]

    size(root)


def _inner(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        seen: set[tuple[str, str]] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise NotYaml(f"the key {key.value!r} stands twice", key.start_mark.line + 1)
                seen.add((key.tag, key.value))
            yield key
            yield value


def _child(node: Any, part: str | int) -> tuple[Any, Any] | None:
    """Where something in a section stands, and what it is; None when it is not in the text."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == str(part):
                return key, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None
