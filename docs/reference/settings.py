"""Every setting of the servers: variable, type, default, meaning."""

import json
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from diracx_tasks.core.settings import Settings
from docs.reference.text import code, table
from docs.reference.types import name_of

COMPUTED = {"data": "the user's data folder"}


def settings() -> str:
    """A table of all settings, in the order of the code."""
    fields = Settings.model_fields
    rows = [
        (code(f"DIRACX_{name.upper()}"), field.description or "", _type(field), _default(name, field))
        for name, field in fields.items()
    ]
    return table(("variable", "meaning", "type", "default"), rows)


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {value:g}"
        for one in field.metadata
        for sign, value in ((">", one.gt) if isinstance(one, Gt) else (">=", getattr(one, "ge", None)),)
        if isinstance(one, Gt | Ge)
    ]
    return " ".join([name_of(field.annotation), *bounds])


def _default(name: str, field: FieldInfo) -> str:
    if name in COMPUTED:
        return COMPUTED[name]
    value: Any = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, str | Path):
        return code(value)
    return code(json.dumps(value)) if value not in ([], {}) else ""
