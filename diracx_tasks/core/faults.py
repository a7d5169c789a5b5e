"""What is wrong with a configuration: where it stands, and in words what would be right."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError

Path = tuple[str | int, ...]
LONGEST_VALUE = 40
NEAR = 0.75


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    path: Path
    words: str
    line: int | None = None

    def at(self, name: str, revision: str = "") -> str:
        """The fault as compilers write it: `file:line: path: words`."""
        place = f"{name}:{self.line}" if self.line else name
        path = ".".join(str(part) for part in self.path)
        found = (f"{place} at {revision}" if revision else place, path, self.words)
        return ": ".join(part for part in found if part)


def faults_of(error: ValidationError, model: type[BaseModel], path: Path = ()) -> Iterator[Fault]:
    """Everything that a model complains about, below a path."""
    for one in error.errors(include_url=False):
        yield Fault((*path, *one["loc"]), _words(one, model))


def _words(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    kind, words, given = error["type"], error["msg"].removeprefix("Value error, "), error["input"]
    if kind == "extra_forbidden":
        return f"unknown key{unknown(str(error['loc'][-1]), _keys(model, error['loc'][:-1]))}"
    if kind == "missing":
        return "it is missing"
    if kind in ("inconsistent", "unknown_property") or not isinstance(given, str | int | float | bool):
        return str(words)
    shown = repr(given)
    return f"{words}, not {shown}" if len(shown) <= LONGEST_VALUE else str(words)


def unknown(name: str, known: Iterable[str]) -> str:
    """What to say behind a name that nobody knows: the one that looks like it, and all that there are."""
    names = list(known)
    near = get_close_matches(name, names, 1, NEAR) or [one for one in names if name and one.startswith(name)]
    parts = [f"is {near[0]} meant?"] if near else []
    return "; ".join(["", *parts, *([f"there are {', '.join(names)}"] if names else [])])


def _keys(model: type[BaseModel], path: Path) -> list[str]:
    """The keys of a section in a model; none when the path leads through something that has no names."""
    kind: Any = model
    for part in path:
        kind = _inside(kind, part)
    return list(kind.model_fields) if _is_model(kind) else []


def _inside(kind: Any, part: str | int) -> Any:
    kind = _plain(kind)
    if _is_model(kind):
        if issubclass(kind, RootModel):
            return _inside(kind.model_fields["root"].annotation, part)
        field = kind.model_fields.get(str(part))
        return _plain(field.annotation) if field else None
    if get_origin(kind) in (dict, list):
        return _plain(get_args(kind)[-1])
    return None


def _plain(kind: Any) -> Any:
    """A type without its annotations and without None."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    inner = [one for one in get_args(kind) if one is not NoneType]
    return _plain(inner[0]) if NoneType in get_args(kind) and len(inner) == 1 else kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
