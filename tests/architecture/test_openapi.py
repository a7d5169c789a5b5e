"""The description of the API: complete, with words and an example everywhere."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import application

SCHEMA: dict[str, Any] = application().openapi()
METHODS = ("get", "put", "post", "patch", "delete")


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in SCHEMA["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def properties() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, schema in SCHEMA["components"]["schemas"].items():
        if name not in ("HTTPValidationError", "ValidationError"):
            for field, described in schema.get("properties", {}).items():
                yield f"{name}.{field}", described


def inline_properties(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        for field, described in content["schema"].get("properties", {}).items():
            yield f"{kind} {field}", described


def is_told(described: dict[str, Any]) -> bool:
    schema = described.get("schema", {})
    has_example = any(word in place for place in (described, schema) for word in ("example", "examples"))
    return bool(described.get("description") and has_example)


def test_every_property_has_a_description_and_an_example() -> None:
    assert [name for name, described in properties() if not is_told(described)] == []


def test_every_parameter_has_a_description_and_an_example() -> None:
    silent = [
        f"{name}: {parameter['name']}"
        for name, operation in operations()
        for parameter in operation.get("parameters", [])
        if not is_told(parameter)
    ]
    assert silent == []


@pytest.mark.parametrize(
    "name, operation", list(operations()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_route_says_what_it_does_who_may_and_what_it_takes(
    name: str, operation: dict[str, Any]
) -> None:
    assert operation["x-right"]
    assert operation["description"]
    assert operation["operationId"].startswith(operation["tags"][0])
    assert [field for field, told in inline_properties(operation) if not is_told(told)] == []


def test_all_that_is_about_tasks_is_a_service_administrators() -> None:
    found = {name: operation for name, operation in operations() if "tasks" in operation["tags"]}
    assert found
    assert {name.split(" ")[1].split("/")[2] for name in found} == {"tasks"}
    assert {operation["x-right"] for operation in found.values()} == {"a service administrator"}


def test_the_document_is_what_dirac_clients_expect() -> None:
    assert SCHEMA["info"]["title"] == "Dirac"
    scheme = SCHEMA["components"]["securitySchemes"]["OpenIdConnect"]
    assert scheme["openIdConnectUrl"] == "/.well-known/openid-configuration"
    names = [operation["operationId"] for _, operation in operations()]
    assert len(names) == len(set(names))
