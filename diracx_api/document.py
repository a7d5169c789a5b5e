"""The description of the API as OpenAPI 3.0.2: what the generators of DiracX's clients read."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

VERSION = "3.0.2"
SCHEMES = {
    "OpenIdConnect": {
        "type": "openIdConnect",
        "openIdConnectUrl": "/.well-known/openid-configuration",
    },
    "Bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
NULL = {"type": "null"}
# Of an enumeration's values; a bool is an int to Python.
KINDS = ((bool, "boolean"), (int, "integer"), (float, "number"))
# Below these are values, not schemas.
VALUES = ("default", "enum", "example", "const", "required")


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of all routes of an application."""
    written = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    found: dict[str, Any] = older(written)
    found["openapi"] = VERSION
    components = found.setdefault("components", {})
    components["securitySchemes"] = SCHEMES
    _name_types(found, components.get("schemas", {}))
    return found


def older(written: Any) -> Any:
    """A document of OpenAPI 3.1, or a part of it, in the words of 3.0: `nullable`, `example`, `enum`."""
    if isinstance(written, list):
        return [older(one) for one in written]
    if not isinstance(written, dict):
        return written
    if written == NULL:
        return {}
    found = {name: value if name in VALUES else _below(name, value) for name, value in written.items()}
    _without_null(found)
    _with_older_words(found)
    if "$ref" in found and len(found) > 1:
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found


def _name_types(part: Any, schemas: dict[str, Any]) -> None:
    """Repeat an enumeration's type beside a reference to it: autorest looks for it there."""
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _name_types(one, schemas)
    if isinstance(part, dict) and isinstance(part.get("allOf"), list):
        known = schemas.get(str(part["allOf"][0].get("$ref", "")).rpartition("/")[2], {})
        if "enum" in known:
            part["type"] = known["type"]


def _below(name: str, value: Any) -> Any:
    if name == "properties" and isinstance(value, dict):
        # Their names are the fields', whatever words these are.
        return {field: older(schema) for field, schema in value.items()}
    if name == "examples":
        return value
    return older(value) if name != "anyOf" else [one if one == NULL else older(one) for one in value]


def _without_null(found: dict[str, Any]) -> None:
    kinds = found.get("anyOf")
    if not isinstance(kinds, list) or NULL not in kinds:
        return
    others = [one for one in found.pop("anyOf") if one != NULL]
    found.update(others[0] if len(others) == 1 else {"anyOf": others} if others else {})
    found["nullable"] = True


def _with_older_words(found: dict[str, Any]) -> None:
    if isinstance(found.get("examples"), list):
        found["example"] = found.pop("examples")[0]
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "enum" in found and "type" not in found:
        found["type"] = next((word for kind, word in KINDS if isinstance(found["enum"][0], kind)), "string")
    for word, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(found.get(word), int | float) and not isinstance(found[word], bool):
            found[bound], found[word] = found[word], True
    if found.pop("contentMediaType", None):
        found["format"] = "binary"
    # 3.0 has no words for these; that it says less is harmless.
    if patterns := found.pop("patternProperties", None):
        found.setdefault("additionalProperties", next(iter(patterns.values())))
    found.pop("propertyNames", None)
