"""The published JSON schemas of DIRAC's hints say what the code does."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from diracx_tasks.cli.demo import shipped
from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import hints
from diracx_tasks.cwl.job_data import ENTRIES
from diracx_tasks.cwl.job_hint import ABOUT, ASKED, FIELDS, HOOKS, JOB, LOG_LEVELS, SCHEDULING, VERSIONS
from diracx_tasks.matching.specification import InvalidRequirements, specifications
from tests.unit.cwl.hinted import a_process

NAMES = {JOB: "dirac-job", SCHEDULING: "dirac-scheduling", HOOKS: "dirac-execution-hooks"}
SCHEMAS: dict[str, Any] = {
    name: json.loads((shipped() / "schemas" / f"{file}.json").read_text()) for name, file in NAMES.items()
}
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
# The inputs and outputs of the examples.
PORTS = {"script": "script", "settings": "script", "data": "data", "log": "log", "result": "result"}


@lru_cache(1)
def tool() -> Any:
    return a_process("[]")


def complaints(name: str, hint: dict[str, Any]) -> list[str]:
    """What the code finds wrong with a hint of a tool."""
    process = tool()
    process.tool["hints"] = process.hints = [{"class": f"dirac:{name}", **hint}]
    return [words for _, _, words in hints.faults(process)]


def resolved(schema: Any, root: Any) -> Any:
    """A schema without a reference at its top."""
    while "$ref" in schema:
        found = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def fields_of(schema: Any, root: Any) -> dict[str, Any]:
    """The names of fields, each with those of the mapping that it may be."""
    found = {}
    for name, inner in resolved(schema, root)["properties"].items():
        kinds = resolved(inner, root).get("anyOf", [inner])
        mapping = next((one for one in kinds if "properties" in resolved(one, root)), None)
        found[name] = fields_of(mapping, root) if mapping else None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_and_the_code_know_the_same_fields(name: str) -> None:
    assert fields_of(SCHEMAS[name], SCHEMAS[name]) == FIELDS[name]


def test_entries_about_data_have_the_same_fields() -> None:
    for name, fields in ENTRIES.items():
        items = SCHEMAS[JOB]["properties"][name]["items"]
        entry = next(one for one in items.get("anyOf", [items]) if "properties" in one)
        assert set(entry["properties"]) == set(fields)


def test_choices_are_the_same() -> None:
    properties = SCHEMAS[JOB]["properties"]
    assert properties["log_level"]["enum"] == [*LOG_LEVELS, None]
    assert properties["schema_version"]["enum"] == [*VERSIONS, None]


@pytest.mark.parametrize(
    ("name", "example"), [(name, one) for name, schema in SCHEMAS.items() for one in schema["examples"]]
)
def test_examples_are_valid_in_both(name: str, example: dict[str, Any]) -> None:
    VALIDATORS[name].validate(example)
    text = json.dumps(example).replace('"settings"', '"script"')
    assert complaints(name, json.loads(text)) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        (JOB, {"prioriti": 3}),
        (JOB, {"priority": "high"}),
        (JOB, {"cores": 0}),
        (JOB, {"retries": 11}),
        (JOB, {"schema_version": "2.0"}),
        (JOB, {"log_level": "LOUD"}),
        (JOB, {"type": "x" * 33}),
        (JOB, {"sites": [1]}),
        (JOB, {"gpu": {"ram": 3}}),
        (JOB, {"gpu": 3}),
        (JOB, {"system": {"user_namespaces": "yes"}}),
        (JOB, {"alternatives": [{"priority": 3}]}),
        (JOB, {"alternatives": [{}] * 9}),
        (JOB, {"requirements_template": {"retries": 3}}),
        (JOB, {"output_data": [{"source": "result"}]}),
        (JOB, {"output_data": [{"source": "result", "output_path": "here"}]}),
        (JOB, {"output_data": [{"output_path": "/a"}]}),
        (JOB, {"input_data": [{"source": "data", "path": "a"}]}),
        (JOB, {"output_sandbox": [3]}),
        (JOB, {"input_sandbox": {"source": "script"}}),
        (SCHEDULING, {"cores": 3}),
        (SCHEDULING, {"priority": "10"}),
        (HOOKS, {"output_path": {}}),
        (HOOKS, {"output_paths": ["/a"]}),
        (HOOKS, {"output_paths": {"result": "here"}}),
        (HOOKS, {"configuration": {"query": "x"}}),
        (HOOKS, {"output_sandbox": "log"}),
    ],
)
def test_what_is_wrong_is_wrong_in_both(name: str, hint: dict[str, Any]) -> None:
    assert not VALIDATORS[name].is_valid(hint)
    assert complaints(name, hint)


def values() -> st.SearchStrategy[Any]:
    """Anything that a document may hold, and mostly what looks right."""
    words = st.sampled_from(
        ["x86_64", "a & (b", "User", "INFO", "/lhcb/a", "result", "data", "script", "conf/", "1.0"]
    )
    plain = st.none() | st.booleans() | st.integers(-3, 12) | st.floats() | words | st.text(max_size=5)
    keys = st.sampled_from(
        ["source", "output_path", "output_se", "path", "min", "max", "name", *ASKED, "what"]
    )
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=6,
    )


def a_hint() -> st.SearchStrategy[dict[str, Any]]:
    """A `dirac:Job`, mostly a wrong one."""
    return st.dictionaries(
        st.sampled_from([name for name in FIELDS[JOB] if name != "class"]), values(), max_size=4
    )


def understood(hint: dict[str, Any]) -> Iterator[Any]:
    """All that is made of a hint in which nothing is wrong."""
    process = tool()
    yield specifications(hints.requirements(process, {}, None))
    yield json.dumps(hints.job_facts(process))
    yield json.dumps(hints.effective(process))


@settings(max_examples=400, deadline=None)
@given(a_hint())
def test_a_hint_is_either_understood_or_complained_about(hint: dict[str, Any]) -> None:
    if not complaints(JOB, hint):
        assert all(understood(hint))


@settings(max_examples=200, deadline=None)
@given(a_hint())
def test_a_complaint_names_a_place_in_the_document(hint: dict[str, Any]) -> None:
    process = tool()
    process.tool["hints"] = process.hints = [{"class": "dirac:Job", **hint}]
    for holder, key, words in hints.faults(process):
        assert words
        assert key in holder if isinstance(holder, dict) else 0 <= key < len(holder)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*ABOUT, "cores", "max_cores", "priority", "sites", "gpu", "tags"]), values()
    )
)
def test_what_the_code_takes_of_simple_fields_the_schema_takes(hint: dict[str, Any]) -> None:
    try:
        if complaints(JOB, hint) or not all(understood(hint)):
            return
    except (InvalidCwl, InvalidRequirements) as error:
        pytest.fail(f"{hint}: {error}")
    VALIDATORS[JOB].validate(json.loads(json.dumps(hint)))
