"""Types in words that an operator reads."""

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

PLAIN = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "Path": "path",
    "SecretStr": "secret",
    "NoneType": "nothing",
    "Any": "anything",
}


def name_of(kind: Any) -> str:
    """A type in words: `list of text`, `one of text, json`."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is None:
        found = getattr(kind, "__name__", str(kind))
        return "section" if models_in(kind) else PLAIN.get(found, found)
    if origin is Annotated:
        return name_of(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(name_of(part) for part in parts if part is not NoneType)
    return _of_parts(origin, parts)


def _of_parts(origin: Any, parts: tuple[Any, ...]) -> str:
    if origin is Literal:
        return "one of " + ", ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        return f"list of {len(parts)}"
    return f"mapping of {name_of(parts[1])}" if origin is dict else f"list of {name_of(parts[0])}"


def models_in(kind: Any) -> list[type[BaseModel]]:
    """The sections that a type is made of, as `SiteOptions` of a mapping of mappings of it."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for part in get_args(kind) for model in models_in(part)]


def depth(kind: Any) -> int:
    """How many names stand between a section and what is in it: 2 for a mapping of mappings."""
    if get_origin(kind) is dict:
        return 1 + depth(get_args(kind)[1])
    return 0
