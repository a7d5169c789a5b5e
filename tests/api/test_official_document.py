"""Our OpenAPI document beside that of DiracX 0.7.0: all of it is here, but for a few named differences."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_api.document import older
from tests.api.conftest import application

# Operation by operation what `/api/openapi.json` of DiracX 0.7.0 says.
OFFICIAL: dict[str, Any] = json.loads((Path(__file__).parent / "diracx_0.7.0_openapi.json").read_text())
DOCUMENT: dict[str, Any] = json.loads(json.dumps(application().openapi()))
OURS = {
    operation["operationId"]: (method, path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
# What the official document says otherwise, and why ours does not.
DIFFERENT = {
    ("auth_do_device_flow", "success"): "DiracX says 200 and answers 307, as we do: ours says 307",
    ("auth_finish_device_flow", "success"): "the same",
    ("auth_initiate_authorization_flow", "success"): "the same",
    ("auth_complete_authorization_flow", "success"): "the same",
    ("auth_finish_device_flow", "query code"): "a provider that refuses sends an error and no code",
    ("auth_complete_authorization_flow", "query code"): "the same",
    ("jobs_patch_metadata", "body fields"): "parameters of any name: DiracX lists some that it knows",
}

WORDS_OF_3_1 = ("const", "prefixItems", "propertyNames", "contentMediaType", "patternProperties", "$defs")


def it_differs(key: str, what: str) -> bool:
    return (key, what) in DIFFERENT


def schema_of(operation: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = operation["requestBody"]["content"][kind]["schema"]
    while "$ref" in found or "allOf" in found:
        name = found.get("$ref") or found["allOf"][0]["$ref"]
        found = DOCUMENT["components"]["schemas"][name.rpartition("/")[2]]
    return found


def test_there_are_the_operations_of_diracx() -> None:
    assert len(OFFICIAL) == 38
    found = {key: OURS[key][:2] for key in OFFICIAL if key in OURS}
    assert found == {key: (one["method"], one["path"]) for key, one in OFFICIAL.items()}


@pytest.mark.parametrize("key", OFFICIAL)
def test_an_operation_takes_what_diracx_takes_and_needs_no_more(key: str) -> None:
    operation = OURS[key][2]
    ours = {
        f"{one['in']} {one['name'].lower()}": one.get("required", False)
        for one in operation.get("parameters", [])
    }
    theirs = {
        name: needed for name, needed in OFFICIAL[key]["parameters"].items() if not it_differs(key, name)
    }
    assert {name: needed for name, needed in ours.items() if name in theirs} == theirs
    more = set(ours) - set(OFFICIAL[key]["parameters"])
    assert [name for name in more if ours[name]] == []


@pytest.mark.parametrize("key", OFFICIAL)
def test_an_operation_succeeds_as_in_diracx(key: str) -> None:
    ours = {status for status in OURS[key][2]["responses"] if status < "4"}
    if not it_differs(key, "success"):
        assert set(OFFICIAL[key]["success"]) <= ours
    assert bool(OURS[key][2].get("security")) == OFFICIAL[key]["secured"]


@pytest.mark.parametrize("key", [key for key, one in OFFICIAL.items() if one["body"]])
def test_a_body_has_the_fields_of_diracx_and_needs_no_more(key: str) -> None:
    theirs, operation = OFFICIAL[key]["body"], OURS[key][2]
    assert bool(operation["requestBody"].get("required")) == theirs["required"]
    schema = schema_of(operation, theirs["kind"])
    assert schema.get("type", theirs["type"]) == theirs["type"]
    if not it_differs(key, "body fields"):
        assert set(theirs["fields"]) <= set(schema.get("properties", {}))
    assert set(schema.get("required", [])) <= set(theirs["needed"])


def test_every_named_difference_is_one() -> None:
    for key, what in DIFFERENT:
        theirs = OFFICIAL[key]
        if what == "success":
            assert not set(theirs["success"]) <= {one for one in OURS[key][2]["responses"] if one < "4"}
        elif what.startswith("query"):
            (ours,) = [one for one in OURS[key][2]["parameters"] if f"query {one['name']}" == what]
            assert ours["required"] != theirs["parameters"][what]


def test_the_document_is_openapi_3_0_with_the_title_and_login_that_clients_look_for() -> None:
    assert DOCUMENT["openapi"] == "3.0.2" and DOCUMENT["info"]["title"] == "Dirac"
    scheme = DOCUMENT["components"]["securitySchemes"]["OpenIdConnect"]
    assert scheme == {"type": "openIdConnect", "openIdConnectUrl": "/.well-known/openid-configuration"}
    assert list(newer(DOCUMENT, "")) == []


def test_a_reference_to_an_enumeration_that_goes_with_more_words_has_its_type() -> None:
    # autorest stops at one that has not.
    status = DOCUMENT["components"]["schemas"]["StatusUpdate"]["properties"]["Status"]
    assert status["allOf"] == [{"$ref": "#/components/schemas/JobStatus"}] and status["type"] == "string"


def newer(part: Any, place: str) -> list[str]:
    """Where a document has words that OpenAPI 3.0 does not know."""
    if isinstance(part, list):
        return [word for number, one in enumerate(part) for word in newer(one, f"{place}/{number}")]
    if not isinstance(part, dict):
        return []
    found = [name for name in WORDS_OF_3_1 if name in part]
    is_named = place.endswith("/properties")
    if not is_named and (part.get("type") == "null" or isinstance(part.get("type"), list)):
        found.append("type")
    if "$ref" in part and len(part) > 1:
        found.append("$ref")
    # autorest makes no class of an enumeration of anything.
    if not is_named and "enum" in part and "type" not in part:
        found.append("enum")
    below = [
        word
        for name, one in part.items()
        if name not in ("example", "default", "enum") or is_named
        for word in newer(one, f"{place}/{name}")
    ]
    return [f"{place}: {word}" for word in found if not is_named] + below


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "string", "examples": ["x"]},
            {"type": "null"},
            {"const": 1, "default": None},
            {"$ref": "#/x", "description": "y"},
            {"type": "integer", "exclusiveMinimum": 0},
        ]
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"anyOf": found}),
        inner.map(lambda found: {"type": "array", "items": found}),
        st.dictionaries(st.sampled_from(["type", "const", "a"]), inner).map(
            lambda found: {"type": "object", "properties": found}
        ),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_any_schema_can_be_said_in_the_words_of_3_0(schema: dict[str, Any]) -> None:
    once = older(schema)
    assert newer(once, "") == [] and older(once) == once


def test_an_optional_field_is_nullable_and_keeps_its_words() -> None:
    asked = {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}],
        "description": "d",
        "examples": [1],
    }
    assert older(asked) == {
        "type": "integer",
        "minimum": 0,
        "nullable": True,
        "description": "d",
        "example": 1,
    }
    assert older({"anyOf": [{"$ref": "#/x"}, {"type": "null"}]}) == {
        "allOf": [{"$ref": "#/x"}],
        "nullable": True,
    }
