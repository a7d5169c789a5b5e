"""Every route of the API: who may, and what it does."""

from itertools import groupby
from typing import Any

from diracx_api.app import create_app
from docs.reference.text import code, sentence, table

METHODS = ("get", "post", "put", "patch", "delete")


def routes() -> str:
    """A table for each subject, as the OpenAPI document has them."""
    paths: dict[str, dict[str, Any]] = create_app().openapi()["paths"]
    found = [
        (item[method]["tags"][0], path, method, item[method])
        for path, item in paths.items()
        for method in METHODS
        if method in item
    ]
    parts = []
    for subject, group in groupby(sorted(found, key=lambda one: one[:2]), key=lambda one: one[0]):
        rows = [
            (code(f"{method.upper()} {path}"), told["x-right"], sentence(told["description"]))
            for _, path, method, told in group
        ]
        parts.append(f"## {subject}\n\n{table(('route', 'who may', 'what it does'), rows)}")
    return "\n\n".join(parts)
