"""Every section of the configuration with its options, types and defaults."""

import json
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from diracx_tasks.core.document import SECTIONS, Config
from diracx_tasks.core.plugins import load_tables, load_tasks
from diracx_tasks.core.sections import Free, Operations
from docs.reference.text import code, table
from docs.reference.types import depth, models_in, name_of

# What the names in a mapping are names of.
NAMES = {
    "Operations": "<VO>",
    "Registry": "<VO>",
    "Users": "<subject>",
    "Groups": "<group>",
    "Sites": "<grid>.<site>",
    "CEs": "<CE>",
    "Queues": "<queue>",
    "StorageElements": "<SE>",
    "RunningLimit": "<site>",
    "MatchingDelay": "<site>",
    "Tiers": "<tier>",
    "Batches": "<GridCE>",
    "Limits": "<key>",
}


def configuration() -> str:
    """A section for each section of the configuration, with a table of its options."""
    load_tables()
    load_tasks()
    parts = list(_sections("", Config))
    for name, model in sorted({**_of_operations(), **SECTIONS}.items()):
        parts += _sections(f"Operations.<VO>.{name}", model)
    parts.insert(1, _options("Operations.<VO>", Operations))
    return "\n\n".join(filter(None, parts))


def _of_operations() -> dict[str, type[BaseModel]]:
    fields = Operations.model_fields
    return {name: model for name, field in fields.items() for model in models_in(field.annotation)}


def _sections(path: str, model: type[BaseModel]) -> Iterator[str]:
    """A section, then the sections in it."""
    yield _options(path, model)
    for name, kind in _kinds(model):
        for inner in models_in(kind):
            between = NAMES.get(name, "<name>") if depth(kind) else ""
            yield from _sections(".".join(filter(None, (path, _key(name), between))), inner)


def _key(name: str) -> str:
    """A model that is nothing but a mapping has all of it in a field of pydantic's name."""
    return "" if name == "root" else name


def _kinds(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        yield name, field.annotation
    extra = model.__annotations__.get("__pydantic_extra__")
    if extra is not None:
        yield "<name>", models_in(extra)[0]


def _options(path: str, model: type[BaseModel]) -> str:
    fields = model.model_fields.items()
    plain = [(name, field) for name, field in fields if not models_in(field.annotation)]
    free = [name for name, field in plain if field.annotation in (Any, Free)]
    rows = [
        (code(name), name_of(field.annotation), _default(field), field.description or "")
        for name, field in plain
        if name not in free and not (name == "Operations" and not path)
    ]
    parts = [f"### `{path or 'The whole'}`", cleandoc(model.__doc__ or "")]
    if rows:
        parts.append(table(("option", "type", "default", "meaning"), rows))
    if not path:
        parts[:2] = []
    if left := [name for name in free if name not in SECTIONS]:
        parts.append(f"Left to DIRAC, whatever stands there: {', '.join(map(code, left))}.")
    return "\n\n".join(parts)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be stated"
    value = field.get_default(call_default_factory=True)
    if value in (None, "", [], {}, frozenset()):
        return ""
    return code(value if isinstance(value, str) else json.dumps(value, default=list))
